//! Streams: their states, their number, their windows (RFC 9113 sections 5.1, 5.2, 6.9 and 7).

use crate::Outcome::{Closed, ConnectionError, Data, Goaway, Head, Pong, Reset, StreamError};
use crate::h2_frames::{block, code, flag, kind, setting};
use crate::{Outcome, Row, row};

const CALM: &[u8; 8] = b"are you?";
const PROTOCOL: Outcome = ConnectionError(&[code::PROTOCOL]);
const STREAM_CLOSED: Outcome = StreamError(&[code::STREAM_CLOSED]);
const CLOSED_OR_PROTOCOL: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL];
const MOST: u32 = 0x7fff_ffff;

pub(crate) const ROWS: &[Row] = &[
    row("5.1", "idle: DATA", PROTOCOL, |p| p.data(1, flag::END, b"test")),
    row("5.1", "idle: RST_STREAM", PROTOCOL, |p| p.reset(1, code::CANCEL)),
    row("5.1", "idle: WINDOW_UPDATE", PROTOCOL, |p| p.window(1, 100)),
    row("5.1", "idle: CONTINUATION", PROTOCOL, |p| {
        let block = p.head("GET", &[]);
        p.continuation(1, flag::END_HEADERS, &block);
    }),
    row("5.1", "half-closed: DATA", STREAM_CLOSED, |p| {
        p.get(1);
        p.data(1, flag::END, b"test");
    }),
    row("5.1", "half-closed: HEADERS", STREAM_CLOSED, |p| {
        p.get(1);
        p.get(1);
    }),
    row("5.1", "half-closed: CONTINUATION", StreamError(CLOSED_OR_PROTOCOL), |p| {
        p.get(1);
        p.continuation(1, flag::END_HEADERS, &block(&[("x-a", "1")]));
    }),
    row("5.1", "half-closed, waiting for its window: DATA", STREAM_CLOSED, |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        p.get(1);
        p.until("a head", |frame| frame.kind == kind::HEADERS);
        p.data(1, flag::END, b"test");
    }),
    row("5.1", "half-closed, waiting for its window: HEADERS", STREAM_CLOSED, |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        p.get(1);
        p.until("a head", |frame| frame.kind == kind::HEADERS);
        p.get(1);
    }),
    row("5.1", "reset: DATA", STREAM_CLOSED, |p| {
        p.post(1, &[]);
        p.reset(1, code::CANCEL);
        p.data(1, flag::END, b"test");
    }),
    row("5.1", "reset: HEADERS", STREAM_CLOSED, |p| {
        p.post(1, &[]);
        p.reset(1, code::CANCEL);
        p.get(1);
    }),
    row("5.1", "reset: CONTINUATION", StreamError(CLOSED_OR_PROTOCOL), |p| {
        p.post(1, &[]);
        p.reset(1, code::CANCEL);
        p.continuation(1, flag::END_HEADERS, &block(&[("x-a", "1")]));
    }),
    row("5.1", "closed: DATA", ConnectionError(&[code::STREAM_CLOSED]), |p| {
        p.get(1);
        p.until_ended();
        p.data(1, flag::END, b"test");
    }),
    row("5.1", "closed: HEADERS", ConnectionError(&[code::STREAM_CLOSED]), |p| {
        p.get(1);
        p.until_ended();
        p.get(1);
    }),
    row("5.1", "closed: CONTINUATION", ConnectionError(CLOSED_OR_PROTOCOL), |p| {
        p.get(1);
        p.until_ended();
        p.continuation(1, flag::END_HEADERS, &block(&[("x-a", "1")]));
    }),
    row("5.1", "closed: WINDOW_UPDATE", Pong(CALM), |p| {
        p.get(1);
        p.until_ended();
        p.window(1, 1);
        p.ping(flag::NONE, CALM);
    }),
    row("5.1.1", "an even number", PROTOCOL, |p| p.get(2)),
    row("5.1.1", "a number below the last", PROTOCOL, |p| {
        p.get(5);
        p.get(3);
    }),
    row("5.1.1", "a head on a half-closed stream", STREAM_CLOSED, |p| {
        p.get(5);
        p.get(5);
    }),
    row("5.1.1", "numbers may be left out", Head(9), |p| {
        p.get(1);
        p.get(9);
    }),
    row("5.1.2", "more streams than allowed", StreamError(&[code::PROTOCOL, code::REFUSED_STREAM]), |p| {
        let most = p.setting(setting::MAX_CONCURRENT_STREAMS).unwrap();
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        for at in 0..=most {
            p.get(2 * at + 1);
        }
    }),
    row("7540 5.3.1", "a head that depends on itself", StreamError(&[code::PROTOCOL]), |p| {
        let block = [&[0, 0, 0, 1, 255][..], &p.head("GET", &[])].concat();
        p.headers(1, flag::ALL | flag::PRIORITY, &block);
    }),
    row("7540 5.3.1", "PRIORITY that depends on itself", StreamError(&[code::PROTOCOL]), |p| {
        p.priority(1, 1, 255);
    }),
    row("6.9.1", "a window of 1", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
        p.until_settled();
        p.get(1);
    }),
    row("6.9.1", "the connection's window above the largest", Goaway(code::FLOW_CONTROL), |p| {
        p.window(0, MOST);
        p.window(0, MOST);
    }),
    row("6.9.1", "a stream's window above the largest", Reset(code::FLOW_CONTROL), |p| {
        p.post(1, &[]);
        p.window(1, MOST);
        p.window(1, MOST);
    }),
    row("6.9.2", "INITIAL_WINDOW_SIZE grows behind a head", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        p.until_settled();
        p.get(1);
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 1)]);
        p.until_settled();
    }),
    row("6.9.2", "a window below zero", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 3)]);
        p.until_settled();
        p.get(1);
        p.until("what the window allows", |frame| frame.kind == kind::DATA);
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 2)]);
        p.until_settled();
        p.window(1, 2);
    }),
    row("6.9.2", "INITIAL_WINDOW_SIZE above the largest", ConnectionError(&[code::FLOW_CONTROL]), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]);
    }),
    row(
        "6.9.2",
        "a stream's window above the largest by SETTINGS",
        ConnectionError(&[code::FLOW_CONTROL]),
        |p| {
            p.post(1, &[]);
            p.window(1, MOST - 65_535);
            p.settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]);
        },
    ),
    row("7", "GOAWAY with a code that nobody knows", Closed, |p| p.goaway(0xff)),
    row("7", "RST_STREAM with a code that nobody knows", Pong(CALM), |p| {
        p.post(1, &[]);
        p.reset(1, 0xff);
        p.ping(flag::NONE, CALM);
    }),
];
