//! Promise: an idle connection costs little memory: less than HAProxy's 1,140 bytes for a kept-alive client
//! connection, at most 2 KiB for a tunnel, at most 12 KiB for a kept-alive client connection under TLS, at most 24 KiB
//! for one of HTTP/2.
#![cfg(all(feature = "http", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_frames;
mod rig;

use std::net::TcpListener;
use std::path::Path;

use lb_core::prelude::*;
use lb_core::testkit::{Origin, ProxyProcess, Wire, raise_open_files_limit};
use lb_core::tls::{CertificateFiles, Termination};

use h2_frames::Peer;
use rig::{Authority, Client};

const CONNECTIONS: usize = 5000;
/// Before the first look, so that what a worker keeps for all of them is there.
const WARM_UP: usize = 500;

/// The other process; see [`ProxyProcess`].
#[test]
fn proxy_process() {
    let builder = |role: &str, origin: &str| {
        let backend = Backend::builder("shop").server(origin).build().unwrap();
        let long = std::time::Duration::from_secs(3600);
        let timeouts = lb_core::http::FrontendTimeouts::default().idle(long);
        let web = Frontend::http("web").listen("127.0.0.1:0").timeouts(timeouts).backend(&backend);
        match role.split_once(':').unwrap_or((role, "")) {
            ("http", _) => Proxy::builder().frontend(web),
            ("https", certificate) => {
                let certificate = Path::new(certificate);
                let files = CertificateFiles::new(certificate, certificate.with_extension("key"));
                let tls = Termination::builder().certificate(files).build().unwrap();
                Proxy::builder().frontend(web.tls(tls))
            }
            _ => Proxy::builder()
                .frontend(Frontend::tcp("db").listen("127.0.0.1:0").idle_timeout(long).backend(&backend)),
        }
    };
    ProxyProcess::serve(builder, || 0);
}

/// Bytes of memory that are the process's own.
fn private_bytes(process: &ProxyProcess) -> usize {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.id())).unwrap();
    let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).expect("Anonymous");
    anonymous.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// More memory for each needs fewer of them to be seen, and handshakes take their time.
const TLS_CONNECTIONS: usize = 1000;

fn has_descriptors() -> bool {
    let enough = 3 * CONNECTIONS as u64;
    let is_enough = raise_open_files_limit().is_none_or(|limit| limit > enough);
    if !is_enough {
        eprintln!("skipped: fewer than {enough} files may be open");
    }
    is_enough
}

/// Bytes for each of the connections that `open` opens and returns.
fn measure<T>(proxy: &ProxyProcess, open: impl FnMut() -> T) -> usize {
    measure_some(CONNECTIONS, proxy, open)
}

fn measure_some<T>(connections: usize, proxy: &ProxyProcess, mut open: impl FnMut() -> T) -> usize {
    let _warm: Vec<T> = (0..WARM_UP).map(|_| open()).collect();
    let before = private_bytes(proxy);
    let _idle: Vec<T> = (0..connections).map(|_| open()).collect();
    private_bytes(proxy).saturating_sub(before) / connections
}

#[test]
fn an_idle_connection_of_a_client_takes_less_than_1140_bytes() {
    if !has_descriptors() {
        return;
    }
    let origin = Origin::named("web1");
    let proxy = ProxyProcess::start("proxy_process", "http", origin.address(), &[]);
    let each = measure(&proxy, || {
        let mut client = proxy.client();
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "web1");
        client
    });
    println!("an idle client connection: {each} bytes");
    assert!(each < 1140, "{each} bytes");
}

#[test]
fn a_connection_that_has_said_nothing_holds_no_buffer() {
    if !has_descriptors() {
        return;
    }
    let origin = Origin::named("web1");
    let proxy = ProxyProcess::start("proxy_process", "http", origin.address(), &[]);
    let each = measure(&proxy, || {
        let silent = proxy.client();
        // Whoever answers this one has accepted the other.
        let mut later = proxy.client();
        assert_eq!(later.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "web1");
        silent
    });
    println!("a silent client connection: {each} bytes");
    // As much as an idle one, and what the heap loses between those that come and go.
    assert!(each < 2048, "{each} bytes");
}

#[test]
fn an_idle_connection_under_tls_takes_at_most_12_kib() {
    if !has_descriptors() {
        return;
    }
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let certificate = authority.issue(&["shop.example"]);
    let role = format!("https:{}", certificate.certificate_file().display());
    let proxy = ProxyProcess::start("proxy_process", &role, origin.address(), &[]);
    let tls = Client::trusting(&authority);
    let each = measure_some(TLS_CONNECTIONS, &proxy, || {
        let mut client = rig::wire(tls.connect(proxy.address(), "shop.example"));
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "web1");
        client
    });
    println!("an idle client connection under TLS: {each} bytes");
    assert!(each <= 12 * 1024, "{each} bytes");
}

#[test]
fn an_idle_connection_of_http2_takes_at_most_24_kib() {
    if !has_descriptors() {
        return;
    }
    let origin = Origin::named("web1");
    let proxy = ProxyProcess::start("proxy_process", "http", origin.address(), &[]);
    let each = measure_some(TLS_CONNECTIONS, &proxy, || {
        let mut client = Peer::connect(proxy.address());
        client.shake_hands();
        client.get(1);
        client.until_ended();
        assert_eq!(client.fault, None);
        client
    });
    println!("an idle client connection of HTTP/2: {each} bytes");
    assert!(each <= 24 * 1024, "{each} bytes");
}

#[test]
fn an_idle_tunnel_takes_at_most_2048_bytes() {
    if !has_descriptors() {
        return;
    }
    // No thread for each: 5,000 would be too many.
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = ProxyProcess::start("proxy_process", "tcp", &origin.local_addr().unwrap().to_string(), &[]);
    let each = measure(&proxy, || {
        let mut client = proxy.client();
        let (server, _) = origin.accept().unwrap();
        // Both ways have been used once.
        client.send("up");
        let mut server = Wire::from(server);
        assert_eq!(server.exactly(2), b"up");
        server.send("down");
        assert_eq!(client.exactly(4), b"down");
        (client, server)
    });
    println!("an idle tunnel: {each} bytes");
    assert!(each <= 2048, "{each} bytes");
}
