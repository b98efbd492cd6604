//! Promise: what HTTP/1.1 (RFC 9112) lets two ends say to each other, they can say through the proxy.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, SystemTime};

use lb_core::http::edits::HeaderEdits;
use lb_core::http::route::{Respond, Route};
use lb_core::prelude::*;
use lb_core::testkit::{Closing, Message, Origin, Running, chunk, eventually, pattern};

const LARGE: usize = 10 * 1024 * 1024;
/// Less than the proxy would let gather.
const PART: usize = 40_000;

fn reply(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    reply.extend_from_slice(body);
    reply
}

/// An origin that sends back each request's body.
fn echo() -> Origin {
    Origin::answering(|request| reply(&request.body))
}

/// An origin that sends these bytes for whatever is asked, keeping its connections.
fn saying(bytes: impl AsRef<[u8]>) -> Origin {
    let bytes = bytes.as_ref().to_vec();
    Origin::answering(move |_| bytes.clone())
}

#[test]
fn a_kept_alive_connection_serves_requests_one_after_the_other_over_one_connection_to_the_server() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for _ in 0..5 {
        client.send("GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\nX-A:  1 \r\n\r\n");
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (200, "web1"));
        assert_eq!(response.field("connection"), None);
    }
    assert_eq!(origin.connections(), 1);
    let request = origin.requests().swap_remove(4);
    assert_eq!(request.start, "GET /a?b=c HTTP/1.1");
    assert_eq!((request.field("host"), request.field("x-a")), (Some("shop.example"), Some("1")));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.example"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| reply(request.target()));
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    let requests: String = (0..100)
        .map(|n| match n % 3 {
            0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
            _ => format!(
                "POST /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            ),
        })
        .collect();
    client.send(&requests);
    for n in 0..100 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
    let bodies: Vec<String> = origin.requests().iter().map(Message::text).collect();
    assert!(bodies.chunks(3).take(33).all(|three| three == ["", "hello", "hi"]), "{bodies:?}");
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((client.response().text(), client.response().text()), ("web1".into(), "web1".into()));
}

#[test]
fn bodies_of_any_size_pass_both_ways_by_length() {
    let origin = echo();
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for length in [0, 1, 1000, 16_383, 16_384, 16_385, 100_000, 1_000_000, LARGE] {
        let body = pattern(length);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).send(&body);
        let response = client.response();
        assert!(response.body == body, "{length} bytes came back as {}", response.body.len());
        assert_eq!(response.field("content-length"), Some(length.to_string().as_str()));
    }
    assert_eq!(origin.connections(), 1, "every exchange left its connection clean");
    let entries = proxy.log().wait_for(9);
    assert!(entries.iter().all(|entry| entry.reason.is_none()), "{entries:?}");
    let large = entries[8].clone();
    assert!(large.received_bytes > LARGE as u64 && large.received_bytes < LARGE as u64 + 200, "{large:?}");
    assert!(large.sent_bytes > LARGE as u64 && large.sent_bytes < LARGE as u64 + 200, "{large:?}");
}

/// Sends a large body in parts, each when it is told to.
fn in_parts() -> Origin {
    Origin::scripted(|wire| {
        wire.head();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 10 * PART));
        for _ in 0..10 {
            wire.send(pattern(PART)).until_told();
        }
    })
}

#[test]
fn a_large_body_is_not_kept_from_the_client_while_the_server_takes_its_time() {
    let origin = in_parts();
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").head();
    for _ in 0..10 {
        assert!(client.exactly(PART) == pattern(PART));
        origin.tell();
    }
}

#[test]
fn nor_while_the_client_still_sends() {
    let origin = in_parts();
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    let mut sending = client.socket();
    let sends = thread::spawn(move || {
        while sending.write_all(b"more").is_ok() {
            thread::sleep(Duration::from_micros(100));
        }
    });
    client.head();
    for _ in 0..10 {
        assert!(client.exactly(PART) == pattern(PART));
        origin.tell();
    }
    client.socket().shutdown(Shutdown::Both).unwrap();
    sends.join().unwrap();
}

#[test]
fn chunked_bodies_pass_both_ways_with_their_trailers() {
    let origin = Origin::answering(|request| {
        assert_eq!(request.field("transfer-encoding"), Some("chunked"));
        assert_eq!(request.field("trailer"), Some("x-sum"));
        assert_eq!(request.trailers, [("x-sum".to_owned(), "request".to_owned())]);
        let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n".to_vec();
        for piece in request.body.chunks(7000) {
            reply.extend(format!("{:X};ext=1\r\n", piece.len()).into_bytes());
            reply.extend_from_slice(piece);
            reply.extend_from_slice(b"\r\n");
        }
        reply.extend_from_slice(b"0\r\nX-Sum:  response \r\n\r\n");
        reply
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for length in [0, 1, 5000, 300_000] {
        let body = pattern(length);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n");
        for piece in body.chunks(999) {
            client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
        }
        client.send("0\r\nx-sum: request\r\n\r\n");
        let response = client.response();
        assert!(response.body == body, "{length} bytes came back as {}", response.body.len());
        assert_eq!(response.trailers, [("X-Sum".to_owned(), "response".to_owned())]);
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.requests()[0].field("te"), Some("trailers"));
}

#[test]
fn a_large_chunked_response_passes_whole() {
    let body = pattern(LARGE);
    let origin = Origin::answering({
        let body = body.clone();
        move |_| {
            let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            reply.extend(body.chunks(50_000).flat_map(chunk));
            reply.extend_from_slice(b"0\r\n\r\n");
            reply
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().body == body);
}

#[test]
fn a_flood_of_one_byte_chunks_passes_whole() {
    let origin = echo();
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    let body = pattern(50_000);
    let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend(body.chunks(1).flat_map(chunk));
    request.extend_from_slice(b"0\r\n\r\n");
    client.send(&request);
    assert!(client.response().body == body);
}

#[test]
fn a_response_that_the_servers_close_ends_is_chunked_for_http11_and_closed_for_http10() {
    let origin = Origin::scripted(|server| {
        if server.request().is_some() {
            server.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").send(pattern(200_000));
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
        assert!(response.body == pattern(200_000));
    }
    let mut old = proxy.client("web");
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = old.response();
    assert!(response.body == pattern(200_000));
    assert_eq!((response.field("transfer-encoding"), response.field("connection")), (None, Some("close")));
}

#[test]
fn responses_without_a_body_end_with_their_heads() {
    for (method, response, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", Some("1000")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n", Some("1000")),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some("0")),
    ] {
        let origin = saying(response);
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        for _ in 0..3 {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let received = if method == "HEAD" { client.response_to_head() } else { client.response() };
            assert_eq!(received.start, response.lines().next().unwrap(), "{response:?}");
            assert_eq!(received.field("content-length"), length, "{response:?}");
            assert_eq!(received.field("connection"), None, "{response:?}");
        }
        assert_eq!(origin.connections(), 1, "{response:?}");
    }
}

#[test]
fn an_expectation_is_passed_and_the_servers_100_comes_back_before_the_body_goes() {
    let origin = Origin::scripted(|server| {
        while let Some(head) = server.head() {
            assert_eq!(head.field("expect"), Some("100-continue"));
            assert!(server.is_silent(), "the body waits for the 100");
            server.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(server.exactly(5), b"hello");
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(client.response().status(), 100);
        client.send("hello");
        assert_eq!(client.response().text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_refused_expectation_is_answered_and_the_body_never_sent() {
    let origin = Origin::scripted(|server| {
        if server.head().is_some() {
            server
                .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (417, "no"));
    // Whether the body follows is unknown: the next request could not be told from it.
    assert_eq!(response.field("connection"), Some("close"));
    client.finish_sending();
    client.expect_closed();
}

/// RFC 9110 section 6.6.1.
#[test]
fn a_response_without_a_date_gets_one() {
    const GIVEN: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
    let origin = Origin::answering(|request| {
        let date = match request.target() {
            "/dated" => format!("Date: {GIVEN}\r\n"),
            "/hop" => format!("Connection: date\r\nDate: {GIVEN}\r\n"),
            "/interim" => return [b"HTTP/1.1 103 Early\r\n\r\n".to_vec(), reply("later")].concat(),
            _ => String::new(),
        };
        format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n").into_bytes()
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let set = HeaderEdits::new().set("date", GIVEN).unwrap();
    let added = HeaderEdits::new().add("date", GIVEN).unwrap();
    let removed = HeaderEdits::new().remove("date").unwrap();
    let own = Respond::new(200);
    let web = Frontend::http("web")
        .listen("127.0.0.1:0")
        .route(Route::path("/set").to(&shop).response_headers(set.clone()))
        .route(Route::path("/added").to(&shop).response_headers(added))
        .route(Route::path("/removed").to(&shop).response_headers(removed.clone()))
        .route(Route::path("/own").respond(own.clone()))
        .route(Route::path("/own/set").respond(own.clone()).response_headers(set))
        .route(Route::path("/own/removed").respond(own).response_headers(removed))
        .backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    let mut date = |target: &str| {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut response = client.response();
        if target == "/interim" {
            assert_eq!((response.status(), response.field("date")), (103, None));
            response = client.response();
        }
        response.field("date").map(str::to_owned)
    };
    for target in ["/dated", "/set", "/added", "/own/set"] {
        assert_eq!(date(target).as_deref(), Some(GIVEN), "{target}");
    }
    for target in ["/removed", "/own/removed"] {
        assert_eq!(date(target), None, "{target}");
    }
    let before = SystemTime::now() - Duration::from_secs(1);
    for target in ["/", "/interim", "/hop", "/own"] {
        let date = date(target).unwrap_or_else(|| panic!("no date at {target}"));
        let time = httpdate::parse_http_date(&date).unwrap();
        assert!(before <= time && time <= SystemTime::now(), "{date} at {target}");
    }
}

#[test]
fn interim_responses_pass_to_http11_and_not_to_http10() {
    let origin = saying(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.response();
    assert_eq!((hints.status(), hints.field("link")), (103, Some("</a.css>")));
    assert_eq!((client.response().status(), client.response().text()), (102, "ok".into()));
    let mut old = proxy.client("web");
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(old.response().text(), "ok");
    old.expect_closed();
}

/// It may believe that no body comes, and take the one that does for the next request.
#[test]
fn a_server_that_answers_an_expectation_without_a_100_gets_no_other_request() {
    let origin = Origin::scripted(|server| {
        while let Some(head) = server.head() {
            if head.target() == "/told" {
                server.send("HTTP/1.1 100 Continue\r\n\r\n");
                server.exactly(44);
            }
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            if head.target() == "/untold" {
                server.until_closed();
                return;
            }
        }
    });
    let proxy = Running::in_front_of(&origin);
    for (target, expectation, connections) in [
        ("/told", "100-continue", 1),
        ("/told", "y 100-continue", 1),
        ("/untold", "100-continue", 1),
        ("/untold", "100-Continue", 2),
        ("/untold", "y 100-continue", 3),
    ] {
        let mut client = proxy.client("web");
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nExpect: {expectation}\r\nContent-Length: 44\r\n\r\n"
        ));
        client.send("GET /smuggled HTTP/1.1\r\nHost: abcdefghij\r\n\r\n");
        if target == "/told" {
            assert_eq!(client.response().status(), 100);
        }
        assert_eq!(client.response().text(), "ok");
        assert_eq!(origin.connections(), connections, "{target} {expectation:?}");
    }
}

/// RFC 9110 section 10.1.1: a client of HTTP/1.0 knows no 100, so its server need not send one.
#[test]
fn an_expectation_of_a_http10_client_means_nothing() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    for (version, passed) in [("1.0", None), ("1.1", Some("100-continue"))] {
        let mut client = proxy.client("web");
        client.send(format!(
            "POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
        ));
        assert_eq!(client.response().text(), "web1");
        let requests = origin.requests();
        let request = requests.last().unwrap();
        assert_eq!((request.field("expect"), request.text().as_str()), (passed, "hi"), "HTTP/{version}");
    }
}

#[test]
fn http10_clients_are_closed_unless_they_ask_to_be_kept() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut plain = proxy.client("web");
    plain.send("GET / HTTP/1.0\r\n\r\n");
    let response = plain.response();
    assert_eq!((response.text().as_str(), response.field("connection")), ("web1", Some("close")));
    plain.expect_closed();
    let mut keeping = proxy.client("web");
    for _ in 0..3 {
        keeping.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = keeping.response();
        assert_eq!((response.text().as_str(), response.field("connection")), ("web1", Some("keep-alive")));
    }
    let requests = origin.requests();
    assert!(requests.iter().all(|request| request.start == "GET / HTTP/1.1"), "{requests:?}");
    assert!(requests.iter().all(|request| request.field("host").is_some()), "{requests:?}");
}

#[test]
fn a_client_that_asks_to_close_is_closed() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("close"));
    client.expect_closed();
    // The server's connection stays.
    let mut next = proxy.client("web");
    next.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((next.response().text().as_str(), origin.connections()), ("web1", 1));
    assert_eq!(origin.requests()[0].field("connection"), None);
}

#[test]
fn a_client_that_half_closes_behind_its_request_gets_its_response() {
    let origin = Origin::answering(|_| reply(pattern(LARGE)));
    let proxy = Running::in_front_of(&origin);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = proxy.client("web");
        client.send(request).finish_sending();
        assert!(client.response().body == pattern(LARGE), "{request:?}");
        client.expect_closed();
    }
}

#[test]
fn a_server_that_asks_to_close_is_not_used_again() {
    let origin = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for used in 1..4 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!((response.text().as_str(), response.field("connection")), ("ok", None));
        assert_eq!(origin.connections(), used);
    }
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let origin = saying(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\n\r\n",
    );
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop, host\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nX-End: 2\r\n\r\n",
    );
    let response = client.response();
    let request = origin.requests().swap_remove(0);
    for message in [&request, &response] {
        for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "te", "upgrade"] {
            assert_eq!(message.field(name), None, "{message:?}");
        }
        assert_eq!(message.field("x-end"), Some("2"));
    }
    assert_eq!(request.field("host"), Some("a"));
}

#[test]
fn an_upgrade_becomes_a_tunnel_that_closes_each_way_by_itself() {
    let origin = Origin::scripted(|server| {
        let Some(request) = server.head() else { return };
        assert_eq!(request.field("upgrade"), Some("websocket"));
        assert!(request.lists("connection", "upgrade"));
        // The first bytes of the tunnel come together with the head.
        server.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nwelcome",
        );
        let (received, closing) = server.until_closed();
        assert_eq!(closing, Closing::End);
        server.send(received);
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    let response = client.response();
    assert_eq!((response.status(), response.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.exactly(7), b"welcome");
    let body = pattern(1_000_000);
    client.send(&body).finish_sending();
    let (echoed, closing) = client.until_closed();
    assert_eq!((echoed.len(), closing), (5 + body.len(), Closing::End));
    assert!(echoed[..5] == *b"early" && echoed[5..] == body);
}

#[test]
fn a_refused_upgrade_is_an_ordinary_response() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(client.response().text(), "web1");
    }
}

#[test]
fn an_early_final_response_reaches_a_client_that_is_still_sending() {
    let origin = Origin::scripted(|server| {
        if server.head().is_some() {
            server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).send([7; 1000]);
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (403, "no"));
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn a_client_that_goes_away_frees_the_server() {
    let origin = Origin::scripted(|server| {
        if server.head().is_some() {
            // Larger than all buffers between here and the client.
            let _ = server.try_send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while server.try_send([0; 65_536]).is_ok() {}
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.exactly(100_000);
    client.reset();
    let entry = proxy.log().only();
    assert_eq!((entry.status, entry.reason), (Some(200), Some("client_abort")));
    eventually("the slot is given back", || {
        proxy.handle().status().backends[0].servers[0].server.in_flight == 0
    });
}

#[test]
fn options_of_the_whole_server_and_absolute_targets_pass() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://b.example/x?y HTTP/1.1\r\nHost: b.example\r\n\r\nGET http://c.example?q HTTP/1.1\r\nHost: c.example\r\n\r\n");
    // RFC 9112 section 3.2.4: without a path, and without a query, they are those of the server, too.
    for target in ["http://d.example", "http://d.example/", "http://d.example?q"] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: d.example\r\n\r\n"));
    }
    for _ in 0..6 {
        assert_eq!(client.response().status(), 200);
    }
    let seen: Vec<_> = origin
        .requests()
        .iter()
        .map(|r| (r.target().to_owned(), r.field("host").map(str::to_owned)))
        .collect();
    let expected = [
        ("*", "a"),
        ("/x?y", "b.example"),
        ("/?q", "c.example"),
        ("*", "d.example"),
        ("/", "d.example"),
        ("/?q", "d.example"),
    ];
    assert_eq!(seen, expected.map(|(target, host)| (target.to_owned(), Some(host.to_owned()))));
}

#[test]
fn a_proxy_with_a_name_says_that_it_was_on_the_way() {
    let origin = Origin::named("web1");
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let web = || Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web().via("lb.example:80")));
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 fred\r\n\r\n").response();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").response();
    let via: Vec<Vec<String>> = origin
        .requests()
        .iter()
        .map(|request| request.fields_named("via").map(str::to_owned).collect())
        .collect();
    assert_eq!(via, [vec!["1.0 fred", "1.1 lb.example:80"], vec!["1.0 lb.example:80"]]);
    assert!(web().via("my proxy").build().unwrap_err().to_string().contains("my proxy"));
}
