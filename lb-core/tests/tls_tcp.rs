//! Promise: in mode tcp TLS is ended, begun, or passed on unread by what its ClientHello asks for.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![cfg(all(feature = "tls", feature = "http"))]

mod rig;

use std::time::Duration;

use lb_core::prelude::*;
use lb_core::proxy::{TcpFrontend, TcpRoute};
use lb_core::testkit::{Closing, Origin, Running, Wire, eventually, pattern};
use lb_core::tls::{Origination, Termination};

use rig::{Authority, Client, Server};

/// Ends TLS itself and says its name to each client.
fn named(name: &'static str, server: &Server) -> Origin {
    let server = server.clone();
    Origin::scripted(move |wire| {
        let Some(_) = server.accept(wire) else { return };
        wire.send(name);
        wire.is_closed();
    })
}

/// Says what it has read of `length` bytes.
fn echo(length: usize) -> Origin {
    Origin::scripted(move |wire| {
        let bytes = wire.exactly(length);
        wire.send(bytes);
        wire.until_closed();
    })
}

fn backend(name: &str, origin: &Origin) -> Backend {
    Backend::builder(name).server(origin.address()).build().unwrap()
}

/// Who answers a client that asks for `name` and offers `protocol`.
fn answer(proxy: &Running, client: &Client, name: &str) -> String {
    let mut client = rig::wire(client.connect(&proxy.address("web"), name));
    String::from_utf8(client.exactly(4)).unwrap()
}

#[test]
fn hellos_choose_the_backend_and_pass_on_unread() {
    let authority = Authority::new();
    let server = Server::showing(&authority.issue(&["shop.example", "a.example", "127.0.0.1"]));
    let (shop, wild, rest) = (named("shop", &server), named("wild", &server), named("rest", &server));
    let web = Frontend::tcp("web")
        .listen("127.0.0.1:0")
        .route(TcpRoute::sni("*.example").to(&backend("wild", &wild)))
        .route(TcpRoute::sni("shop.example").to(&backend("shop", &shop)))
        .backend(&backend("rest", &rest));
    let proxy = Running::start(Proxy::builder().frontend(web));
    let client = Client::believing_anybody();
    for (name, expected) in
        [("shop.example", "shop"), ("a.example", "wild"), ("127.0.0.1", "rest"), ("else", "rest")]
    {
        assert_eq!(answer(&proxy, &client, name), expected, "{name}");
        assert_eq!(answer(&proxy, &client.clone().tls12(), name), expected, "{name}");
    }
}

#[test]
fn a_hello_may_come_byte_by_byte_and_large_bodies_follow() {
    let (authority, large) = (Authority::new(), pattern(3_000_000));
    let server = Server::showing(&authority.issue(&["shop.example"]));
    let length = large.len();
    let origin = Origin::scripted(move |wire| {
        let Some(_) = server.accept(wire) else { return };
        let bytes = wire.exactly(length);
        wire.send(bytes);
        wire.is_closed();
    });
    let web = Frontend::tcp("web").listen("127.0.0.1:0");
    let web = web.route(TcpRoute::sni("shop.example").to(&backend("shop", &origin)));
    let proxy = Running::start(Proxy::builder().frontend(web));
    // A relay in front that cuts what the client says into bytes.
    let address = proxy.address("web");
    let relay = Origin::scripted(move |near| {
        let mut far = Wire::connect(&address);
        let header = near.exactly(5);
        far.send_byte_by_byte(&header);
        let hello = near.exactly(usize::from(u16::from_be_bytes([header[3], header[4]])));
        far.send_byte_by_byte(&hello);
        let (mut up, mut down) = (near.socket(), far.socket());
        let (mut to_far, mut to_near) = (far.socket(), near.socket());
        let back = std::thread::spawn(move || drop(std::io::copy(&mut down, &mut to_near)));
        drop(std::io::copy(&mut up, &mut to_far));
        drop(to_far.shutdown(std::net::Shutdown::Write));
        back.join().unwrap();
    });
    let mut client = rig::wire(Client::trusting(&authority).connect(relay.address(), "shop.example"));
    client.send(&large);
    assert!(client.exactly(length) == large);
}

#[test]
fn what_is_no_tls_goes_where_no_name_is_asked_for() {
    let (plain, named) = (echo(5), echo(5));
    let web = |routes: TcpFrontend| {
        let web = routes.listen("127.0.0.1:0").head_timeout(Duration::from_millis(300));
        Running::start(Proxy::builder().frontend(web))
    };
    let sni = || TcpRoute::sni("shop.example").to(&backend("named", &named));
    let proxy = web(Frontend::tcp("web").route(sni()).backend(&backend("plain", &plain)));
    assert_eq!(proxy.client("web").send("hello").exactly(5), b"hello");
    assert_eq!((plain.connections(), named.connections()), (1, 0));
    drop(proxy);

    let proxy = web(Frontend::tcp("web").route(sni()));
    for (said, reason, closing) in [
        (&b"hello"[..], "no_route", Closing::Reset),
        // A record that begins a ClientHello which never ends.
        (b"\x16\x03\x01\x02\x00\x01", "client_timeout", Closing::End),
    ] {
        let mut client = proxy.client("web");
        client.send(said);
        assert_eq!(client.until_closed().1, closing, "{reason}");
        eventually(reason, || proxy.errors("web", reason) == 1.0);
    }
    let mut endless = proxy.client("web");
    let record = [&b"\x16\x03\x01\x40\x00\x01\x00\xff\xff"[..], &[0; 16_380]].concat();
    let _ = endless.try_send(&record);
    assert_eq!(endless.until_closed().1, Closing::Reset);
    eventually("too_large", || proxy.errors("web", "too_large") == 1.0);
    let mut gone = proxy.client("web");
    gone.send("\x16\x03").finish_sending();
    gone.until_closed();
    eventually("client_abort", || proxy.errors("web", "client_abort") == 1.0);
    assert_eq!(named.connections(), 0);
}

#[test]
fn tls_is_ended_and_names_choose_the_backend() {
    let authority = Authority::new();
    let tls = Termination::builder().certificate(authority.issue(&["shop.example", "other.example"]));
    let tls = tls.build().unwrap();
    let (shop, rest) = (echo(300_000), echo(3));
    let web = Frontend::tcp("web")
        .listen("127.0.0.1:0")
        .tls(tls)
        .route(TcpRoute::sni("shop.example").to(&backend("shop", &shop)))
        .backend(&backend("rest", &rest));
    let proxy = Running::start(Proxy::builder().frontend(web));
    let client = Client::trusting(&authority);
    let large = pattern(300_000);
    let mut to_shop = rig::wire(client.connect(&proxy.address("web"), "shop.example"));
    assert!(to_shop.send(&large).exactly(large.len()) == large);
    let mut to_rest = rig::wire(client.connect(&proxy.address("web"), "other.example"));
    assert_eq!(to_rest.send("abc").exactly(3), b"abc");
    let mut plain = proxy.client("web");
    plain.send("hello");
    assert_eq!(plain.until_closed().1, Closing::Reset);
    eventually("it is counted", || proxy.errors("web", "bad_request") == 1.0);
}

#[test]
fn tls_is_ended_and_begun_again() {
    let authority = Authority::new();
    let server = Server::showing(&authority.issue(&["127.0.0.1"]));
    let origin = Origin::scripted(move |wire| {
        let Some(_) = server.accept(wire) else { return };
        let bytes = wire.exactly(5);
        wire.send(bytes);
        wire.until_closed();
    });
    let shop = Backend::builder("shop")
        .server(origin.address())
        .tls(Origination::builder().authorities(authority.file()).build().unwrap())
        .build()
        .unwrap();
    let tls = Termination::builder().certificate(authority.issue(&["shop.example"])).build().unwrap();
    let web = Frontend::tcp("web").listen("127.0.0.1:0").tls(tls).backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = rig::wire(Client::trusting(&authority).connect(&proxy.address("web"), "shop.example"));
    assert_eq!(client.send("hello").exactly(5), b"hello");
}

#[test]
fn a_certificate_that_is_not_accepted_resets_the_client() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = named("shop", &Server::showing(&stranger.issue(&["127.0.0.1"])));
    let shop = Backend::builder("shop")
        .server(origin.address())
        .tls(Origination::builder().authorities(authority.file()).build().unwrap())
        .build()
        .unwrap();
    let proxy =
        Running::start(Proxy::builder().frontend(Frontend::tcp("web").listen("127.0.0.1:0").backend(&shop)));
    assert_eq!(proxy.client("web").until_closed().1, Closing::Reset);
    eventually("it is counted", || proxy.errors("web", "server_certificate") == 1.0);
}

#[cfg(feature = "config")]
#[test]
fn the_example_serves() {
    let authority = Authority::new();
    let server = Server::showing(&authority.issue(&["shop.example"]));
    let (shop, grpc, other) = (named("shop", &server), named("grpc", &server), named("rest", &server));
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/sni.toml");
    let environment = |name: &str| match name {
        "LISTEN" => Some("127.0.0.1:0".to_owned()),
        "SHOP" => Some(shop.address().to_owned()),
        "GRPC" => Some(grpc.address().to_owned()),
        "OTHER" => Some(other.address().to_owned()),
        _ => None,
    };
    let loaded = lb_core::config::load(conf, environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let proxy = Running::start(loaded.builder);
    let client = Client::believing_anybody();
    for (client, name, expected) in [
        (client.clone(), "shop.example", "shop"),
        (client.clone(), "eu.shop.example", "shop"),
        (client.clone().protocol("h2"), "shop.example", "grpc"),
        (client, "else.example", "rest"),
    ] {
        let mut client = rig::wire(client.connect(&proxy.address("tls"), name));
        assert_eq!(client.exactly(4), expected.as_bytes(), "{name}");
    }
}
