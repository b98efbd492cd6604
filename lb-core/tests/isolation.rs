//! Promise: no client speaks past the proxy, in its name or in another client's, whatever it writes into a head; and no
//! answer meant for one reaches another.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use lb_core::backend::ServerSpec;
use lb_core::http::edits::HeaderEdits;
use lb_core::http::route::Route;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, Running};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn empty() -> Origin {
    Origin::answering(|_| EMPTY.into())
}

/// In front of `shop`, believing what this machine's clients say of themselves or not.
fn in_front_of(shop: &Backend, is_trusted: bool) -> Running {
    let mut web = Frontend::http("web").listen("127.0.0.1:0").backend(shop);
    if is_trusted {
        web = web.trusted_proxies(["127.0.0.0/8".parse().unwrap()]);
    }
    Running::start(Proxy::builder().frontend(web))
}

/// What the server is told, in order.
fn told(request: &Message) -> Vec<String> {
    request.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// What the server gets of a request with these fields.
fn received(proxy: &Running, origin: &Origin, fields: &str) -> Message {
    let mut client = proxy.client("web");
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    assert_eq!(client.response().status(), 200, "{fields:?}");
    origin.requests().pop().unwrap()
}

/// RFC 9113 section 3.1. Behind it a client would speak to the server, unseen.
#[test]
fn h2c_is_offered_in_no_field_among_several() {
    let origin = empty();
    let proxy = Running::in_front_of(&origin);
    for offers in [
        "Upgrade: h2c",
        "Upgrade: websocket, h2c",
        "Upgrade: websocket\r\nUpgrade: h2c",
        "Upgrade: h2c\r\nUpgrade: websocket",
        "Upgrade: H2C-14\r\nUpgrade:",
        "Upgrade:\r\nUpgrade: x,h2c/1",
    ] {
        let fields = format!("Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n{offers}");
        let request = received(&proxy, &origin, &fields);
        for name in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(request.fields_named(name).count(), 0, "{offers:?}: {request:?}");
        }
    }
    let request = received(&proxy, &origin, "Connection: upgrade\r\nUpgrade: x\r\nUpgrade:, websocket");
    assert_eq!(request.fields_named("upgrade").collect::<Vec<_>>(), ["x", ", websocket"]);
}

/// Servers that turn `-` into `_` read both as one (RFC 3875 section 4.1.18).
#[test]
fn who_the_client_is_can_t_be_said_with_underscores() {
    let origin = empty();
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    for is_trusted in [false, true] {
        let proxy = in_front_of(&shop, is_trusted);
        let spoofed = "X_Forwarded_For: 6.6.6.6\r\nx-forwarded_PROTO: https\r\nX_FORWARDED-Host: evil\r\nX_Own: 1\r\nContent_Length: 5\r\ntransfer_encoding: chunked";
        let request = received(&proxy, &origin, spoofed);
        let expected = [
            "host: a",
            "X_Own: 1",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-forwarded-host: a",
            "x-forwarded-port: 80",
        ];
        assert_eq!(told(&request), expected);
    }
}

#[test]
fn a_field_that_a_route_sets_or_removes_comes_from_nobody_else() {
    let origin = empty();
    let shop = Backend::builder("shop").server(origin.address()).forwarded(false).build().unwrap();
    let edits = HeaderEdits::new().set("x-user-id", "op").unwrap().remove("x-role").unwrap();
    let edits = edits.set("x_odd", "1").unwrap();
    let route = Route::any().to(&shop).request_headers(edits);
    let proxy =
        Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").route(route)));
    let request = received(
        &proxy,
        &origin,
        "X_User_ID: root\r\nX-User_Id: root\r\nx_role: root\r\nX-Odd: 2\r\nX_End: 3",
    );
    assert_eq!(told(&request), ["host: a", "X-Odd: 2", "X_End: 3", "x-user-id: op", "x_odd: 1"]);
}

/// RFC 9110 section 7.6.1: what is meant for all recipients is not for `Connection` to name.
#[test]
fn connection_takes_away_nothing_of_who_the_client_is() {
    let origin = empty();
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let proxy = in_front_of(&shop, true);
    let request = received(
        &proxy,
        &origin,
        "Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host\r\nX-Forwarded-For: 10.0.0.1\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop",
    );
    assert_eq!(request.field("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop"));
}

/// RFC 4559 section 6: such servers take all that follows on the connection for the same user's.
#[test]
fn a_connection_that_credentials_may_bind_serves_nobody_else() {
    for (version, credentials, is_shared) in [
        ("1.1", "Negotiate YIIJ", false),
        ("1.1", "NTLM TlRMTVNTUAAD", false),
        ("1.1", "ntlm", false),
        ("1.0", "Negotiate YIIJ", false),
        ("1.1", "Basic bmVnb3RpYXRl", true),
        ("1.1", "NTLMx y", true),
        ("1.1", "", true),
    ] {
        let origin = empty();
        let proxy = Running::in_front_of(&origin);
        for _ in 0..2 {
            let mut client = proxy.client("web");
            client.send(format!(
                "GET / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\nAuthorization: {credentials}\r\n\r\n"
            ));
            assert_eq!(client.response().status(), 200);
        }
        assert_eq!(origin.connections(), if is_shared { 1 } else { 2 }, "{version} {credentials:?}");
    }
}

/// RFC 9110 section 8.6, RFC 9112 section 6.1: its server may send the body whenever it likes.
#[test]
fn a_connection_where_a_body_may_still_come_serves_nobody_else() {
    for (response, is_reused) in [
        ("HTTP/1.1 204 No Content\r\nContent-Length: 38\r\n\r\n", false),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        (
            "HTTP/1.1 103 Hints\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        (
            "HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 38\r\n\r\n", true),
        ("HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
    ] {
        let origin = Origin::scripted(move |server| {
            for answer in [response, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"] {
                if server.request().is_none() {
                    return;
                }
                server.send(answer);
            }
        });
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut first = client.response();
        while first.status() < 200 {
            first = client.response();
        }
        assert_eq!(first.body, b"", "{response:?}");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let second = client.response().text();
        assert_eq!(
            (origin.connections(), second == "second"),
            if is_reused { (1, true) } else { (2, false) },
            "{response:?}"
        );
    }
}

#[test]
fn a_client_that_names_no_host_asks_for_one_all_the_same() {
    let origin = empty();
    for (name, expected) in
        [("web.example:80", "web.example:80"), ("web 1", "localhost"), ("unix:/run/app", "localhost")]
    {
        let server = ServerSpec::new(name, origin.address().parse().unwrap());
        let shop = Backend::builder("shop").servers([server]).build().unwrap();
        let proxy = in_front_of(&shop, false);
        let mut client = proxy.client("web");
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status(), 200);
        assert_eq!(origin.requests().pop().unwrap().field("host"), Some(expected));
    }
}

/// RFC 7239: some servers read it before X-Forwarded-For.
#[test]
fn who_the_client_is_can_t_be_said_in_the_standard_s_words() {
    let origin = empty();
    for (is_trusted, is_told) in [(false, true), (true, true), (false, false)] {
        let shop = Backend::builder("shop").server(origin.address()).forwarded(is_told).build().unwrap();
        let proxy = in_front_of(&shop, is_trusted);
        let fields = "Forwarded: for=6.6.6.6;proto=https\r\nConnection: forwarded";
        let request = received(&proxy, &origin, fields);
        let expected = (is_trusted || !is_told).then_some("for=6.6.6.6;proto=https");
        assert_eq!(request.field("forwarded"), expected, "{is_trusted} {is_told}");
    }
}
