//! Promise: whatever the client speaks and whatever the server speaks, in clear text or TLS, a row of the table ends
//! the same.
#![cfg(all(feature = "tls", feature = "http"))]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_client;
mod pair_table;
mod rig;

use std::sync::{Arc, mpsc};

use lb_core::prelude::*;
use lb_core::testkit::{Origin, PATIENCE, Running, Wire, pattern};
use lb_core::tls::{Origination, Termination};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use pair_table::{Client, Got, Outcome, ROWS, Row, Seen, Server};
use rig::Authority;

/// One side of the proxy.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    http2: bool,
    tls: bool,
}

const SIDES: [Side; 4] = [
    Side { http2: false, tls: false },
    Side { http2: false, tls: true },
    Side { http2: true, tls: false },
    Side { http2: true, tls: true },
];

#[test]
fn http1_in_clear_text_meets_all() {
    meets_all(SIDES[0]);
}

#[test]
fn http1_by_tls_meets_all() {
    meets_all(SIDES[1]);
}

#[test]
fn http2_in_clear_text_meets_all() {
    meets_all(SIDES[2]);
}

#[test]
fn http2_by_tls_meets_all() {
    meets_all(SIDES[3]);
}

/// Plays every row between this kind of client and every kind of server.
fn meets_all(client: Side) {
    for server in SIDES {
        let stage = Stage::set(client, server);
        for (at, row) in ROWS.iter().enumerate() {
            stage.play(at, row);
        }
    }
}

/// A proxy between two sides.
struct Stage {
    sides: (Side, Side),
    authority: Authority,
    got: mpsc::Receiver<Got>,
    // In the order of dropping: the proxy asserts that nothing of it is left.
    proxy: Running,
    origin: Option<Origin>,
    told: Arc<Notify>,
    runtime: Runtime,
}

impl Stage {
    fn set(client: Side, server: Side) -> Self {
        let (authority, runtime) = (Authority::new(), Runtime::new().unwrap());
        let files = authority.issue(&["shop.example"]);
        let (note, got) = mpsc::channel();
        let told = Arc::new(Notify::new());
        let tls = server.tls.then(|| rig::Server::showing(&files));
        let note = move |got| note.send(got).unwrap();
        let (address, origin) = if server.http2 {
            (runtime.block_on(http2_server(tls, note, Arc::clone(&told))), None)
        } else {
            let origin = Origin::scripted(move |wire| {
                if tls.as_ref().is_none_or(|tls| tls.accept(wire).is_some()) {
                    pair_table::h1::serve(wire, &note);
                }
            });
            (origin.address().to_owned(), Some(origin))
        };
        let mut shop = Backend::builder("shop").server(&*address).http2(server.http2);
        if server.tls {
            let tls = Origination::builder().authorities(authority.file()).server_name("shop.example");
            shop = shop.tls(tls.build().unwrap());
        }
        let mut web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop.build().unwrap());
        if client.tls {
            web = web.tls(Termination::builder().certificate(files).build().unwrap());
        }
        let proxy = Running::start(Proxy::builder().frontend(web));
        Self { sides: (client, server), authority, got, proxy, origin, told, runtime }
    }

    fn play(&self, at: usize, row: &Row) {
        let (client, _) = self.sides;
        let address = self.proxy.address("web");
        let tls = || rig::Client::trusting(&self.authority);
        let tell = || self.origin.as_ref().map_or_else(|| self.told.notify_one(), Origin::tell);
        let seen = match client {
            Side { http2: false, tls: false } => pair_table::h1::ask(Wire::connect(&address), at, row, tell),
            Side { http2: false, tls: true } => {
                pair_table::h1::ask(rig::wire(tls().connect(&address, "shop.example")), at, row, tell)
            }
            Side { http2: true, tls: is_secure } => self.runtime.block_on(async {
                let (stream, mut builder) =
                    (TcpStream::connect(&address).await.unwrap(), h2::client::Builder::new());
                // By default a hundred tiny frames that wait are too many for it.
                builder.data_frame_budget(1 << 20);
                let connection = if is_secure {
                    let stream = tls().protocol("h2").shake_hands(stream, "shop.example").await;
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                    h2_client::Client::over(stream, &builder).await
                } else {
                    h2_client::Client::over(stream, &builder).await
                };
                pair_table::h2::ask(connection, at, row, tell).await
            }),
        };
        let got = self.got.recv_timeout(PATIENCE).unwrap();
        let entry = self.proxy.log().wait_for(at + 1).swap_remove(at);
        let case = format!("row {at} between {:?}: {row:?}", self.sides);
        check_seen(&seen, row, &case);
        check_got(&got, row, client, &case);
        assert_eq!(entry.reason, row.reason, "{case}");
    }
}

async fn http2_server(
    tls: Option<rig::Server>,
    note: impl Fn(Got) + Clone + Send + Sync + 'static,
    told: Arc<Notify>,
) -> String {
    let serve = move |asked| {
        let (note, told) = (note.clone(), Arc::clone(&told));
        async move { pair_table::h2::serve(asked, note, &told).await }
    };
    let server = match tls {
        Some(tls) => {
            let acceptor = TlsAcceptor::from(tls.config("h2"));
            let enter = move |stream| {
                let acceptor = acceptor.clone();
                async move { acceptor.accept(stream).await.ok() }
            };
            h2_client::server::Server::start_behind(enter, 100, serve).await
        }
        None => h2_client::server::Server::start(100, serve).await,
    };
    server.address
}

fn check_seen(seen: &Seen, row: &Row, case: &str) {
    let interim = match row.server {
        Server::Hints => vec![103],
        Server::Continues => vec![100],
        _ => Vec::new(),
    };
    assert_eq!(seen.interim, interim, "{case}");
    match row.outcome {
        Outcome::Whole => {
            assert_eq!((seen.status, seen.is_whole), (row.status, true), "{case}");
            assert_eq!(seen.length, row.answered.length(), "{case}");
            assert_eq!(seen.has_trailers, row.answered.has_trailers(), "{case}");
            let expected = if row.has_body() { pattern(row.answered.size()) } else { Vec::new() };
            assert!(seen.body == expected, "{case}: {} bytes", seen.body.len());
        }
        Outcome::Answered(status) => assert_eq!((seen.status, seen.is_whole), (status, true), "{case}"),
        Outcome::Broken => assert_eq!((seen.status, seen.is_whole), (row.status, false), "{case}"),
        Outcome::Left => {}
    }
}

fn check_got(got: &Got, row: &Row, client: Side, case: &str) {
    let is_whole = !matches!(row.client, Client::AbortsSending | Client::SendsHalf);
    let expected = pattern(row.sent.size());
    let proto = if client.tls { "https" } else { "http" };
    assert_eq!((&*got.method, &*got.proto, got.is_whole), (row.method, proto, is_whole), "{case}");
    assert_eq!(got.length, row.sent.length(), "{case}");
    if is_whole {
        assert_eq!(got.has_trailers, row.sent.has_trailers(), "{case}");
        assert!(got.body == expected, "{case}: {} bytes", got.body.len());
    }
}
