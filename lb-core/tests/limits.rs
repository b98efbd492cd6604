//! Promise: what is wrong has one answer, one reason in the access log and one counter (ARCHITECTURE.md, "What bad
//! input gets").
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::time::Duration;

use lb_core::backend::{BackendTimeouts, ServerSpec};
use lb_core::http::{FrontendTimeouts, Limits};
use lb_core::prelude::*;
use lb_core::proxy::{HttpFrontend, ProxyBuilder};
use lb_core::testkit::{
    Closing, Message, Origin, Running, Wire, black_hole_address, chunk, eventually, pattern, refusing_address,
};

const SOON: Duration = Duration::from_millis(100);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn shop(origin: &Origin) -> Backend {
    Backend::builder("shop").server(origin.address()).build().unwrap()
}

fn web(frontend: impl FnOnce(HttpFrontend) -> HttpFrontend) -> ProxyBuilder {
    Proxy::builder().frontend(frontend(Frontend::http("web").listen("127.0.0.1:0")))
}

fn to(backend: &Backend) -> Running {
    Running::start(web(|frontend| frontend.backend(backend)))
}

/// What the client is to see.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    Stays,
}

/// Checks an answer of the proxy itself, and what the log and the counters say of it.
fn assert_refused(proxy: &Running, client: &mut Wire, status: u16, reason: &str, then: Then) {
    let response = client.response();
    assert_refusal(&response, status, then);
    match then {
        Then::Closes => client.expect_closed(),
        Then::Stays => {
            client.send("GET /again HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            while client.response().status() < 200 {}
            client.expect_closed();
        }
    }
    let entries = proxy.log().wait_for(if matches!(then, Then::Stays) { 2 } else { 1 });
    assert_eq!((entries[0].status, entries[0].reason), (Some(status), Some(reason)), "{entries:?}");
    assert!(entries[0].sent_bytes > 0 && entries[0].frontend == "web", "{entries:?}");
    let times = entries.iter().filter(|entry| entry.reason == Some(reason)).count();
    assert_eq!(proxy.errors("web", reason), times as f64);
}

fn assert_refusal(response: &Message, status: u16, then: Then) {
    assert_eq!(response.status(), status, "{response:?}");
    assert!(
        response.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
        "{response:?}"
    );
    assert!(!response.body.is_empty() && response.body.len() < 100, "{response:?}");
    assert!(response.field("date").is_some(), "{response:?}");
    let connection = matches!(then, Then::Closes).then_some("close");
    assert_eq!(response.field("connection"), connection, "{response:?}");
}

#[test]
fn malformed_requests_are_400_and_closed_and_reach_no_server() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let origin = Origin::named("web1");
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send(request);
        assert_refused(&proxy, &mut client, 400, "bad_request", Then::Closes);
        assert_eq!(origin.connections(), 0, "{request:?}");
        assert_eq!(proxy.metric("lb_requests_total{frontend=\"web\",backend=\"\",code=\"4xx\"}"), 1.0);
    }
}

#[test]
fn a_bad_chunk_is_400_and_closed_and_its_request_never_whole() {
    let origin = Origin::scripted(|server| {
        if server.head().is_some() {
            let (received, _) = server.until_closed();
            assert!(!received.ends_with(b"0\r\n\r\n"), "{received:?}");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n");
    assert_refused(&proxy, &mut client, 400, "bad_request", Then::Closes);
}

#[test]
fn a_path_that_escapes_the_root_or_holds_a_nul_is_400() {
    for target in ["/..", "/a/../../b", "/%2e%2e/x", "/a%00b"] {
        let origin = Origin::named("web1");
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_refused(&proxy, &mut client, 400, "bad_request", Then::Stays);
    }
}

#[test]
fn a_head_that_takes_too_long_is_408() {
    let origin = Origin::named("web1");
    let slow = |frontend: HttpFrontend| {
        frontend.backend(&shop(&origin)).timeouts(FrontendTimeouts::default().head(SOON))
    };
    for (before, sent) in [("", "GET / HT"), (GET, "GET / HTTP/1.1\r\nHost: a\r\n")] {
        let proxy = Running::start(web(slow));
        let mut client = proxy.client("web");
        client.send(before);
        if !before.is_empty() {
            assert_eq!(client.response().status(), 200);
        }
        client.send(sent);
        let response = client.response();
        assert_refusal(&response, 408, Then::Closes);
        client.expect_closed();
        let entry = proxy.log().wait_for(1).pop().unwrap();
        assert_eq!((entry.status, entry.reason), (Some(408), Some("client_timeout")));
        assert_eq!(proxy.errors("web", "client_timeout"), 1.0);
    }
}

#[test]
fn a_client_that_sends_nothing_is_closed_without_a_word() {
    let origin = Origin::named("web1");
    let timeouts = FrontendTimeouts::default().head(SOON).idle(SOON);
    let proxy = Running::start(web(|frontend| frontend.backend(&shop(&origin)).timeouts(timeouts)));
    proxy.client("web").expect_closed();
    let mut idle = proxy.client("web");
    idle.send(GET);
    assert_eq!(idle.response().status(), 200);
    idle.expect_closed();
    assert_eq!(proxy.log().wait_for(1).len(), 1, "only the request is logged");
}

#[test]
fn a_body_that_takes_too_long_is_408() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let origin = Origin::scripted(|server| {
            server.head();
            server.until_closed();
        });
        let timeouts = FrontendTimeouts::default().body(SOON);
        let proxy = Running::start(web(|frontend| frontend.backend(&shop(&origin)).timeouts(timeouts)));
        let mut client = proxy.client("web");
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n5\r\nhello\r\n"));
        assert_refused(&proxy, &mut client, 408, "client_timeout", Then::Closes);
    }
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let origin = Origin::answering(|_| {
        let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20).into_bytes();
        reply.resize(reply.len() + (64 << 20), b'x');
        reply
    });
    let timeouts = FrontendTimeouts::default().body(SOON);
    let proxy = Running::start(web(|frontend| frontend.backend(&shop(&origin)).timeouts(timeouts)));
    let mut client = proxy.client("web");
    client.buffer_little();
    client.send(GET);
    let entry = proxy.log().only();
    assert_eq!((entry.status, entry.reason), (Some(200), Some("client_timeout")));
    assert!(entry.sent_bytes < 64 << 20, "{entry:?}");
    assert_eq!(proxy.errors("web", "client_timeout"), 1.0);
}

#[test]
fn heads_targets_and_field_counts_are_bounded_at_their_edge() {
    // The head without padding is 4 lines of these lengths.
    let head = |length: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - rest))
    };
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    for (limit, request, status) in [
        (1000, head(999), 200),
        (1000, head(1000), 200),
        (1000, head(1001), 431),
        (1000, head(5000), 431),
        (1000, head(50_000), 431),
        (1000, target(900), 200),
        (1000, target(1100), 414),
        (1000, target(50_000), 414),
        (1000, fields(8), 200),
        (1000, fields(9), 431),
        // Larger than a worker's usual buffer.
        (64 * 1024, head(64 * 1024), 200),
        (64 * 1024, head(64 * 1024 + 1), 431),
        (64 * 1024, target(60_000), 200),
    ] {
        let origin = Origin::named("web1");
        let limits = Limits::default().head_bytes(limit).headers(8);
        let proxy = Running::start(web(|frontend| frontend.backend(&shop(&origin)).limits(limits)));
        let mut client = proxy.client("web");
        let case = format!("{} bytes under a limit of {limit}", request.len());
        client.send(&request);
        if status == 200 {
            assert_eq!(client.response().status(), 200, "{case}");
            client.send(GET);
            assert_eq!(client.response().text(), "web1", "{case}");
            continue;
        }
        let response = client.response();
        assert_eq!(response.status(), status, "{case}");
        assert_refusal(&response, status, Then::Closes);
        client.expect_closed();
        assert_eq!((proxy.log().only().reason, origin.connections()), (Some("too_large"), 0), "{case}");
        assert_eq!(proxy.errors("web", "too_large"), 1.0);
    }
}

#[test]
fn bodies_are_bounded_at_their_edge() {
    for (length, is_chunked, status) in [
        (999, false, 200),
        (1000, false, 200),
        (1001, false, 413),
        (100_000, false, 413),
        (1000, true, 200),
        (1001, true, 413),
        (100_000, true, 413),
    ] {
        let origin = Origin::scripted(|server| {
            while let Some(head) = server.head() {
                let is_small = if head.field("content-length").is_some() {
                    server.exactly(head.field("content-length").unwrap().parse().unwrap()).len() <= 1000
                } else {
                    // The last chunk must never come for one that is too large.
                    let mut received = Vec::new();
                    while !received.ends_with(b"0\r\n\r\n") && received.len() < 2000 {
                        if server.is_closed() {
                            return;
                        }
                        received.extend(server.exactly(1));
                    }
                    true
                };
                assert!(is_small);
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let limits = Limits::default().body_bytes(1000);
        let proxy = Running::start(web(|frontend| frontend.backend(&shop(&origin)).limits(limits)));
        let mut client = proxy.client("web");
        let case = format!("{length} bytes, chunked: {is_chunked}");
        if is_chunked {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in pattern(length).chunks(100) {
                if client.try_send(chunk(piece)).is_err() {
                    break;
                }
            }
            let _ = client.try_send("0\r\n\r\n");
        } else {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
            let _ = client.try_send(pattern(length));
        }
        let response = client.response();
        assert_eq!(response.status(), status, "{case}");
        if status == 413 {
            assert_refusal(&response, 413, Then::Closes);
            client.expect_closed();
            assert_eq!(proxy.log().only().reason, Some("too_large"), "{case}");
            assert_eq!(proxy.errors("web", "too_large"), 1.0, "{case}");
        }
    }
}

#[test]
fn no_route_is_404() {
    let origin = Origin::named("web1");
    let proxy = Running::start(web(|frontend| frontend.route(Route::prefix("/shop").to(&shop(&origin)))));
    let mut client = proxy.client("web");
    client.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_refused(&proxy, &mut client, 404, "no_route", Then::Stays);
    assert_eq!(origin.connections(), 0);
    let entry = proxy.log().wait_for(1).swap_remove(0);
    assert_eq!((entry.request.as_deref(), entry.backend), (Some("GET /other"), None));
}

#[test]
fn a_backend_without_a_server_up_is_503() {
    let backend =
        Backend::builder("shop").server(ServerSpec::new("web1", "127.0.0.1:1".parse().unwrap()).weight(0));
    let proxy = to(&backend.build().unwrap());
    let mut client = proxy.client("web");
    client.send(GET);
    assert_refused(&proxy, &mut client, 503, "no_server", Then::Stays);
    assert_eq!(proxy.log().wait_for(1)[0].backend.as_deref(), Some("shop"));
}

#[test]
fn servers_that_stay_at_their_max_connections_are_503() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.until_told();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    });
    let server = ServerSpec::new("web1", origin.address().parse().unwrap()).max_connections(1);
    let timeouts = BackendTimeouts::default().queue(SOON);
    let proxy = to(&Backend::builder("shop").server(server).timeouts(timeouts).build().unwrap());
    let mut holding = proxy.client("web");
    holding.send(GET);
    eventually("the first request holds the slot", || origin.connections() == 1);
    let mut client = proxy.client("web");
    client.send(GET);
    let response = client.response();
    assert_refusal(&response, 503, Then::Stays);
    assert_eq!(proxy.log().only().reason, Some("queue_timeout"));
    assert_eq!(proxy.errors("web", "queue_timeout"), 1.0);
    origin.tell();
    assert_eq!(holding.response().text(), "late");
}

#[test]
fn servers_that_refuse_or_do_not_answer_connections_are_502() {
    let (refusing, _refusing) = refusing_address();
    let (black_hole, _hole) = black_hole_address();
    for address in [refusing, black_hole] {
        let timeouts = BackendTimeouts::default().connect(SOON);
        let proxy =
            to(&Backend::builder("shop").server(address.as_str()).timeouts(timeouts).build().unwrap());
        let mut client = proxy.client("web");
        client.send(GET);
        assert_refused(&proxy, &mut client, 502, "connect_failed", Then::Stays);
    }
}

#[test]
fn a_server_that_answers_with_something_else_is_502() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ] {
        let origin = Origin::scripted(move |server| {
            server.request();
            server.send(answer);
        });
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send(GET);
        assert_refused(&proxy, &mut client, 502, "bad_response", Then::Stays);
    }
}

#[test]
fn a_server_that_takes_too_long_for_its_head_is_504() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let origin = Origin::scripted(move |server| {
            server.request();
            server.send(answer);
            server.until_closed();
        });
        let timeouts = BackendTimeouts::default().response(SOON);
        let proxy =
            to(&Backend::builder("shop").server(origin.address()).timeouts(timeouts).build().unwrap());
        let mut client = proxy.client("web");
        client.send(GET);
        if answer.contains("103") {
            assert_eq!(client.response().status(), 103);
        }
        assert_refused(&proxy, &mut client, 504, "server_timeout", Then::Stays);
    }
}

#[test]
fn a_server_that_fails_in_a_body_breaks_the_clients_stream() {
    for (answer, length) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 50_000),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 5),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n", 50_000),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 5),
    ] {
        for is_reset in [false, true] {
            let origin = Origin::scripted(move |server| {
                server.request();
                server.send(answer).send(pattern(length));
                // The client has some of it before it breaks.
                if is_reset {
                    server.until_told();
                    server.reset_on_close();
                }
            });
            let proxy = Running::in_front_of(&origin);
            let mut client = proxy.client("web");
            client.send(GET);
            let head = client.head().expect("a head");
            assert_eq!(head.status(), 200);
            origin.tell();
            let (body, closing) = client.until_closed();
            assert!(!body.ends_with(b"0\r\n\r\n"), "the last chunk of {answer:?}");
            assert!(body.len() < length + 100, "{answer:?}: {} bytes, {closing:?}", body.len());
            let entry = proxy.log().only();
            assert_eq!((entry.status, entry.reason), (Some(200), Some("server_abort")), "{answer:?}");
            assert_eq!(proxy.errors("web", "server_abort"), 1.0);
        }
    }
}

#[test]
fn a_broken_body_that_only_its_end_would_tell_is_reset_for_an_http10_client() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        server.until_told();
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.head().expect("a head").status(), 200);
    assert_eq!(client.exactly(5), b"hello");
    origin.tell();
    assert_eq!(client.until_closed(), (Vec::new(), Closing::Reset));
    assert_eq!(proxy.log().only().reason, Some("server_abort"));
}

#[test]
fn a_server_that_takes_too_long_in_a_body_breaks_the_clients_stream() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        server.until_closed();
    });
    let timeouts = BackendTimeouts::default().body(SOON);
    let proxy = to(&Backend::builder("shop").server(origin.address()).timeouts(timeouts).build().unwrap());
    let mut client = proxy.client("web");
    client.send(GET);
    assert_eq!(client.head().expect("a head").status(), 200);
    assert_eq!(client.until_closed().0, b"hello");
    assert_eq!(proxy.log().only().reason, Some("server_timeout"));
    assert_eq!(proxy.errors("web", "server_timeout"), 1.0);
}

#[test]
fn connections_over_max_connections_wait_in_the_kernels_queue() {
    let origin = Origin::named("web1");
    let of_frontend = web(|frontend| frontend.backend(&shop(&origin)).max_connections(1));
    let of_proxy = web(|frontend| frontend.backend(&shop(&origin))).max_connections(1);
    for builder in [of_frontend, of_proxy] {
        let proxy = Running::start(builder);
        let mut first = proxy.client("web");
        first.send(GET);
        assert_eq!(first.response().text(), "web1");
        let mut second = proxy.client("web");
        second.send(GET);
        first.send(GET);
        assert_eq!(first.response().text(), "web1");
        assert!(second.is_silent());
        assert_eq!(proxy.metric("lb_frontend_connections{frontend=\"web\"}"), 1.0);
        drop(first);
        assert_eq!(second.response().text(), "web1");
        drop(second);
    }
}
