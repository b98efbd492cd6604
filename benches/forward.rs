//! How long does an exchange take through the proxy, by the request's head: curl's, a browser's with
//! 2 KiB of cookies, one of 100 fields? Over loopback, so most of it is the kernel's; the heads differ
//! by what reading, editing and writing them costs.

use std::net::TcpStream;

use benches::{exchange, origin, response, run};
use criterion::{Criterion, criterion_group, criterion_main};
use lb_core::prelude::*;

fn forward(criterion: &mut Criterion) {
    let response = response(128);
    let server = origin(response.clone()).to_string();
    let shop = Backend::builder("shop").server(server.as_str()).build().expect("the backend is valid");
    let address =
        run(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)), "web");
    let mut socket = TcpStream::connect(address).expect("the proxy listens");
    let mut buffer = vec![0; 16 * 1024];
    let mut group = criterion.benchmark_group("forward");
    for (name, fields) in [
        ("curl", "user-agent: curl/7.88.1\r\naccept: */*\r\n".to_owned()),
        (
            "browser",
            format!("user-agent: Mozilla/5.0\r\naccept: text/html\r\ncookie: {}\r\n", "a=1; ".repeat(410)),
        ),
        ("100 fields", (0..99).map(|n| format!("x-field-{n}: value\r\n")).collect()),
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n").into_bytes();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                exchange(&mut socket, &request, &mut buffer, response.len()).expect("the proxy answers")
            });
        });
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
