//! What does finding a request's route cost, by kind and number of routes?

use std::hint::black_box;

use benches::Kind;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lb_core::http::route::{Router, Subject};

fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let none: &[(&str, &str)] = &[];
    for kind in Kind::ALL {
        for count in [10, 1_000, 100_000] {
            let router = Router::build(kind.routes(count)).expect("the routes are valid");
            // The last: what a list would find last.
            let (host, path) = kind.target(count - 1);
            let subject = Subject {
                path: path.as_bytes(),
                host: host.as_bytes(),
                method: b"GET",
                query: None,
                fields: &none,
            };
            assert_eq!(router.find(&subject), Some(&(count - 1)));
            group.bench_function(BenchmarkId::new(format!("{kind:?}").to_lowercase(), count), |bencher| {
                bencher.iter(|| router.find(black_box(&subject)));
            });
        }
    }
}

criterion_group!(benches, route);
criterion_main!(benches);
