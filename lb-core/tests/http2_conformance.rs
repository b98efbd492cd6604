//! Promise: clients may do with HTTP/2 whatever RFC 9113 and RFC 7541 allow, and for everything else they get the
//! error that those name and nothing else. The rows follow what h2spec asks of a server, and go further where it stops.
#![cfg(all(feature = "http", feature = "tls"))]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[path = "http2_conformance/frames.rs"]
mod frames;
mod h2_client;
mod h2_frames;
#[path = "http2_conformance/hpack.rs"]
mod hpack;
#[path = "http2_conformance/messages.rs"]
mod messages;
mod rig;
#[path = "http2_conformance/streams.rs"]
mod streams;
#[path = "http2_conformance/usual.rs"]
mod usual;

use h2_client::server;
use h2_frames::{Event, Frame, PREFACE, Peer, code, flag, kind, setting};
use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running};
use lb_core::tls::Termination;
use rig::Authority;

/// What a client does, and what it must get.
struct Row {
    /// Of RFC 9113; of RFC 7541 where it begins with `hpack`; of RFC 7540 what RFC 9113 has left out.
    section: &'static str,
    what: &'static str,
    outcome: Outcome,
    play: fn(&mut Peer),
}

/// What must come, at last; what comes before does not matter.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The connection ends.
    Closed,
    /// GOAWAY with one of these codes, or the connection ends.
    ConnectionError(&'static [u32]),
    /// The same, or a stream's reset with one of these codes.
    StreamError(&'static [u32]),
    /// GOAWAY with this code, without fail.
    Goaway(u32),
    /// The first stream's reset with this code, without fail.
    Reset(u32),
    /// A response on the stream.
    Head(u32),
    /// A DATA frame, of this length if one is named.
    Data(Option<usize>),
    /// The answer to a PING with this payload, and to none with another.
    Pong(&'static [u8; 8]),
    /// The same, or the connection ends.
    PongOrClosed(&'static [u8; 8]),
    /// The proxy takes our settings.
    Settled,
}

const fn row(section: &'static str, what: &'static str, outcome: Outcome, play: fn(&mut Peer)) -> Row {
    Row { section, what, outcome, play }
}

impl Outcome {
    /// Whether this decides it, and how.
    fn judge(self, event: &Event) -> Option<bool> {
        let frame = match event {
            Event::Frame(frame) => frame,
            Event::Closed => return Some(self.allows_closing()),
            Event::Cut | Event::Silence => return Some(false),
        };
        let is = |kind: u8, codes: &[u32]| frame.kind == kind && codes.contains(&frame.code());
        let is_it = match self {
            Self::Closed => false,
            Self::ConnectionError(codes) => is(kind::GOAWAY, codes),
            Self::StreamError(codes) => is(kind::GOAWAY, codes) || is(kind::RST_STREAM, codes),
            Self::Goaway(code) => is(kind::GOAWAY, &[code]),
            Self::Reset(code) => is(kind::RST_STREAM, &[code]) && frame.stream == 1,
            Self::Head(stream) => frame.kind == kind::HEADERS && frame.stream == stream,
            Self::Data(length) if frame.kind == kind::DATA => {
                return Some(length.is_none_or(|length| length == frame.payload.len()));
            }
            Self::Pong(payload) | Self::PongOrClosed(payload) if frame.kind == kind::PING => {
                return Some(frame.has(flag::ACK) && frame.payload == payload);
            }
            Self::Settled => frame.kind == kind::SETTINGS && frame.has(flag::ACK),
            Self::Data(_) | Self::Pong(_) | Self::PongOrClosed(_) => false,
        };
        is_it.then_some(true)
    }

    fn allows_closing(self) -> bool {
        matches!(self, Self::Closed | Self::ConnectionError(_) | Self::StreamError(_) | Self::PongOrClosed(_))
    }
}

/// What became of it, if not what should.
fn problem(row: &Row, mut peer: Peer) -> Option<String> {
    peer.shake_hands();
    (row.play)(&mut peer);
    let mut seen = Vec::new();
    while peer.fault.is_none() {
        let event = peer.next();
        let judged = row.outcome.judge(&event);
        seen.push(event);
        match judged {
            Some(true) => return None,
            Some(false) => break,
            None => {}
        }
    }
    let Row { section, what, outcome, .. } = row;
    let seen = peer.fault.unwrap_or_else(|| format!("{outcome:?} should have come, not {}", told(&seen)));
    Some(format!("{section}, {what}: {seen}"))
}

/// Short enough to be read.
fn told(events: &[Event]) -> String {
    let one = |event: &Event| match event {
        Event::Frame(Frame { kind, flags, stream, payload }) => {
            format!("kind {kind} flags {flags:x} stream {stream}: {:x?}", &payload[..payload.len().min(16)])
        }
        other => format!("{other:?}"),
    };
    events.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Plays every row, each on a connection of its own.
fn play_all(connect: impl Fn() -> Peer) {
    let tables = [usual::ROWS, frames::ROWS, streams::ROWS, messages::ROWS, hpack::ROWS];
    let rows: Vec<_> = tables.iter().copied().flatten().collect();
    assert!(rows.len() > 150, "{} rows", rows.len());
    let problems: Vec<_> = rows.iter().filter_map(|row| problem(row, connect())).collect();
    assert!(problems.is_empty(), "{} of {} rows:\n{}", problems.len(), rows.len(), problems.join("\n"));
}

fn origin() -> Origin {
    Origin::scripted(|server| {
        // A request that is taken back is none to answer.
        while let Some(request) = server.whole_request() {
            let is_head = request.method() == "HEAD";
            let body = body(&request.body);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = server.try_send([head.as_bytes(), if is_head { b"" } else { body }].concat());
        }
    })
}

/// What there is to say to a request with this body.
fn body(received: &[u8]) -> &[u8] {
    if received.is_empty() { b"from the origin" } else { received }
}

fn under_tls(origin: &Origin, authority: &Authority) -> Running {
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let tls = Termination::builder().certificate(authority.issue(&["shop.example"])).build().unwrap();
    Running::start(
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls)),
    )
}

fn secure_peer(authority: &Authority, address: &str) -> Peer {
    let client = rig::Client::trusting(authority).protocol("h2");
    let stream = client.connect(address, "shop.example");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let socket = stream.sock.try_clone().unwrap();
    Peer::over(&socket, stream, "https")
}

#[test]
fn in_clear_text() {
    let origin = origin();
    let proxy = Running::in_front_of(&origin);
    play_all(|| Peer::connect(&proxy.address("web")));
}

#[test]
fn under_tls_by_alpn() {
    let (authority, origin) = (Authority::new(), origin());
    let proxy = under_tls(&origin, &authority);
    play_all(|| secure_peer(&authority, &proxy.address("web")));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_front_of_servers_of_http2() {
    let server = server::Server::start(200, |asked| async move {
        let is_head = asked.request.method() == "HEAD";
        // A request that is taken back is none to answer.
        let Ok((request, respond)) = asked.try_read().await else { return };
        let body = if is_head { b"" } else { body(&request.body) };
        server::answer(respond, http::Response::new(()), body, None).await;
    })
    .await;
    let shop = Backend::builder("shop").server(&server.address).http2(true).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    tokio::task::block_in_place(|| play_all(|| Peer::connect(&proxy.address("web"))));
}

#[test]
fn the_first_frame_is_settings() {
    let (authority, origin) = (Authority::new(), origin());
    let (clear, secure) = (Running::in_front_of(&origin), under_tls(&origin, &authority));
    let peers = [Peer::connect(&clear.address("web")), secure_peer(&authority, &secure.address("web"))];
    for mut peer in peers {
        peer.send(PREFACE);
        peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
        let Event::Frame(first) = peer.next() else { panic!("no frame") };
        assert_eq!((first.kind, first.flags, first.stream), (kind::SETTINGS, 0, 0));
    }
}

/// RFC 9113 section 3.4. In clear text it is a request of HTTP/1, and none.
#[test]
fn what_is_no_preface_ends_the_connection() {
    let (authority, origin) = (Authority::new(), origin());
    let (clear, secure) = (Running::in_front_of(&origin), under_tls(&origin, &authority));
    let mut peer = secure_peer(&authority, &secure.address("web"));
    peer.send(b"INVALID CONNECTION PREFACE\r\n\r\n");
    while let Event::Frame(frame) = peer.next() {
        assert!(frame.kind == kind::SETTINGS || frame.code() == code::PROTOCOL, "{frame:?}");
    }
    assert_eq!(peer.next(), Event::Closed);
    let mut client = clear.client("web");
    client.send("INVALID CONNECTION PREFACE\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
}
