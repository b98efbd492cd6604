//! Frames, each by itself (RFC 9113 sections 4 to 6).

use crate::Outcome::{Closed, ConnectionError, Data, Goaway, Head, Pong, Settled, StreamError};
use crate::h2_frames::{block, code, flag, kind, setting};
use crate::{Outcome, Peer, Row, row};

const CALM: &[u8; 8] = b"are you?";
const PROTOCOL: Outcome = ConnectionError(&[code::PROTOCOL]);
const FRAME_SIZE: Outcome = ConnectionError(&[code::FRAME_SIZE]);
const FLOW_CONTROL: Outcome = ConnectionError(&[code::FLOW_CONTROL]);

pub(crate) const ROWS: &[Row] = &[
    row("4.1", "a frame of an unknown type", Pong(CALM), |p| {
        p.frame(0x16, flag::NONE, 0, &[0; 8]);
        p.ping(flag::NONE, CALM);
    }),
    row("4.1", "flags that mean nothing", Pong(CALM), |p| p.ping(0x16, CALM)),
    row("4.1", "the reserved bit", Pong(CALM), |p| p.frame(kind::PING, flag::NONE, 1 << 31, CALM)),
    row("4.2", "a DATA frame as large as allowed", Head(1), |p| {
        let size = max_frame_size(p);
        p.post(1, &[]);
        p.data(1, flag::END, &vec![b'x'; size]);
    }),
    row("4.2", "a DATA frame larger than allowed", StreamError(&[code::FRAME_SIZE]), |p| {
        let size = max_frame_size(p);
        p.post(1, &[]);
        p.data(1, flag::END, &vec![b'x'; size + 1]);
    }),
    row("4.2", "a HEADERS frame larger than allowed", FRAME_SIZE, |p| {
        let large = "x".repeat(max_frame_size(p));
        let block = p.head("GET", &[("x-large", &large)]);
        p.headers(1, flag::ALL, &block);
    }),
    row("4.3", "PRIORITY in the middle of a head", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::NONE, &block);
        p.priority(1, 0, 255);
        p.continuation(1, flag::END_HEADERS, &more());
    }),
    row("4.3", "another head in the middle of a head", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::NONE, &block);
        p.get(3);
        p.continuation(1, flag::END_HEADERS, &more());
    }),
    row("5.5", "a frame of an unknown type in the middle of a head", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.frame(0x16, flag::NONE, 0, &[0; 8]);
    }),
    row("5.4.1", "after an error the connection ends", Closed, |p| {
        p.frame(kind::PING, flag::NONE, 3, CALM);
    }),
    row("5.4.1", "before it ends, GOAWAY says why", Goaway(code::PROTOCOL), |p| {
        p.frame(kind::PING, flag::NONE, 3, CALM);
    }),
    row("6.1", "DATA on no stream", PROTOCOL, |p| p.data(0, flag::END, b"test")),
    row("6.1", "DATA on a half-closed stream", StreamError(&[code::STREAM_CLOSED]), |p| {
        let block = p.head("POST", &[]);
        p.headers(1, flag::ALL, &block);
        p.data(1, flag::END, b"test");
    }),
    row("6.1", "DATA with more padding than payload", PROTOCOL, |p| {
        p.post(1, &[("content-length", "4")]);
        p.data(1, flag::END | flag::PADDED, b"\x06test");
    }),
    row("6.1", "padded DATA without a byte", PROTOCOL_OR_SIZE, |p| {
        p.post(1, &[]);
        p.data(1, flag::END | flag::PADDED, b"");
    }),
    row("6.2", "PRIORITY instead of CONTINUATION", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.priority(1, 0, 255);
    }),
    row("6.2", "HEADERS of another stream instead of CONTINUATION", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.get(3);
    }),
    row("6.2", "HEADERS on no stream", PROTOCOL, |p| p.get(0)),
    row("6.2", "HEADERS with more padding than payload", StreamError(&[code::PROTOCOL]), |p| {
        let block = p.head("GET", &[]);
        let length = u8::try_from(block.len() + 1).unwrap();
        p.headers(1, flag::ALL | flag::PADDED, &[&[length][..], &block].concat());
    }),
    row("6.3", "PRIORITY on no stream", PROTOCOL, |p| p.priority(0, 0, 255)),
    row("6.3", "PRIORITY of a wrong length", StreamError(&[code::FRAME_SIZE]), |p| {
        p.get(1);
        p.frame(kind::PRIORITY, flag::NONE, 1, b"\x80\0\0\x01");
    }),
    row("6.4", "RST_STREAM on no stream", PROTOCOL, |p| p.reset(0, code::CANCEL)),
    row("6.4", "RST_STREAM on an idle stream", PROTOCOL, |p| p.reset(1, code::CANCEL)),
    row("6.4", "RST_STREAM of a wrong length", FRAME_SIZE, |p| {
        p.get(1);
        p.frame(kind::RST_STREAM, flag::NONE, 1, &[0; 3]);
    }),
    row("6.5", "SETTINGS that acknowledge and say something", FRAME_SIZE, |p| {
        p.frame(kind::SETTINGS, flag::ACK, 0, &[0]);
    }),
    row("6.5", "SETTINGS on a stream", PROTOCOL, |p| {
        p.frame(kind::SETTINGS, flag::NONE, 1, &[0, 3, 0, 0, 0, 100]);
    }),
    row("6.5", "SETTINGS of a wrong length", FRAME_SIZE, |p| {
        p.frame(kind::SETTINGS, flag::NONE, 0, &[0, 3, 0]);
    }),
    row("6.5.2", "ENABLE_PUSH that is neither 0 nor 1", PROTOCOL, |p| {
        p.settings(&[(setting::ENABLE_PUSH, 2)]);
    }),
    row("6.5.2", "INITIAL_WINDOW_SIZE above the largest window", FLOW_CONTROL, |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]);
    }),
    row("6.5.2", "MAX_FRAME_SIZE below the smallest", PROTOCOL, |p| {
        p.settings(&[(setting::MAX_FRAME_SIZE, 16_383)]);
    }),
    row("6.5.2", "MAX_FRAME_SIZE above the largest", PROTOCOL, |p| {
        p.settings(&[(setting::MAX_FRAME_SIZE, 1 << 24)]);
    }),
    row("6.5.2", "a setting that nobody knows", Pong(CALM), |p| {
        p.settings(&[(0xff, 1)]);
        p.ping(flag::NONE, CALM);
    }),
    row("6.5.3", "a setting twice: the later holds", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 100), (setting::INITIAL_WINDOW_SIZE, 1)]);
        p.until_settled();
        p.get(1);
    }),
    row("6.5.3", "settings are acknowledged", Settled, |p| p.settings(&[(setting::ENABLE_PUSH, 0)])),
    row("6.7", "PING comes back with its payload", Pong(b"12345678"), |p| p.ping(flag::NONE, b"12345678")),
    row("6.7", "an answer to PING gets none", Pong(CALM), |p| {
        p.ping(flag::ACK, b"an error");
        p.ping(flag::NONE, CALM);
    }),
    row("6.7", "PING on a stream", PROTOCOL, |p| p.frame(kind::PING, flag::NONE, 1, CALM)),
    row("6.7", "PING of a wrong length", FRAME_SIZE, |p| p.frame(kind::PING, flag::NONE, 0, &[0; 6])),
    row("6.8", "GOAWAY on a stream", PROTOCOL, |p| p.frame(kind::GOAWAY, flag::NONE, 1, &[0; 8])),
    row("6.8", "GOAWAY too short", FRAME_SIZE, |p| p.frame(kind::GOAWAY, flag::NONE, 0, &[0; 7])),
    row("6.9", "WINDOW_UPDATE of the connection by nothing", PROTOCOL, |p| p.window(0, 0)),
    row("6.9", "WINDOW_UPDATE of a stream by nothing", StreamError(&[code::PROTOCOL]), |p| {
        p.post(1, &[]);
        p.window(1, 0);
    }),
    row("6.9", "WINDOW_UPDATE of a wrong length", FRAME_SIZE, |p| {
        p.frame(kind::WINDOW_UPDATE, flag::NONE, 0, &[0, 0, 1]);
    }),
    row("6.10", "CONTINUATION with fields again", Head(1), |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.continuation(1, flag::NONE, &large());
        p.continuation(1, flag::END_HEADERS, &large());
    }),
    row("6.10", "DATA instead of CONTINUATION", PROTOCOL, |p| {
        let block = p.head("POST", &[]);
        p.headers(1, flag::NONE, &block);
        p.continuation(1, flag::NONE, &more());
        p.data(1, flag::END, b"test");
    }),
    row("6.10", "CONTINUATION on no stream", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.continuation(0, flag::END_HEADERS, &more());
    }),
    row("6.10", "CONTINUATION behind a whole head", PROTOCOL, |p| {
        p.get(1);
        p.continuation(1, flag::END_HEADERS, &more());
    }),
    row("6.10", "CONTINUATION behind the last one", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.continuation(1, flag::END_HEADERS, &more());
        p.continuation(1, flag::END_HEADERS, &more());
    }),
    row("6.10", "CONTINUATION behind DATA", PROTOCOL, |p| {
        p.post(1, &[]);
        p.data(1, flag::END, b"test");
        p.continuation(1, flag::NONE, &more());
    }),
    row("8.4", "PUSH_PROMISE from a client", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.frame(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[&[0, 0, 0, 3][..], &block].concat());
    }),
];

const PROTOCOL_OR_SIZE: Outcome = ConnectionError(&[code::PROTOCOL, code::FRAME_SIZE]);

fn max_frame_size(peer: &Peer) -> usize {
    peer.setting(setting::MAX_FRAME_SIZE).unwrap_or(16_384).try_into().unwrap()
}

fn more() -> Vec<u8> {
    block(&[("x-a", "1")])
}

fn large() -> Vec<u8> {
    block(&[("x-a", &"1".repeat(4000))])
}
