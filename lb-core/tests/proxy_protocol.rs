//! Promise: who a client is passes proxies in front and servers behind by the PROXY protocol, and nobody else's word
//! for it is taken.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::time::Duration;

use lb_core::backend::SendProxy;
use lb_core::http::FrontendTimeouts;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, Running, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// From 192.0.2.7:4711 to 198.51.100.1:443.
const ADDRESSES: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, body].concat()
}

/// Tells what it was told of the client.
fn telling() -> Origin {
    Origin::answering(|request: &Message| {
        let client = request.field("x-forwarded-for").unwrap_or("nothing").to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{client}", client.len()).into_bytes()
    })
}

fn to(origin: &Origin) -> Backend {
    Backend::builder("shop").server(origin.address()).build().unwrap()
}

fn accepting(origin: &Origin, network: &str) -> Running {
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&to(origin));
    Running::start(Proxy::builder().frontend(web.trusted_proxies([network.parse().unwrap()]).accept_proxy()))
}

#[test]
fn the_client_is_who_the_header_says() {
    let origin = telling();
    let proxy = accepting(&origin, "127.0.0.0/8");
    let six = [[0x20, 1, 0x0d, 0xb8].as_slice(), &[0; 28], &[0x12, 0x67, 0x01, 0xbb]].concat();
    for (header, client) in [
        (V1.to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(), "2001:db8::7"),
        (v2(0x21, 0x11, ADDRESSES), "192.0.2.7"),
        (v2(0x21, 0x11, &[ADDRESSES, b"\x04\0\x01x"].concat()), "192.0.2.7"),
        (v2(0x21, 0x21, &six), "2001:db8::"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x20, 0x00, b""), "127.0.0.1"),
    ] {
        // Together with the request, and in pieces of a byte.
        for piece in [usize::MAX, 1] {
            let mut wire = proxy.client("web");
            header.chunks(piece.min(header.len())).for_each(|piece| {
                wire.send(piece);
            });
            assert_eq!(wire.send(GET).response().text(), client);
            // It holds for the whole of the connection.
            assert_eq!(wire.send(GET).response().text(), client);
        }
    }
    assert_eq!(origin.connections(), 1, "the server's connections are shared, as ever");
}

/// What a strict reader says of each header: the client's address, or nothing at all.
#[test]
fn a_strict_reader_reads_this_and_nothing_else() {
    const ONE: Option<&str> = Some("192.0.2.7");
    const OWN: Option<&str> = Some("127.0.0.1");
    let v1 = |rest: &str| format!("PROXY {rest}").into_bytes();
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[ADDRESSES, tlvs].concat());
    let longest = |more: usize| v1(&format!("UNKNOWN {}\r\n", "x".repeat(107 - 16 + more)));
    let huge = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], ADDRESSES].concat();
    // That of the same header with zeros in its place.
    let crc = 0x6acd_f61c_u32.to_be_bytes();
    let origin = telling();
    let proxy = accepting(&origin, "127.0.0.0/8");
    let rows = [
        ("TCP4", V1.to_vec(), ONE),
        ("TCP6", v1("TCP6 2001:db8::7 ::1 4711 443\r\n"), Some("2001:db8::7")),
        ("UNKNOWN", v1("UNKNOWN\r\n"), OWN),
        ("UNKNOWN and anything", v1("UNKNOWN \x01 x  y\r\n"), OWN),
        ("107 bytes", longest(0), OWN),
        ("108 bytes", longest(1), None),
        ("port 99999", v1("TCP4 192.0.2.7 198.51.100.1 1 99999\r\n"), None),
        ("port 065", v1("TCP4 192.0.2.7 198.51.100.1 065 443\r\n"), None),
        ("port -1", v1("TCP4 192.0.2.7 198.51.100.1 -1 443\r\n"), None),
        ("no port", v1("TCP4 192.0.2.7 198.51.100.1 4711\r\n"), None),
        ("three octets", v1("TCP4 6.6.6 198.51.100.1 1 2\r\n"), None),
        ("five octets", v1("TCP4 1.2.3.4.5 198.51.100.1 1 2\r\n"), None),
        ("a zone", v1("TCP6 fe80::1%eth0 ::1 1 2\r\n"), None),
        ("mixed families", v1("TCP4 192.0.2.7 ::1 1 2\r\n"), None),
        ("the other family", v1("TCP6 192.0.2.7 198.51.100.1 1 2\r\n"), None),
        ("no CR", v1("TCP4 192.0.2.7 198.51.100.1 4711 443\nGET / HTTP/1.1\r\n"), None),
        ("no LF", v1("TCP4 192.0.2.7 198.51.100.1 4711 443\rGET"), None),
        ("two spaces", v1("TCP4  192.0.2.7 198.51.100.1 4711 443\r\n"), None),
        ("a space behind", v1("TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n"), None),
        ("a word more", v1("TCP4 192.0.2.7 198.51.100.1 4711 443 x\r\n"), None),
        ("lower case", V1.to_ascii_lowercase(), None),
        ("UDP4", v1("UDP4 192.0.2.7 198.51.100.1 4711 443\r\n"), None),
        ("nothing said", v1("\r\n"), None),
        ("v2", v2(0x21, 0x11, ADDRESSES), ONE),
        ("v2 LOCAL", v2(0x20, 0x00, b""), OWN),
        ("v2 LOCAL, addresses", v2(0x20, 0x11, ADDRESSES), OWN),
        ("v2 AF_UNSPEC", v2(0x21, 0x00, b""), OWN),
        ("v2 AF_UNIX", v2(0x21, 0x31, &[0; 216]), OWN),
        ("v2 UDP", v2(0x21, 0x12, ADDRESSES), None),
        ("v2 version 1", v2(0x11, 0x11, ADDRESSES), None),
        ("v2 version 3", v2(0x31, 0x11, ADDRESSES), None),
        ("v2 command 2", v2(0x22, 0x11, ADDRESSES), None),
        ("v2 too short for IPv4", v2(0x21, 0x11, &ADDRESSES[1..]), None),
        ("v2 too short for IPv6", v2(0x21, 0x21, ADDRESSES), None),
        ("v2 a value", with(b"\x04\0\x01x"), ONE),
        ("v2 a value cut off", with(b"\x04\0\x02x"), None),
        ("v2 half a value's head", with(b"\x04\0"), None),
        ("v2 TLS cut off", with(b"\x20\0\x03\x01\0\0"), None),
        ("v2 checksum", with(&[b"\x03\0\x04", &crc[..]].concat()), ONE),
        ("v2 wrong checksum", with(b"\x03\0\x04abcd"), None),
        ("v2 huge", huge, None),
        ("no header", Vec::new(), None),
        ("TLS", b"\x16\x03\x01\x02\0\x01".to_vec(), None),
    ];
    for (name, header, client) in &rows {
        for piece in [usize::MAX, 1] {
            let mut wire = proxy.client("web");
            let whole = [header, &b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"[..]].concat();
            // Who is refused may be so before the last byte.
            let _ = whole.chunks(piece.min(whole.len())).try_for_each(|piece| wire.try_send(piece));
            let answer = String::from_utf8(wire.until_closed().0).unwrap();
            let expected = client.map(|client| format!("\r\n\r\n{client}")).unwrap_or_default();
            assert!(
                answer.ends_with(&expected) && answer.is_empty() == client.is_none(),
                "{name}: {answer:?}"
            );
        }
    }
    let refused = rows.iter().filter(|(_, _, client)| client.is_none()).count();
    assert_eq!(proxy.errors("web", "bad_request"), 2.0 * refused as f64);
}

#[test]
fn a_header_of_others_or_out_of_place_tells_nothing() {
    let origin = telling();
    let proxy = accepting(&origin, "192.0.2.0/24");
    let none = Running::in_front_of(&origin);
    let (one, two) = (V1.to_vec(), v2(0x21, 0x11, ADDRESSES));
    for header in [&one, &two] {
        let mut wire = proxy.client("web");
        let _ = wire.try_send(header);
        assert_eq!(wire.until_closed().0, b"");
        // Where none is expected it is no request, and behind one it is none, either.
        for (proxy, before) in [(&none, ""), (&accepting(&origin, "127.0.0.0/8"), "PROXY UNKNOWN\r\n")] {
            let mut wire = proxy.client("web");
            wire.send([before.as_bytes(), header].concat());
            assert_eq!(wire.response().status(), 400, "{before}{}", header.escape_ascii());
        }
    }
    assert_eq!(proxy.errors("web", "bad_request"), 2.0);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_header_that_does_not_come_is_waited_for_as_long_as_a_head() {
    let origin = telling();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&to(&origin));
    let timeouts = FrontendTimeouts::default().head(Duration::from_millis(50));
    let web = web.timeouts(timeouts).trusted_proxies(["127.0.0.0/8".parse().unwrap()]).accept_proxy();
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut wire = proxy.client("web");
    wire.send(&V1[..9]).expect_closed();
    assert_eq!(proxy.errors("web", "client_timeout"), 1.0);
}

#[test]
fn nobody_to_believe_is_a_mistake() {
    let origin = telling();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&to(&origin)).accept_proxy();
    let error = web.build().unwrap_err().to_string();
    assert!(error.contains("trusted_proxies"), "{error}");
    let db = Frontend::tcp("db").listen("127.0.0.1:0").backend(&to(&origin)).accept_proxy();
    assert!(db.build().is_err());
}

/// Reads a header off the front of a connection, and what follows it up to an empty line.
fn introduced(wire: &mut Wire, length: usize) -> Vec<u8> {
    let header = wire.exactly(length);
    assert!(wire.head().is_some());
    header
}

#[test]
fn tls_in_front_makes_it_https() {
    let origin = Origin::answering(|request: &Message| {
        let scheme = request.field("x-forwarded-proto").unwrap_or("nothing").to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{scheme}", scheme.len()).into_bytes()
    });
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&to(&origin));
    let web = web.route(Route::path("/moved").redirect(302, "{scheme}://{host}/"));
    let web = web.trusted_proxies(["127.0.0.0/8".parse().unwrap()]).accept_proxy();
    let proxy = Running::start(Proxy::builder().frontend(web));
    let header = |tlvs: &[u8]| v2(0x21, 0x11, &[ADDRESSES, tlvs].concat());
    for (header, scheme) in [
        (header(b"\x20\0\x05\x01\0\0\0\0"), "https"),
        (header(b"\x20\0\x0f\x07\0\0\0\0\x21\0\x07TLSv1.3"), "https"),
        (header(b"\x20\0\x05\0\0\0\0\0"), "http"),
        (header(b""), "http"),
        (V1.to_vec(), "http"),
        (v2(0x20, 0x00, b"\x20\0\x05\x01\0\0\0\0"), "http"),
    ] {
        let mut wire = proxy.client("web");
        wire.send(&header).send(GET);
        assert_eq!(wire.response().text(), scheme, "{}", header.escape_ascii());
        let moved = wire.send("GET /moved HTTP/1.1\r\nHost: a\r\n\r\n").response();
        assert_eq!(moved.field("location"), Some(&*format!("{scheme}://a/")));
    }
}

#[test]
fn servers_are_told_who_the_client_is_on_a_connection_of_its_own() {
    // Neither header's length depends on the ports, all of which have five digits.
    let cases =
        [(SendProxy::V1, "PROXY TCP4 127.0.0.1 127.0.0.1 12345 12345\r\n".len()), (SendProxy::V2, 28)];
    for (version, length) in cases {
        let (heard, headers) = std::sync::mpsc::channel();
        let origin = Origin::scripted(move |server| {
            heard.send(introduced(server, length)).unwrap();
            server.send("HTTP/1.1 204 No Content\r\n\r\n");
            server.expect_closed();
        });
        let shop = Backend::builder("shop").server(origin.address()).send_proxy(version).build().unwrap();
        let proxy = Running::start(
            Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)),
        );
        let mut client = proxy.client("web");
        let (from, to) = (client.local().port(), proxy.address("web").rsplit(':').next().unwrap().to_owned());
        let expected = match version {
            SendProxy::V1 => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n").into_bytes(),
            _ => {
                let ports = [from.to_be_bytes(), to.parse::<u16>().unwrap().to_be_bytes()].concat();
                v2(0x21, 0x11, &[&[127, 0, 0, 1, 127, 0, 0, 1], &ports[..]].concat())
            }
        };
        for _ in 0..2 {
            assert_eq!(client.send(GET).response().status(), 204);
            assert_eq!(headers.recv().unwrap(), expected);
        }
        assert_eq!(origin.connections(), 2);
    }
}

#[test]
fn what_the_proxy_in_front_said_is_passed_on() {
    let tls = b"\x01\0\x02h2\x02\0\x04shop\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3";
    // The one of no concern to servers stays here.
    let received = v2(0x21, 0x11, &[ADDRESSES, b"\x04\0\x01x", tls].concat());
    let expected = v2(0x21, 0x11, &[ADDRESSES, tls].concat());
    let length = expected.len();
    let origin = Origin::scripted(move |server| {
        assert_eq!(server.exactly(length), expected);
        let bytes = server.exactly(4);
        server.send(bytes).until_closed();
    });
    let builder = Backend::builder("rows").server(origin.address()).send_proxy(SendProxy::V2);
    let db = Frontend::tcp("db").listen("127.0.0.1:0").backend(&builder.build().unwrap());
    let db = db.trusted_proxies(["127.0.0.1/32".parse().unwrap()]).accept_proxy();
    let proxy = Running::start(Proxy::builder().frontend(db));
    let mut client = proxy.client("db");
    assert_eq!(client.send(received).send("ping").exactly(4), b"ping");
}

#[test]
fn health_checks_speak_for_themselves() {
    let own = v2(0x20, 0x00, b"");
    let origin = Origin::scripted(move |server| {
        assert_eq!(server.exactly(own.len()), own);
        if server.head().is_some() {
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").until_closed();
        }
    });
    let shop = Backend::builder("shop").server(origin.address()).send_proxy(SendProxy::V2);
    let shop = shop.health(HealthCheck::http("/health")).build().unwrap();
    let proxy =
        Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)));
    lb_core::testkit::eventually("it is up", || {
        proxy.handle().status().backends[0].servers[0].server.state == lb_core::backend::ServerState::Up
    });
}
