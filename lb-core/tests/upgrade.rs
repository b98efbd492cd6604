//! Promise: a connection that is upgraded, or that a CONNECT opened, is a tunnel that lasts as long as its ends do, or as
//! it is not silent too long.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::thread;
use std::time::Duration;

use lb_core::backend::BackendTimeouts;
use lb_core::prelude::*;
use lb_core::testkit::{Closing, Origin, Running, Wire, pattern};

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// An origin that switches and then follows `tunnel`.
fn switching(tunnel: impl Fn(&mut Wire) + Send + Sync + 'static) -> Origin {
    Origin::scripted(move |server| {
        if server.head().is_some() {
            server.send(SWITCHED);
            tunnel(server);
        }
    })
}

fn upgraded(proxy: &Running) -> Wire {
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.field("upgrade")), (101, Some("echo")));
    assert!(response.lists("connection", "upgrade"));
    client
}

#[test]
fn a_tunnel_carries_ten_megabytes_each_way() {
    const LARGE: usize = 10 * 1024 * 1024;
    let origin = switching(|server| {
        let (received, closing) = server.until_closed();
        assert_eq!(closing, Closing::End);
        server.send(received);
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = upgraded(&proxy);
    let body = pattern(LARGE);
    client.send(&body).finish_sending();
    let (echoed, closing) = client.until_closed();
    assert!(echoed == body && closing == Closing::End, "{} bytes, {closing:?}", echoed.len());
    for direction in ["in", "out"] {
        let series = format!("lb_frontend_bytes_total{{frontend=\"web\",direction=\"{direction}\"}}");
        assert!(proxy.metric(&series) > LARGE as f64);
    }
}

#[test]
fn a_silent_tunnel_ends_and_a_talking_one_does_not() {
    let origin = switching(|server| {
        while !server.is_closed() {
            let byte = server.exactly(1);
            server.send(byte);
        }
    });
    let silence = Duration::from_millis(400);
    let timeouts = BackendTimeouts::default().tunnel(silence);
    let shop = Backend::builder("shop").server(origin.address()).timeouts(timeouts).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = upgraded(&proxy);
    // Longer in all than the timeout, never silent for as long.
    for byte in 0..40 {
        client.send([byte]);
        assert_eq!(client.exactly(1), [byte]);
        thread::sleep(silence / 20);
    }
    client.until_closed();
    assert_eq!(proxy.log().only().reason, Some("idle_timeout"));
}

#[test]
fn an_end_that_fails_resets_the_other() {
    let origin = switching(|server| {
        server.send("hello");
        assert_eq!(server.until_closed().1, Closing::Reset);
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = upgraded(&proxy);
    assert_eq!(client.exactly(5), b"hello");
    client.reset();

    let origin = switching(|server| {
        server.send("hello");
        server.until_told();
        server.reset_on_close();
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = upgraded(&proxy);
    assert_eq!(client.exactly(5), b"hello");
    origin.tell();
    assert_eq!(client.until_closed(), (Vec::new(), Closing::Reset));
}

#[test]
fn a_tunnels_connection_serves_no_other_request() {
    let origin = Origin::scripted(|server| {
        let request = server.head().expect("a request");
        if request.field("upgrade").is_some() {
            server.send(SWITCHED);
            assert_eq!(server.exactly(24), b"GET / HTTP/1.1\r\nHost: a\r");
        } else {
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        server.until_closed();
    });
    let proxy = Running::in_front_of(&origin);
    let mut tunnel = upgraded(&proxy);
    // What goes through a tunnel is not read, be it a request.
    tunnel.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut other = proxy.client("web");
    assert_eq!(other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "ok");
    assert_eq!(origin.connections(), 2);
    drop(tunnel);
    let statuses: Vec<_> = proxy.log().wait_for(2).iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [Some(200), Some(101)]);
}

#[test]
fn a_tunnel_is_logged_when_it_ends_with_all_that_it_carried() {
    let origin = switching(|server| {
        let received = server.exactly(5);
        server.send(received).send("!");
        server.until_closed();
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = upgraded(&proxy);
    assert_eq!(client.send("hello").exactly(6), b"hello!");
    assert!(proxy.log().wait_for(0).is_empty());
    client.finish_sending().until_closed();
    let line = proxy.log().only();
    assert_eq!((line.request.as_deref(), line.status, line.reason), (Some("GET /"), Some(101), None));
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n".len() as u64;
    assert_eq!(line.received_bytes, head + 5);
    assert!(line.sent_bytes > 6, "the response's head and six bytes: {}", line.sent_bytes);
}

/// A proxy whose routes take CONNECT for `*.db` alone.
fn connecting_to(origin: &Origin) -> Running {
    let db = Backend::builder("db").server(origin.address()).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0");
    let web = web.route(Route::any().host("*.db").connect().to(&db)).route(Route::any().to(&db));
    Running::start(Proxy::builder().frontend(web))
}

#[test]
fn a_connect_that_its_server_agrees_to_is_a_tunnel() {
    // What a 2xx says about a body means nothing (RFC 9110 section 9.3.6).
    for answer in [
        "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n",
        "HTTP/1.1 299 Fine\r\nContent-Length: 3\r\nX-A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX-A: b\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nX-A: b\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\n\r\n",
    ] {
        let origin = Origin::scripted(move |server| {
            let head = server.head().unwrap();
            assert_eq!(head.start, "CONNECT one.db:5432 HTTP/1.1");
            assert_eq!((head.field("host"), head.field("content-length")), (Some("one.db:5432"), None));
            // Together with the head, and before it has anything to say to what the client sent.
            server.send([answer, "welcome"].concat());
            let (received, closing) = server.until_closed();
            assert_eq!(closing, Closing::End);
            server.send(received);
        });
        let proxy = connecting_to(&origin);
        for version in ["1.0", "1.1"] {
            let mut client = proxy.client("web");
            // As much as a client may send ahead.
            client.send(format!("CONNECT one.db:5432 HTTP/{version}\r\nHost: one.db:5432\r\n\r\nahead"));
            let mut response = client.head().unwrap();
            if response.status() == 103 {
                response = client.head().unwrap();
            }
            assert!(matches!(response.status(), 200 | 299), "{response:?}");
            let names: Vec<_> = response.fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((names, response.field("x-a")), (vec!["X-A", "date"], Some("b")), "{answer:?}");
            assert_eq!(client.exactly(7), b"welcome");
            client.send("0\r\n\r\nGET / HTTP/1.1\r\n\r\n").finish_sending();
            let (echoed, closing) = client.until_closed();
            assert_eq!(
                (echoed.as_slice(), closing),
                (&b"ahead0\r\n\r\nGET / HTTP/1.1\r\n\r\n"[..], Closing::End)
            );
        }
        let lines = proxy.log().wait_for(2);
        assert_eq!(lines[0].request.as_deref(), Some("CONNECT one.db:5432"));
        assert_eq!((lines[0].reason, lines[0].retries), (None, 0));
    }
}

#[test]
fn what_follows_a_connect_that_is_refused_is_no_request() {
    // By the server, with a body of any kind; it may have been sent ahead, for the tunnel.
    for (answer, body) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "no"),
        ("HTTP/1.1 407 Who\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", "no"),
        ("HTTP/1.1 302 Found\r\n\r\nno", "no"),
        // Nobody asked for an upgrade, and two lengths are two lengths.
        ("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "not valid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "not valid"),
    ] {
        let origin = Origin::scripted(move |server| {
            server.head();
            server.send(answer);
            if !answer.contains("Content") && !answer.contains("chunked") {
                server.finish_sending();
            }
            server.until_closed();
        });
        let proxy = connecting_to(&origin);
        let mut client = proxy.client("web");
        client
            .send("CONNECT one.db:1 HTTP/1.1\r\nHost: one.db:1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert!(response.text().contains(body), "{answer:?}: {response:?}");
        assert!(response.lists("connection", "close"), "{answer:?}: {response:?}");
        client.finish_sending().expect_closed();
        assert_eq!((origin.connections(), proxy.log().wait_for(1).len()), (1, 1));
    }
}

#[test]
fn a_connect_goes_nowhere_but_where_a_route_allows_it() {
    let origin = Origin::named("db");
    let proxy = connecting_to(&origin);
    for (request, status) in [
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("CONNECT db:443 HTTP/1.1\r\nHost: db:443\r\n\r\n", 405),
        ("CONNECT one.db HTTP/1.1\r\nHost: one.db\r\n\r\n", 400),
        ("CONNECT one.db: HTTP/1.1\r\nHost: one.db:\r\n\r\n", 400),
        ("CONNECT one.db:1/ HTTP/1.1\r\nHost: one.db:1\r\n\r\n", 400),
        ("CONNECT / HTTP/1.1\r\nHost: one.db:1\r\n\r\n", 400),
        ("CONNECT http://one.db:1/ HTTP/1.1\r\nHost: one.db:1\r\n\r\n", 400),
        ("CONNECT a@one.db:1 HTTP/1.1\r\nHost: a@one.db:1\r\n\r\n", 400),
        ("CONNECT one.db:1 HTTP/1.1\r\nHost: two.db:1\r\n\r\n", 400),
        ("CONNECT one.db:1 HTTP/1.1\r\nHost: one.db:1\r\nContent-Length: 3\r\n\r\n", 400),
        ("CONNECT one.db:1 HTTP/1.1\r\nHost: one.db:1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("connect one.db:1 HTTP/1.1\r\nHost: one.db:1\r\n\r\n", 400),
    ] {
        let mut client = proxy.client("web");
        let response = client.send(request).response();
        assert_eq!(response.status(), status, "{request:?}");
        client.finish_sending().expect_closed();
    }
    assert_eq!(origin.connections(), 0);
}
