//! Peers at their worst: what each of these once broke, or would break first.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that fails fails")]

use lb_core::backend::BackendTimeouts;
use lb_core::http::route::Respond;
use lb_core::prelude::*;
use lb_core::testkit::{Origin, PATIENCE, ProxyProcess, Running, Wire, eventually};

/// A head of exactly `length` bytes, between what it must begin and end with.
fn head_of(length: usize, start: &str, end: &str) -> String {
    let start = format!("{start}\r\nx-long: ");
    let padding = "a".repeat(length - start.len() - end.len() - 4);
    format!("{start}{padding}{end}\r\n\r\n")
}

fn proxy_to(origin: &Origin) -> Running {
    let backend = Backend::builder("all").server(origin.address()).build().unwrap();
    Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&backend)))
}

/// 16 KiB is what a connection reads at a time.
#[test]
fn a_head_that_fills_the_buffer_leaves_room_for_the_body() {
    let origin = Origin::scripted(|wire| {
        while let Some(request) = wire.request() {
            assert!(request.body == b"hello" || request.method() == "GET");
            let length: usize = request.target()[1..].parse().unwrap();
            wire.send(head_of(length, "HTTP/1.1 200 OK", "\r\ncontent-length: 5")).send("there");
        }
    });
    let proxy = proxy_to(&origin);
    let mut client = proxy.client("web");
    for length in (16 * 1024 - 8)..(16 * 1024 + 8) {
        client.send(head_of(length, &format!("POST /{length} HTTP/1.1\r\nhost: a"), "\r\ncontent-length: 5"));
        client.send("hello");
        assert_eq!(client.response().text(), "there", "{length}");
    }
}

#[test]
fn a_head_that_fills_the_buffer_does_not_hide_a_body_until_close() {
    let origin = Origin::scripted(|wire| {
        if wire.request().is_some() {
            wire.send(head_of(16 * 1024, "HTTP/1.1 200 OK", "")).send("there");
        }
    });
    let proxy = proxy_to(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().text(), "there");
}

/// The other process; see [`ProxyProcess`].
#[test]
fn proxy_process() {
    let builder = |_: &str, origin: &str| {
        let backend = Backend::builder("all").server(origin).build().unwrap();
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&backend))
    };
    ProxyProcess::serve(builder, || 0);
}

#[test]
fn clients_that_take_all_descriptors_leave_some_for_servers() {
    let origin = Origin::named("web1");
    let few = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let proxy = ProxyProcess::start("proxy_process", "http", origin.address(), &few);
    let mut clients: Vec<_> = (0..80).map(|_| proxy.client()).collect();
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(clients[0].send(get).response().status(), 200);
    // Those that had to wait come when others go.
    for mut client in clients {
        assert_eq!(client.send(get).response().status(), 200);
    }
}

/// Interim responses until the connection breaks.
fn flood_interims(wire: &mut Wire) {
    if wire.request().is_some() {
        while wire.try_send("HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
    }
}

#[test]
fn interim_responses_come_to_an_end() {
    let origin = Origin::scripted(flood_interims);
    let proxy = proxy_to(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    for _ in 0..100 {
        assert_eq!(client.response().status(), 102);
    }
    assert_eq!(client.response().status(), 502);
    assert_eq!(proxy.errors("web", "bad_response"), 1.0);
}

#[test]
fn a_protocol_does_not_change_inside_a_request() {
    let origin = Origin::scripted(|wire| {
        if wire.head().is_some() {
            wire.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
            wire.until_closed();
        }
    });
    let proxy = proxy_to(&origin);
    let mut client = proxy.client("web");
    client.send("POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n");
    client.send("transfer-encoding: chunked\r\n\r\n5\r\nhel");
    let response = client.response();
    assert_eq!((response.status(), response.field("connection")), (502, Some("close")));
    client.expect_closed();
}

#[test]
fn what_follows_a_last_request_does_not_destroy_its_answer() {
    let origin = Origin::named("web1");
    let proxy = proxy_to(&origin);
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
    ] {
        let mut client = proxy.client("web");
        client.send(format!("{request}{}", "more".repeat(10)));
        let response = client.response();
        assert_eq!(response.field("connection"), Some("close"), "{request}");
        client.expect_closed();
    }
}

#[test]
fn trailers_that_nobody_announced_do_not_pass() {
    let chunked = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-late: 1\r\n\r\n";
    let origin = Origin::answering(move |request| {
        assert_eq!((request.text().as_str(), request.trailers.len()), ("hello", 0));
        format!("HTTP/1.1 200 OK\r\n{chunked}").into_bytes()
    });
    let proxy = proxy_to(&origin);
    let mut client = proxy.client("web");
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{chunked}"));
    let response = client.response();
    assert_eq!((response.text().as_str(), response.trailers.len()), ("hello", 0));
}

/// Two servers that accept and hang up: each request would be tried three times.
#[test]
fn a_sick_backend_is_not_stormed_by_retries() {
    let sick = || Origin::scripted(|wire| drop(wire.request()));
    let servers = [sick(), sick(), sick()];
    let backend = Backend::builder("all").servers(servers.iter().map(Origin::address)).retry_budget(0.1);
    let proxy = Running::start(
        Proxy::builder()
            .frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&backend.build().unwrap())),
    );
    let mut client = proxy.client("web");
    for _ in 0..300 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.response().status(), 502);
    }
    let attempts: usize = servers.iter().map(Origin::connections).sum();
    // A tenth, and the floor of three a second over a window's ten, which may end meanwhile.
    assert!((330..=300 + 30 + 2 * 30).contains(&attempts), "{attempts} attempts of 300 requests");
    assert_eq!(proxy.metric("lb_retries_total{backend=\"all\"}"), (attempts - 300) as f64);
}

/// The rows of ARCHITECTURE.md's table on routing that `routing.rs` leaves out.
#[test]
fn spellings_that_rfc_3986_knows_for_other_paths_are_other_paths() {
    let origin = Origin::answering(|request| {
        let target = request.target();
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len()).into_bytes()
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let no = Route::prefix("/admin").respond(Respond::new(403).body("no"));
    let frontend = Frontend::http("web").listen("127.0.0.1:0").route(no).route(Route::any().to(&shop));
    let proxy = Running::start(Proxy::builder().frontend(frontend));
    for (target, expected) in [
        ("/admin;x", 200),
        ("/x/..;/admin", 200),
        ("/x\\..\\admin", 200),
        ("/%C0%AFadmin", 200),
        ("/x/%c0%ae%c0%ae/admin", 200),
        ("/x/.%2E/admin", 403),
        ("/x/../../admin", 400),
        ("/admin%zz", 400),
        ("/admin%", 400),
        ("/admin#x", 400),
        ("/admin\u{1}", 400),
        ("/\u{e9}", 400),
    ] {
        let mut client = proxy.client("web");
        client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status(), expected, "{target}");
        assert!(expected != 200 || response.text() == target, "{target} goes on as {}", response.text());
    }
}

#[test]
fn a_client_that_resets_while_its_server_thinks_gives_its_slot_back_at_once() {
    // A connection's first request, and a later one.
    for served_before in [0, 1] {
        let origin = Origin::scripted(move |server| {
            for _ in 0..served_before {
                server.request();
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            server.request();
            server.until_closed();
        });
        let timeouts = BackendTimeouts::default().response(PATIENCE * 10);
        let shop = Backend::builder("shop").server(origin.address()).timeouts(timeouts).build().unwrap();
        let proxy = Running::start(
            Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)),
        );
        let in_flight = || proxy.handle().status().backends[0].servers[0].server.in_flight;
        let mut client = proxy.client("web");
        for _ in 0..served_before {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        }
        eventually("no slot is taken", || in_flight() == 0);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("the server thinks", || in_flight() == 1);
        client.reset();
        eventually("the slot is free", || in_flight() == 0);
        let log = proxy.log().wait_for(served_before + 1);
        assert_eq!(log[served_before].reason, Some("client_abort"));
    }
}
