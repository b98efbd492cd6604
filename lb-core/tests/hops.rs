//! Promise: what is said from hop to hop is said anew on each, where the client or the server waits for it.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use lb_core::http::edits::HeaderEdits;
use lb_core::http::route::Route;
use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running};

/// RFC 9110 section 15.5.22: it has to say which.
#[test]
fn a_server_that_asks_for_another_protocol_can_say_which() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n".into()
    });
    let proxy = Running::in_front_of(&origin);
    for (asked, connection, upgrade) in [
        ("1.1\r\nHost: a", "upgrade", Some("websocket")),
        ("1.1\r\nHost: a\r\nConnection: close", "close, upgrade", Some("websocket")),
        // It knows of none (RFC 9110 section 7.8).
        ("1.0\r\nConnection: keep-alive", "keep-alive", None),
    ] {
        let mut client = proxy.client("web");
        client.send(format!("GET / HTTP/{asked}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status(), response.field("upgrade")), (426, upgrade), "{asked:?}");
        assert_eq!(response.field("connection"), Some(connection), "{asked:?}");
    }
}

/// RFC 9110 section 10.1.1. A client may wait for long.
#[test]
fn a_client_whose_expectation_goes_no_further_is_told_to_continue() {
    let origin = Origin::answering(|request| {
        assert_eq!((request.field("expect"), request.text().as_str()), (None, "hello"));
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let edits = HeaderEdits::new().remove("expect").unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0");
    let web = web.route(Route::prefix("/removed").to(&shop).request_headers(edits)).backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    for (path, fields) in [("/removed", ""), ("/named", "Connection: expect\r\n")] {
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        assert_eq!(client.response().start, "HTTP/1.1 100 Continue", "{path}");
        client.send("hello");
        assert_eq!(client.response().status(), 200, "{path}");
    }
    assert_eq!(origin.connections(), 1);
}
