//! What does choosing a server cost, by policy and number of servers?

use std::hint::black_box;

use benches::backend;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::backend::Roster;
use lb_core::prelude::*;

fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for servers in [2, 10, 100, 1000] {
        for (name, backend) in [
            ("round_robin", backend("b", servers, RoundRobin)),
            ("least_connections", backend("b", servers, LeastConnections)),
            ("random", backend("b", servers, Random)),
            ("p2c", backend("b", servers, PowerOfTwo)),
        ] {
            let view = Roster::new(&backend).view();
            group.bench_with_input(BenchmarkId::new(name, servers), &view, |bencher, view| {
                bencher.iter(|| view.pick(black_box(&PickInput::default())));
            });
        }
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
