//! What does a scrape cost with 1,000 servers, and what does counting a request?

use criterion::{Criterion, criterion_group, criterion_main};
use lb_core::metrics::Metrics;

fn metrics(criterion: &mut Criterion) {
    let metrics = Metrics::new(2);
    let series: Vec<_> = (0..1000).map(|n| metrics.server("shop", &format!("web{n}"))).collect();
    let shards: Vec<_> = series.iter().map(|series| series.shard(0)).collect();
    criterion.bench_function("metrics/scrape of 1000 servers", |bencher| bencher.iter(|| metrics.encode()));
    criterion.bench_function("metrics/count a request", |bencher| bencher.iter(|| shards[7].request(200)));
}

criterion_group!(benches, metrics);
criterion_main!(benches);
