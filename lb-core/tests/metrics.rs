//! Promise: what happened is what the counters say, and every name of the reference is there.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::time::Duration;

use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_connections_and_bytes_are_counted() {
    let origin = Origin::answering(|request| {
        let status = if request.target() == "/missing" { "404 Not Found" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").into_bytes()
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for _ in 0..3 {
        assert_eq!(client.send(GET).response().status(), 200);
    }
    assert_eq!(client.send("GET /missing HTTP/1.1\r\nHost: a\r\n\r\n").response().status(), 404);
    let entries = proxy.log().wait_for(4);
    let server = format!("backend=\"shop\",server=\"{}\"", origin.address());
    for (series, value) in [
        ("lb_requests_total{frontend=\"web\",backend=\"shop\",code=\"2xx\"}".to_owned(), 3.0),
        ("lb_requests_total{frontend=\"web\",backend=\"shop\",code=\"4xx\"}".to_owned(), 1.0),
        (format!("lb_server_requests_total{{{server},code=\"2xx\"}}"), 3.0),
        (format!("lb_server_requests_total{{{server},code=\"4xx\"}}"), 1.0),
        (format!("lb_server_connections_total{{{server},result=\"opened\"}}"), 1.0),
        (format!("lb_server_connections_total{{{server},result=\"reused\"}}"), 3.0),
        (format!("lb_server_connections_total{{{server},result=\"failed\"}}"), 0.0),
        (format!("lb_server_up{{{server}}}"), 1.0),
        (format!("lb_server_inflight{{{server}}}"), 0.0),
        ("lb_frontend_connections{frontend=\"web\"}".to_owned(), 1.0),
        ("lb_frontend_connections_total{frontend=\"web\"}".to_owned(), 1.0),
        ("lb_request_duration_seconds_count{backend=\"shop\"}".to_owned(), 4.0),
        ("lb_connect_duration_seconds_count{backend=\"shop\"}".to_owned(), 1.0),
        ("lb_retries_total{backend=\"shop\"}".to_owned(), 0.0),
        (
            "lb_frontend_bytes_total{frontend=\"web\",direction=\"in\"}".to_owned(),
            entries.iter().map(|entry| entry.received_bytes).sum::<u64>() as f64,
        ),
        (
            "lb_frontend_bytes_total{frontend=\"web\",direction=\"out\"}".to_owned(),
            entries.iter().map(|entry| entry.sent_bytes).sum::<u64>() as f64,
        ),
    ] {
        assert_eq!(proxy.metric(&series), value, "{series}");
    }
    assert_eq!(entries[0].received_bytes, GET.len() as u64);
    drop(client);
    eventually("the connection is gone", || proxy.metric("lb_frontend_connections{frontend=\"web\"}") == 0.0);
}

#[test]
fn every_name_of_the_reference_is_exposed() {
    let origin = Origin::named("web1");
    let check = HealthCheck::tcp().interval(Duration::from_millis(20));
    let shop = Backend::builder("shop").server(origin.address()).health(check).build().unwrap();
    let proxy =
        Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)));
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().status(), 200);
    assert_eq!(client.send("nonsense\r\n\r\n").response().status(), 400);
    eventually("a check is counted", || {
        let server = format!("backend=\"shop\",server=\"{}\"", origin.address());
        proxy.metric(&format!("lb_server_checks_total{{{server},result=\"passed\"}}")) > 0.0
    });
    let text = proxy.handle().encode_metrics().unwrap();
    for name in [
        "lb_frontend_connections{",
        "lb_frontend_connections_total{",
        "lb_frontend_bytes_total{",
        "lb_requests_total{",
        "lb_request_errors_total{",
        "lb_request_duration_seconds_bucket{",
        "lb_connect_duration_seconds_bucket{",
        "lb_server_up{",
        "lb_server_state{",
        "lb_server_requests_total{",
        "lb_server_inflight{",
        "lb_server_connections_total{",
        "lb_server_checks_total{",
        "lb_retries_total{",
        "lb_config_reloads_total{",
        "lb_config_last_success_timestamp_seconds ",
        "lb_build_info{",
        "process_open_fds ",
        "process_resident_memory_bytes ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
}
