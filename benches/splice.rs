//! How long does a megabyte take through a tunnel over loopback?

use std::net::TcpStream;

use benches::{exchange, origin, response, run};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lb_core::prelude::*;

fn splice(criterion: &mut Criterion) {
    let response = response(1024 * 1024);
    let server = origin(response.clone()).to_string();
    let raw = Backend::builder("raw").server(server.as_str()).build().expect("the backend is valid");
    let address =
        run(Proxy::builder().frontend(Frontend::tcp("raw").listen("127.0.0.1:0").backend(&raw)), "raw");
    let mut socket = TcpStream::connect(address).expect("the proxy listens");
    let mut buffer = vec![0; 256 * 1024];
    let mut group = criterion.benchmark_group("splice");
    group.throughput(Throughput::Bytes(response.len() as u64));
    group.bench_function("1 MiB", |bencher| {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        bencher.iter(|| {
            exchange(&mut socket, request, &mut buffer, response.len()).expect("the proxy passes it on")
        });
    });
}

criterion_group!(benches, splice);
criterion_main!(benches);
