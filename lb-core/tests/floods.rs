//! Promise: a client that keeps its HTTP/2 connection busy with nothing is sent away, whatever it does it with, and the
//! proxy goes on serving others.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_frames;

use h2_frames::{Event, Peer, block, code, flag, frame, kind, setting};
use lb_core::testkit::{Origin, Running};

/// More frames than any limit, and fewer than take long.
const MOST: usize = 60_000;

/// One frame, or a few that belong together, of its `at`th turn.
type Turn = fn(&Peer, u32) -> Vec<u8>;

/// What is sent at first, what is sent again and again, and the codes by which it may end.
const FLOODS: &[(&str, fn(&mut Peer), Turn, &[u32])] = &[
    ("PING", |_| {}, |_, _| frame(kind::PING, flag::NONE, 0, &[0; 8]), CALM),
    ("answers to PING", |_| {}, |_, _| frame(kind::PING, flag::ACK, 0, &[0; 8]), CALM),
    ("SETTINGS", |_| {}, |_, _| frame(kind::SETTINGS, flag::NONE, 0, &[]), CALM),
    ("PRIORITY", |_| {}, |_, at| frame(kind::PRIORITY, flag::NONE, 2 * at + 3, &[0, 0, 0, 0, 1]), CALM),
    ("WINDOW_UPDATE", |_| {}, |_, _| frame(kind::WINDOW_UPDATE, flag::NONE, 0, &[0, 0, 0, 1]), CALM),
    ("unknown frames", |_| {}, |_, _| frame(0x77, flag::NONE, 0, &[]), CALM),
    ("empty DATA", |p| p.post(1, &[]), |_, _| frame(kind::DATA, flag::NONE, 1, &[]), CALM),
    ("DATA of padding", |p| p.post(1, &[]), |_, _| frame(kind::DATA, flag::PADDED, 1, &[3, 0, 0, 0]), CALM),
    (
        "resets (CVE-2023-44487)",
        |_| {},
        |p, at| {
            let head = frame(kind::HEADERS, flag::ALL, 2 * at + 1, &p.head("GET", &[]));
            [head, frame(kind::RST_STREAM, flag::NONE, 2 * at + 1, &code::CANCEL.to_be_bytes())].concat()
        },
        CALM,
    ),
    (
        "CONTINUATION (CVE-2024-27316)",
        |p| {
            let head = p.head("GET", &[]);
            p.headers(1, flag::END, &head);
        },
        |_, _| frame(kind::CONTINUATION, flag::NONE, 1, &block(&[("x-a", "1")])),
        CALM,
    ),
    (
        "empty CONTINUATION",
        |p| {
            let head = p.head("GET", &[]);
            p.headers(1, flag::END, &head);
        },
        |_, _| frame(kind::CONTINUATION, flag::NONE, 1, &[]),
        CALM,
    ),
];
const CALM: &[u32] = &[code::ENHANCE_YOUR_CALM];

/// Sends turns until the connection ends; how it did. What it answers meanwhile is read, as by a client that means it.
fn flood(peer: &mut Peer, turn: Turn) -> Option<Event> {
    let mut sent = 0;
    while sent < MOST {
        let turns: Vec<u8> = (0..100).flat_map(|at| turn(peer, u32::try_from(sent + at).unwrap())).collect();
        peer.send(&turns);
        sent += 100;
        // It is behind what was sent, unless the connection has ended.
        peer.ping(flag::NONE, b"are you?");
        loop {
            match peer.next() {
                Event::Frame(frame) if frame.kind == kind::GOAWAY => return Some(Event::Frame(frame)),
                Event::Frame(frame) if frame.kind == kind::PING && frame.payload == b"are you?" => break,
                Event::Frame(_) => {}
                end => return Some(end),
            }
        }
    }
    None
}

#[test]
fn who_sends_nothing_without_end_is_sent_away() {
    let origin = Origin::scripted(|server| while server.whole_request().is_some() {});
    let proxy = Running::in_front_of(&origin);
    for (what, begin, turn, codes) in FLOODS {
        let mut peer = Peer::connect(&proxy.address("web"));
        peer.shake_hands();
        begin(&mut peer);
        match flood(&mut peer, *turn) {
            Some(Event::Frame(goaway)) => assert!(codes.contains(&goaway.code()), "{what}: {goaway:?}"),
            // The reset of what it sent on has overtaken the word.
            Some(Event::Closed) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_head_without_end_is_refused_before_it_is_in_memory() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut peer = Peer::connect(&proxy.address("web"));
    peer.shake_hands();
    // A field that is in the table after its first time, and so costs a byte each time again.
    let most = usize::try_from(peer.setting(setting::MAX_HEADER_LIST_SIZE).unwrap()).unwrap();
    let field = [&b"\x40\x03x-a\x7f\x80\x1f"[..], &[b'a'; 4095 - 32]].concat();
    let block = [peer.head("GET", &[]), field, vec![0xbe; 100 * most / 4096]].concat();
    peer.headers(1, flag::ALL, &block);
    let answer =
        peer.until("an end", |frame| matches!(frame.kind, kind::HEADERS | kind::GOAWAY | kind::RST_STREAM));
    assert!(answer.is_some(), "{:?}", peer.fault);
    assert_eq!(origin.connections(), 0);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_the_others_served() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut peer = Peer::connect(&proxy.address("web"));
    peer.shake_hands();
    peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
    for at in 0..500 {
        peer.get(2 * at + 1);
    }
    let (mut refused, mut answered) = (0, 0);
    while refused + answered < 500 {
        match peer.next() {
            Event::Frame(frame) if frame.kind == kind::RST_STREAM => {
                assert_eq!(frame.code(), code::REFUSED_STREAM);
                refused += 1;
            }
            Event::Frame(frame) if frame.kind == kind::HEADERS => answered += 1,
            Event::Frame(_) => {}
            other => panic!("{refused} refused, {answered} answered, then {other:?}"),
        }
    }
    assert_eq!(answered, 100);
}
