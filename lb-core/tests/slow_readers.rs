//! Promise: a client that reads slowly, and steadily, is served to the end, however much the kernel has buffered for it;
//! one that does not read is not waited for.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[cfg(feature = "tls")]
mod rig;

use std::thread;
use std::time::{Duration, Instant};

use lb_core::http::FrontendTimeouts;
use lb_core::prelude::*;
use lb_core::proxy::HttpFrontend;
use lb_core::testkit::{Closing, Message, Origin, Running, Wire, chunk, eventually, pattern};

/// Far more than the kernel holds for both ends.
const LARGE: usize = 12 * 1024 * 1024;
/// How long a client may take nothing.
const BODY: Duration = Duration::from_millis(700);

/// Answers `/length` with a body of known length and `/chunks` with chunks.
fn origin() -> Origin {
    Origin::answering(|request: &Message| {
        let body = pattern(LARGE);
        if request.target() == "/length" {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
            return [head.as_bytes(), &body].concat();
        }
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend(body.chunks(50_000).flat_map(chunk));
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    })
}

fn web(origin: &Origin) -> HttpFrontend {
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let timeouts = FrontendTimeouts::default().body(BODY);
    Frontend::http("web").listen("127.0.0.1:0").timeouts(timeouts).backend(&shop)
}

fn asking(mut client: Wire, path: &str) -> Wire {
    socket2::SockRef::from(&client.socket()).set_recv_buffer_size(64 * 1024).unwrap();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"));
    client
}

/// Reads so that the third of a buffer that the kernel wants free takes several times as long as a client may take.
fn reads_slowly(client: &mut Wire, path: &str) {
    let began = Instant::now();
    let mut seen = Vec::new();
    while began.elapsed() < 4 * BODY {
        seen.extend(client.exactly(6000));
        thread::sleep(BODY / 35);
    }
    socket2::SockRef::from(&client.socket()).set_recv_buffer_size(1024 * 1024).unwrap();
    let (rest, closing) = client.until_closed();
    seen.extend(rest);
    assert_eq!(closing, Closing::End);
    let end = if path == "/length" { &pattern(LARGE)[LARGE - 1000..] } else { b"\r\n0\r\n\r\n" };
    assert!(seen.len() > LARGE && seen.ends_with(end), "{path}: {} of {LARGE} bytes", seen.len());
}

#[test]
fn a_slow_reader_is_served_to_the_end() {
    let origin = origin();
    let proxy = Running::start(Proxy::builder().frontend(web(&origin)));
    for path in ["/length", "/chunks"] {
        reads_slowly(&mut asking(proxy.client("web"), path), path);
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_slow_reader_behind_tls_is_served_to_the_end() {
    let (authority, origin) = (rig::Authority::new(), origin());
    let files = authority.issue(&["shop.example"]);
    let tls = lb_core::tls::Termination::builder().certificate(files).build().unwrap();
    let proxy = Running::start(Proxy::builder().frontend(web(&origin).tls(tls)));
    let client = rig::Client::trusting(&authority).connect(&proxy.address("web"), "shop.example");
    reads_slowly(&mut asking(rig::wire(client), "/length"), "/length");
}

#[test]
fn who_reads_nothing_is_not_waited_for() {
    let origin = origin();
    let proxy = Running::start(Proxy::builder().frontend(web(&origin)));
    for (at, path) in ["/length", "/chunks"].into_iter().enumerate() {
        let began = Instant::now();
        let _client = asking(proxy.client("web"), path);
        eventually("the client is given up", || proxy.errors("web", "client_timeout") == at as f64 + 1.0);
        assert!(began.elapsed() >= BODY, "{path}");
    }
}
