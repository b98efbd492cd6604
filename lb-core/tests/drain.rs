//! Promise: a proxy that is told to stop takes nothing new, finishes what it has begun, and then is gone.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::net::TcpStream;
use std::time::Duration;

use lb_core::prelude::*;
use lb_core::testkit::{Closing, Origin, Running, eventually, pattern};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn told(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Origin {
    Origin::scripted(move |server| {
        while server.request().is_some() {
            server.until_told();
            server.send(&answer);
        }
    })
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[test]
fn requests_in_flight_finish_and_say_that_they_were_the_last() {
    let origin = told(ok(&pattern(1_000_000)));
    let mut proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(GET);
    eventually("the request is at the server", || origin.connections() == 1);
    let address = proxy.address("web");
    proxy.begin_drain();
    eventually("nothing is accepted", || TcpStream::connect(&address).is_err());
    assert!(!proxy.handle().is_ready());
    assert!(!proxy.is_drained());
    origin.tell();
    let response = client.response();
    assert!(response.body == pattern(1_000_000));
    client.expect_closed();
    proxy.wait_drained();
}

#[test]
fn idle_connections_are_closed_at_once() {
    let origin = Origin::named("web1");
    let mut proxy = Running::in_front_of(&origin);
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client("web")).collect();
    for client in &mut clients {
        assert_eq!(client.send(GET).response().text(), "web1");
    }
    proxy.wait_drained();
    for client in &mut clients {
        client.expect_closed();
    }
}

#[test]
fn idle_clients_at_the_limit_are_closed_and_who_waits_behind_them_is_served() {
    let origin = Origin::named("web1");
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let frontend = Frontend::http("web").listen("127.0.0.1:0").max_connections(3).backend(&shop);
    let mut proxy = Running::start(Proxy::builder().frontend(frontend));
    let mut clients: Vec<_> = (0..3).map(|_| proxy.client("web")).collect();
    for client in &mut clients {
        assert_eq!(client.send(GET).response().text(), "web1");
    }
    let mut waiting = proxy.client("web");
    waiting.send(GET);
    proxy.begin_drain();
    let response = waiting.response();
    assert_eq!((response.text().as_str(), response.field("connection")), ("web1", Some("close")));
    clients.iter_mut().for_each(|client| client.expect_closed());
    proxy.wait_drained();
}

#[test]
fn who_waits_behind_a_busy_client_at_the_limit_is_not_waited_for() {
    let origin = told(ok(b"late"));
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let frontend = Frontend::http("web").listen("127.0.0.1:0").max_connections(1).backend(&shop);
    let mut proxy = Running::start(Proxy::builder().frontend(frontend));
    let mut busy = proxy.client("web");
    busy.send(GET);
    eventually("the request is at the server", || origin.connections() == 1);
    let mut waiting = proxy.client("web");
    waiting.send(GET);
    proxy.begin_drain();
    assert_eq!(waiting.until_closed().0, b"");
    origin.tell();
    assert_eq!(busy.response().text(), "late");
    proxy.wait_drained();
}

#[test]
fn a_reload_opens_no_listener_again_while_the_proxy_drains() {
    let origin = told(ok(b"late"));
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let builder = || Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop));
    let mut proxy = Running::start(builder());
    let mut busy = proxy.client("web");
    busy.send(GET);
    eventually("the request is at the server", || origin.connections() == 1);
    proxy.begin_drain();
    eventually("its listener is closed", || proxy.handle().addresses("web").is_empty());
    proxy.apply(builder());
    assert_eq!(proxy.handle().addresses("web"), [""; 0]);
    origin.tell();
    assert_eq!(busy.response().text(), "late");
    proxy.wait_drained();
}

#[test]
fn a_connection_that_was_accepted_last_is_still_served() {
    let origin = Origin::named("web1");
    let mut proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(GET);
    proxy.begin_drain();
    assert_eq!(client.response().text(), "web1");
    client.expect_closed();
    proxy.wait_drained();
}

#[test]
fn a_tunnel_may_finish() {
    let origin = Origin::scripted(|server| {
        let (received, _) = server.until_closed();
        server.send(received);
    });
    let backend = Backend::builder("rows").server(origin.address()).build().unwrap();
    let frontend = Frontend::tcp("db").listen("127.0.0.1:0").backend(&backend);
    let mut proxy = Running::start(Proxy::builder().frontend(frontend));
    let address = proxy.address("db");
    let mut client = proxy.client("db");
    client.send("hello");
    eventually("the tunnel stands", || origin.connections() == 1);
    proxy.begin_drain();
    eventually("nothing is accepted", || TcpStream::connect(&address).is_err());
    client.send(" again").finish_sending();
    assert_eq!(client.until_closed(), (b"hello again".to_vec(), Closing::End));
    proxy.wait_drained();
}

#[test]
fn what_is_open_when_the_time_has_run_out_is_closed() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.until_closed();
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let frontend = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
        let builder = Proxy::builder().frontend(frontend).workers(Workers::Threads(1));
        let proxy = builder.drain_timeout(Duration::from_millis(50)).build().unwrap();
        proxy.start().await.unwrap();
        let mut client = lb_core::testkit::Wire::connect(&proxy.handle().addresses("web")[0]);
        client.send(GET);
        eventually("the request is at the server", || origin.connections() == 1);
        proxy.drain().await;
        client.until_closed();
    });
}
