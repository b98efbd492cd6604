//! How many instructions does a step take that makes no system call? Exact from run to run, so a
//! commit that makes one dearer can't hide in noise. `instructions.baseline` is what
//! `cargo run -p benches --bin instructions` holds them against.

#![allow(missing_docs, reason = "the macros make public items that nobody documents")]

use std::hint::black_box;
use std::sync::Arc;

use benches::{Kind, backend, file};
use gungraun::prelude::*;
use lb_core::backend::{Roster, View};
use lb_core::config::{self, Loaded};
use lb_core::http::route::{Router, Subject};
use lb_core::metrics::Metrics;
use lb_core::prelude::*;

fn view(policy: impl Policy + 'static, servers: usize) -> Arc<View> {
    Roster::new(&backend("b", servers, policy)).view()
}

#[library_benchmark]
#[bench::round_robin_2(view(RoundRobin, 2))]
#[bench::round_robin_1000(view(RoundRobin, 1000))]
#[bench::least_connections_2(view(LeastConnections, 2))]
#[bench::least_connections_1000(view(LeastConnections, 1000))]
#[bench::random_1000(view(Random, 1000))]
#[bench::p2c_1000(view(PowerOfTwo, 1000))]
fn pick(view: Arc<View>) -> (Option<usize>, Arc<View>) {
    (view.pick(black_box(&PickInput::default())), view)
}

/// A router and what a request for its last route asks for.
fn router(kind: Kind, count: usize) -> (Router<usize>, String, String) {
    let (host, path) = kind.target(count - 1);
    (Router::build(kind.routes(count)).expect("the routes are valid"), host, path)
}

#[library_benchmark]
#[bench::exact_10(router(Kind::Exact, 10))]
#[bench::exact_10000(router(Kind::Exact, 10_000))]
#[bench::prefix_10(router(Kind::Prefix, 10))]
#[bench::prefix_10000(router(Kind::Prefix, 10_000))]
#[bench::begins_10000(router(Kind::Begins, 10_000))]
#[bench::host_10000(router(Kind::Host, 10_000))]
fn route(made: (Router<usize>, String, String)) -> (Option<usize>, (Router<usize>, String, String)) {
    let none: &[(&str, &str)] = &[];
    let (router, host, path) = &made;
    let subject =
        Subject { path: path.as_bytes(), host: host.as_bytes(), method: b"GET", query: None, fields: &none };
    (router.find(black_box(&subject)).copied(), made)
}

#[library_benchmark]
#[bench::two_routes(file(2, 4))]
#[bench::many_routes(file(1_000, 100))]
fn read(text: String) -> Loaded {
    config::load_text("lb.toml", &text, |_| None).expect("the file is valid")
}

fn scraped(servers: usize) -> Metrics {
    let metrics = Metrics::new(2);
    for server in 0..servers {
        metrics.server("shop", &format!("web{server}")).shard(0).request(200);
    }
    metrics
}

#[library_benchmark]
#[bench::servers_100(scraped(100))]
fn scrape(metrics: Metrics) -> (String, Metrics) {
    (metrics.encode().expect("the names are valid"), metrics)
}

library_benchmark_group!(name = steps, benchmarks = [pick, route, read, scrape]);
main!(library_benchmark_groups = steps);
