//! What does reading a file cost: the two-route file, and one of 10,000 routes and 1,000 servers?

use std::hint::black_box;

use benches::file;
use criterion::{Criterion, criterion_group, criterion_main};
use lb_core::config;

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10);
    for (routes, servers) in [(2, 4), (10_000, 1_000)] {
        let text = file(routes, servers);
        group.bench_function(format!("{routes} routes, {servers} servers"), |bencher| {
            bencher.iter(|| {
                config::load_text("lb.toml", black_box(&text), |_| None).expect("the file is valid")
            });
        });
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
