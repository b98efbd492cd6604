//! Promise: a target or an authority is served or refused in HTTP/2 as in HTTP/1.1, and what is refused is answered,
//! counted and logged.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_frames;

use h2_frames::{Event, Peer, block, code, flag, kind};
use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running, pattern};

const AUTHORITY: &str = "shop.example";

/// A request by HTTP/2, which may have a Host as well.
fn head(path: &str, authority: &str, host: Option<&str>) -> Vec<u8> {
    let pseudo = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", authority)];
    let host = host.map(|host| ("host", host));
    block(&pseudo.into_iter().chain(host).collect::<Vec<_>>())
}

/// The status of the response on `stream`, as the static table has it.
fn status(peer: &mut Peer, stream: u32) -> u16 {
    let head =
        peer.until("a response", |frame| frame.kind == kind::HEADERS && frame.stream == stream).unwrap();
    match head.payload[0] {
        0x88 => 200,
        0x8c => 400,
        other => panic!("begins with {other:x}"),
    }
}

fn connect(proxy: &Running) -> Peer {
    let mut peer = Peer::connect(&proxy.address("web"));
    peer.shake_hands();
    peer
}

/// Asks by both protocols: what it comes to has to be the same, and is returned with what the server was asked.
fn by_both(path: &str, authority: &str, host: Option<&str>) -> (u16, Option<String>) {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    // HTTP/1.1 says an authority beside a Host by an absolute target.
    let (target, field) = match host {
        Some(host) => (format!("http://{authority}{path}"), host),
        None => (path.to_owned(), authority),
    };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {field}\r\n\r\n"));
    let plain = client.response().status();
    let mut peer = connect(&proxy);
    peer.headers(1, flag::ALL, &head(path, authority, host));
    assert_eq!(status(&mut peer, 1), plain, "{path:?} at {authority:?} and {host:?}");
    let log = proxy.log().wait_for(2);
    assert_eq!(log[0].reason, log[1].reason, "{path:?} at {authority:?}");
    let refused = if plain == 400 { 2.0 } else { 0.0 };
    assert_eq!(proxy.errors("web", "bad_request"), refused, "{path:?} at {authority:?}");
    // The connection goes on, whatever became of the stream.
    peer.headers(3, flag::ALL, &head("/next", AUTHORITY, None));
    assert_eq!(status(&mut peer, 3), 200, "{path:?} at {authority:?}");
    let mut asked = origin.requests();
    assert_eq!(asked.pop().unwrap().target(), "/next");
    let asked: Vec<_> =
        asked.iter().map(|asked| format!("{} {:?}", asked.target(), asked.field("host"))).collect();
    assert!(asked.windows(2).all(|two| two[0] == two[1]), "{asked:?}");
    (plain, asked.into_iter().next())
}

#[test]
fn targets_are_judged_alike() {
    for path in [
        "/q?query=up{job=\"x\"}",
        "/<a>?<b>",
        "/`a`?`b`",
        "/a|b^c\\d?e|f^g\\h",
        "/a\"b",
        "/%41%7E/%2f",
        "//a/../b?",
        "/?/?",
    ] {
        let expected = format!("{path} Some(\"{AUTHORITY}\")");
        assert_eq!(by_both(path, AUTHORITY, None), (200, Some(expected)), "{path}");
    }
    for path in ["/admin#x?q=1", "/#", "/a?b#c", "/a b", "/a\tb", "/é", "a", "?a", "*", "/%zz", "/../a"] {
        assert_eq!(by_both(path, AUTHORITY, None), (400, None), "{path}");
    }
}

#[test]
fn authorities_are_judged_alike() {
    for (authority, host) in [
        ("abs%2Flb.sock", None),
        ("a%2Fb%2Fc:80", None),
        ("[::1]:80", None),
        ("a:", None),
        ("a!$&'()*+;=", None),
        ("abs%2Flb.sock", Some("ABS%2flb.sock")),
        ("a:80", Some("a")),
        ("a", Some("a:80")),
        ("A:", Some("a")),
    ] {
        let (status, asked) = by_both("/x", authority, host);
        assert_eq!((status, asked), (200, Some(format!("/x Some({authority:?})"))), "{authority}");
    }
    for (authority, host) in [
        ("", None),
        ("user@a", None),
        ("a/b", None),
        ("a,b", None),
        ("a%zz", None),
        ("a b", None),
        ("a?b", None),
        ("a#b", None),
        ("a:80:80", None),
        ("a:443", Some("a")),
        ("a:81", Some("a")),
        ("a", Some("b")),
    ] {
        assert_eq!(by_both("/x", authority, host), (400, None), "{authority} {host:?}");
    }
}

#[test]
fn there_is_no_absolute_form_in_http2() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut peer = connect(&proxy);
    peer.headers(1, flag::ALL, &head("http://shop.example/x", AUTHORITY, None));
    assert_eq!(status(&mut peer, 1), 400);
    assert_eq!((proxy.log().only().reason, origin.requests().len()), (Some("bad_request"), 0));
}

/// RFC 7541 section 6.2.1: a name or a whole field may be meant by its number, long after it was sent.
#[test]
fn what_was_said_before_may_be_meant_again() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut peer = connect(&proxy);
    let literal = |index: u8, value: &str| {
        [&[0x40 | index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
    };
    let (path, authority) = (literal(4, "/\"a\""), literal(1, "abs%2Flb.sock"));
    // Numbers 62 and 63 from then on.
    peer.headers(1, flag::ALL, &[&[0x82, 0x86][..], &authority, &path].concat());
    assert_eq!(status(&mut peer, 1), 200);
    peer.headers(3, flag::ALL, &[0x82, 0x87, 0xbe, 0xbf]);
    assert_eq!(status(&mut peer, 3), 200);
    // The name of number 62 with another value.
    peer.headers(5, flag::ALL, b"\x82\xbf\x86\x0f\x2f\x04/<b>");
    assert_eq!(status(&mut peer, 5), 200);
    // Split where it hurts.
    peer.headers(7, flag::END, b"\x82\x86\x04");
    peer.continuation(7, flag::NONE, b"\x05/`c");
    peer.continuation(7, flag::END_HEADERS, b"`d\xbf");
    assert_eq!(status(&mut peer, 7), 200);
    let asked: Vec<_> = origin.requests().iter().map(|asked| asked.target().to_owned()).collect();
    assert_eq!(asked, ["/\"a\"", "/\"a\"", "/<b>", "/`c`d"]);
    assert!(origin.requests().iter().all(|asked| asked.field("host") == Some("abs%2Flb.sock")));
}

/// A client that knows by what names pseudo-fields pass is none the wiser.
#[test]
fn nobody_else_speaks_by_our_names() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    for (name, value) in [
        ("!method", "DELETE"),
        ("!scheme", "https"),
        ("!path", "/admin"),
        ("!authority", "admin.example"),
        ("!protocol", "websocket"),
    ] {
        for is_first in [true, false] {
            let mut peer = connect(&proxy);
            let mut fields = peer.pseudo("GET").to_vec();
            fields.insert(if is_first { 0 } else { fields.len() }, (name, value));
            peer.headers(1, flag::ALL, &block(&fields));
            let reset = peer.until("a reset", |frame| frame.stream == 1).unwrap();
            assert_eq!((reset.kind, reset.code()), (kind::RST_STREAM, code::PROTOCOL), "{name} {is_first}");
            // Fields whose names only look like ours pass.
            peer.headers(3, flag::ALL, &peer.head("GET", &[("!other", value), ("path", value)]));
            assert_eq!(status(&mut peer, 3), 200);
        }
    }
    assert!(origin.requests().iter().all(|asked| asked.target() == "/" && asked.field("!other").is_some()));
}

#[test]
fn what_http2_calls_malformed_is_reset_counted_and_logged() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut peer = connect(&proxy);
    peer.headers(1, flag::ALL, &block(&[(":method", "GET"), (":scheme", "http")]));
    let reset = peer.until("a reset", |frame| frame.kind == kind::RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.code()), (1, code::PROTOCOL));
    assert_eq!(proxy.log().only().reason, Some("bad_request"));
    assert_eq!(proxy.errors("web", "bad_request"), 1.0);
    // Resets that a client provokes count as its own.
    for at in 1..200 {
        peer.headers(2 * at + 1, flag::ALL, &block(&[(":method", "GET")]));
    }
    let end = peer.until("an end", |frame| frame.kind == kind::GOAWAY).unwrap();
    assert_eq!(end.code(), code::ENHANCE_YOUR_CALM);
    while let Event::Frame(_) = peer.next() {}
}

/// A proxy in front of one that is spoken to in HTTP/2, with all that this one refuses to clients.
fn two_in_front_of(origin: &Origin) -> (Running, Running) {
    let behind = Running::in_front_of(origin);
    let shop = Backend::builder("shop").server(behind.address("web")).http2(true).retries(0).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    (Running::start(Proxy::builder().frontend(web)), behind)
}

#[test]
fn servers_of_http2_are_asked_as_the_client_asked() {
    let origin = Origin::named("web1");
    let (proxy, _behind) = two_in_front_of(&origin);
    let mut client = proxy.client("web");
    let mut peer = connect(&proxy);
    let mut expected = Vec::new();
    let rows = [
        ("/plain?a=b", AUTHORITY),
        ("/q?query=up{job=\"x\"}", AUTHORITY),
        ("/<a>?<b>", AUTHORITY),
        ("/`a`?`b`", "a:80"),
        ("/x", "abs%2Flb.sock"),
        ("/", "abs%2Flb.sock:8080"),
        ("/", AUTHORITY),
        ("/index.html", "a%2Fb"),
        ("//a|b^c\\d/%41?\"", "[::1]:80"),
    ];
    // What was said before may be meant by its number, in both ways of saying it.
    for (at, (path, authority)) in rows.iter().chain(&rows).enumerate() {
        let body = pattern(at * 10_000);
        let length = body.len();
        let post = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nX-At: {at}\r\nContent-Length: {length}\r\n\r\n"
        );
        client.send([post.as_bytes(), &body].concat());
        assert_eq!(client.response().status(), 200, "{path} at {authority}");
        let asked = origin.requests().pop().unwrap();
        assert!(asked.body == body, "{path} at {authority}");
        assert_eq!(asked.field("x-at"), Some(&*at.to_string()));
        let stream = u32::try_from(2 * at + 1).unwrap();
        peer.headers(stream, flag::ALL, &head(path, authority, None));
        assert_eq!(status(&mut peer, stream), 200, "{path} at {authority}");
        expected.extend([
            (path.to_string(), Some(authority.to_string())),
            (path.to_string(), Some(authority.to_string())),
        ]);
    }
    let asked = origin.requests();
    let asked: Vec<_> = asked
        .iter()
        .map(|asked| (asked.target().to_owned(), asked.field("host").map(str::to_owned)))
        .collect();
    assert_eq!(asked, expected);
}
