//! What does building a snapshot of 10,000 routes and 1,000 servers cost, parsing aside?

use benches::file;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lb_core::config;

fn reload(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reload");
    group.sample_size(10);
    for (routes, servers) in [(2, 4), (10_000, 1_000)] {
        let text = file(routes, servers);
        let load = || config::load_text("lb.toml", &text, |_| None).expect("the file is valid");
        group.bench_function(format!("{routes} routes, {servers} servers"), |bencher| {
            bencher.iter_batched(load, |loaded| loaded.builder.snapshot(), BatchSize::PerIteration);
        });
    }
}

criterion_group!(benches, reload);
criterion_main!(benches);
