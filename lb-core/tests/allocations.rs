//! Promise: in steady state a plain HTTP/1.1 request allocates nothing.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::alloc::System;
use std::time::Duration;

use lb_core::backend::PoolLimits;
use lb_core::http::edits::HeaderEdits;
use lb_core::prelude::*;
use lb_core::testkit::{Origin, ProxyProcess, Wire};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The other process; see [`ProxyProcess`].
#[test]
fn proxy_process() {
    let builder = |_: &str, origin: &str| {
        // However slow the machine is, pooled connections stay.
        let pool = PoolLimits::default().idle_timeout(Duration::from_secs(600));
        let shop = Backend::builder("shop").server(origin).pool(pool).build().unwrap();
        let admin = Backend::builder("admin").server(origin).pool(pool).build().unwrap();
        let web = Frontend::http("web").listen("127.0.0.1:0");
        let edits = HeaderEdits::new().set("x-made", "{client} {host_name} {path}{query}").unwrap();
        let edited = Route::prefix("/admin").request_headers(edits.clone()).response_headers(edits);
        let rewritten = edited.replace_prefix("/admin", "/v2");
        Proxy::builder().frontend(web.route(rewritten.to(&admin)).backend(&shop))
    };
    ProxyProcess::serve(builder, || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    });
}

fn exchange(client: &mut Wire, request: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(client.send(request).response().status(), 200);
    }
}

#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let origin = Origin::named("web1");
    let mut proxy = ProxyProcess::start("proxy_process", "web", origin.address(), &[]);
    let mut client = proxy.client();
    for request in [
        "GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
        "GET /x/../admin//x?y=z HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        exchange(&mut client, request, 300);
        proxy.ask();
        let before = proxy.ask();
        exchange(&mut client, request, 2000);
        assert_eq!(proxy.ask() - before, 0, "allocations in 2000 times {request:?}");
    }
}
