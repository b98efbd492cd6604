//! Promise: whatever comes to a port of TLS has an outcome that is counted, and ordinary clients are served meanwhile.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![cfg(all(feature = "tls", feature = "http"))]

mod rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lb_core::prelude::*;
use lb_core::testkit::{Origin, PATIENCE, Running, Wire, eventually};
use lb_core::tls::{ClientCertificates, Termination};
use rustls::pki_types::ServerName;

use rig::{Authority, Client};

/// As long as each of those that take its place.
const NAME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.shop.example";

fn secure(authority: &Authority, origin: &Origin) -> Running {
    let tls = Termination::builder().certificate(authority.issue(&["shop.example"])).build().unwrap();
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let timeouts = lb_core::http::FrontendTimeouts::default().head(Duration::from_millis(500));
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls).timeouts(timeouts);
    Running::start(Proxy::builder().frontend(web))
}

fn handshakes(proxy: &Running, result: &str) -> f64 {
    proxy.metric(&format!("lb_tls_handshakes_total{{frontend=\"web\",result=\"{result}\"}}"))
}

/// An ordinary client's first bytes, asking for `name`.
fn hello(authority: &Authority, name: &str) -> Vec<u8> {
    let config = Client::trusting(authority).config();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut bytes = Vec::new();
    rustls::ClientConnection::new(config, name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// The same with the name asked for replaced.
fn hello_for(authority: &Authority, name: &str) -> Vec<u8> {
    let mut bytes = hello(authority, NAME);
    let at = bytes.windows(NAME.len()).position(|window| window == NAME.as_bytes()).unwrap();
    bytes[at..at + NAME.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// The same handshake message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |piece: &[u8]| [&[22, 3, 1, 0, u8::try_from(piece.len()).unwrap()], piece].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

/// Sends bytes, ends the sending, and reads until the proxy closes, in whatever way.
fn answer_to(proxy: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(proxy.address("web")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    if socket.write_all(bytes).and_then(|()| socket.shutdown(std::net::Shutdown::Write)).is_ok() {
        let _reset = socket.read_to_end(&mut answer);
    }
    answer
}

fn is_served(proxy: &Running, authority: &Authority) {
    let mut client = rig::wire(Client::trusting(authority).connect(&proxy.address("web"), "shop.example"));
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.response().status(), 200);
}

#[test]
fn what_is_no_handshake_is_counted_by_what_it_is() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = secure(&authority, &origin);
    let whole = hello(&authority, "shop.example");
    let name = |replaced: &str| hello_for(&authority, &format!("{replaced:a>67}"));
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    for (what, bytes, counted) in [
        ("a name with a NUL", name("\0.example"), "malformed"),
        ("a name with a space", name(" .example"), "malformed"),
        ("a label that is too long", name(""), "malformed"),
        ("a message that claims 16 MiB", with(6, 255), "malformed"),
        ("a record that claims more than one may hold", with(3, 255), "malformed"),
        ("another handshake message", with(5, 2), "malformed"),
        ("half a hello", whole[..whole.len() / 2].to_vec(), "closed"),
        ("a hello in records of a byte, and no more", in_records(&whole, 1), "closed"),
        ("a hello, and no more", whole.clone(), "closed"),
        ("a hello and clear text", [&whole[..], b"GET / HTTP/1.1\r\n\r\n"].concat(), "malformed"),
        ("a byte of a record", vec![22], "closed"),
        ("the hello of SSL 2", b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10".to_vec(), "clear_text"),
        ("clear text", b"GET / HTTP/1.0\r\n\r\n".to_vec(), "clear_text"),
    ] {
        let before = handshakes(&proxy, counted);
        answer_to(&proxy, &bytes);
        eventually(what, || handshakes(&proxy, counted) == before + 1.0);
        is_served(&proxy, &authority);
    }
    assert_eq!(origin.requests().len(), 13);
}

#[test]
fn http2_in_clear_text_does_not_get_past_tls() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = secure(&authority, &origin);
    // Settings; a head of stream 1: GET, http, / (RFC 7541 appendix A), with the authority `a`.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a");
    let answer = answer_to(&proxy, &bytes);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("speaks TLS"), "{text:?}");
    assert!(origin.requests().is_empty());
    assert_eq!(proxy.errors("web", "bad_request"), 1.0);
}

#[test]
fn half_handshakes_end_in_time_and_hinder_nobody() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = secure(&authority, &origin);
    let whole = hello(&authority, "shop.example");
    let halves: Vec<_> = (0..200)
        .map(|at| {
            let mut wire = Wire::connect(&proxy.address("web"));
            wire.send(&whole[..1 + at]);
            wire
        })
        .collect();
    for _ in 0..5 {
        is_served(&proxy, &authority);
    }
    eventually("all are closed", || handshakes(&proxy, "timeout") == 200.0);
    eventually("none is open", || proxy.metric("lb_frontend_connections{frontend=\"web\"}") == 0.0);
    drop(halves);
}

#[test]
fn damaged_hellos_end_one_connection_each() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = secure(&authority, &origin);
    let whole = hello(&authority, "shop.example");
    // The same each time.
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(1..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(1..=bytes.len()));
        answer_to(&proxy, &bytes);
    }
    let failed = || {
        let results = ["malformed", "incompatible", "no_protocol", "alert", "closed", "timeout"];
        results.iter().map(|result| handshakes(&proxy, result)).sum::<f64>()
    };
    eventually("each is counted", || failed() == 300.0);
    is_served(&proxy, &authority);
}

#[test]
fn the_name_asked_for_by_tls_opens_no_other_way_than_the_host_does() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (open, guarded) = (Origin::named("open"), Origin::named("guarded"));
    let backend =
        |name: &str, origin: &Origin| Backend::builder(name).server(origin.address()).build().unwrap();
    let files = authority.issue(&["open.example", "guarded.example"]);
    let tls = || Termination::builder().certificate(files.clone());
    let shop = backend("open", &open);
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls().build().unwrap());
    let asking = tls().clients(ClientCertificates::required(clients.file())).build().unwrap();
    let staff = Frontend::http("staff")
        .listen("127.0.0.1:0")
        .route(Route::any().host("open.example").to(&shop))
        .route(Route::any().host("guarded.example").to(&backend("guarded", &guarded)))
        .tls(asking);
    let proxy = Running::start(Proxy::builder().frontend(web).frontend(staff));
    let get = |wire: &mut Wire, host: &str| {
        wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        wire.response().text()
    };

    // Everybody shows a certificate there, whatever name is asked for; routes go by the host alone.
    let alice = Client::trusting(&authority).showing(&clients.issue(&["alice"]));
    for name in ["open.example", "guarded.example"] {
        let mut wire = rig::wire(alice.connect(&proxy.address("staff"), name));
        assert_eq!([get(&mut wire, "open.example"), get(&mut wire, "guarded.example")], ["open", "guarded"]);
        assert!(
            rig::is_refused(Client::trusting(&authority).connect(&proxy.address("staff"), name)),
            "{name}"
        );
    }
    // A ticket of the open frontend is none of the other's, although name and certificate are the same.
    let nobody = Client::trusting(&authority);
    for client in [nobody.clone(), nobody.tls12()] {
        for _ in 0..2 {
            let mut wire = rig::wire(client.connect(&proxy.address("web"), "guarded.example"));
            assert_eq!(get(&mut wire, "guarded.example"), "open");
        }
        let refused = client
            .try_connect(&proxy.address("staff"), "guarded.example")
            .is_ok_and(|stream| !rig::is_refused(stream));
        assert!(!refused);
    }
    assert_eq!(handshakes(&proxy, "resumed"), 2.0);
    assert_eq!(guarded.requests().len(), 2);
}

#[test]
fn the_hybrid_against_quantum_computers_is_offered() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = secure(&authority, &origin);
    let stream = Client::trusting(&authority).connect(&proxy.address("web"), "shop.example");
    let group = stream.conn.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}
