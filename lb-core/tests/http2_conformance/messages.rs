//! Messages that HTTP/2 calls malformed (RFC 9113 section 8): a stream error, whatever the server would have said.

use crate::Outcome::{Data, Head, Reset, StreamError};
use crate::h2_frames::{block, code, flag};
use crate::{Outcome, Peer, Row, row};

const MALFORMED: Outcome = StreamError(&[code::PROTOCOL]);
/// What h2spec does not ask for has to be said on the stream alone.
const RESET: Outcome = Reset(code::PROTOCOL);

pub(crate) const ROWS: &[Row] = &[
    row("8.1", "a second head that does not end the stream", MALFORMED, |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::END_HEADERS, &block(&[("x-test", "ok")]));
    }),
    row("8.1", "other streams go on after a malformed message", Head(3), |p| {
        get(p, &[("connection", "close")]);
        p.get(3);
    }),
    row("8.2.1", "a name in capitals", MALFORMED, |p| get(p, &[("X-TEST", "ok")])),
    row("8.2.1", "a name with a space", MALFORMED, |p| get(p, &[("x test", "ok")])),
    row("8.2.1", "a name with a colon", MALFORMED, |p| get(p, &[("x:test", "ok")])),
    row("8.2.1", "an empty name", MALFORMED, |p| get(p, &[("", "ok")])),
    row("8.2.1", "a value with a line feed", MALFORMED, |p| get(p, &[("x-test", "a\nb: c")])),
    row("8.2.1", "a value with a carriage return", MALFORMED, |p| get(p, &[("x-test", "a\rb")])),
    row("8.2.1", "a value with NUL", MALFORMED, |p| get(p, &[("x-test", "a\0b")])),
    row("8.3", "a pseudo-field that nobody knows", MALFORMED, |p| get(p, &[(":test", "ok")])),
    row("8.3", "a pseudo-field of responses", MALFORMED, |p| get(p, &[(":status", "200")])),
    row("8.3", "a pseudo-field among trailers", MALFORMED, |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::END_HEADERS, &block(&[(":method", "POST")]));
    }),
    row("8.3", "a pseudo-field among trailers that end the stream", RESET, |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::ALL, &block(&[(":method", "POST")]));
    }),
    row("8.3", "a pseudo-field behind a field", MALFORMED, |p| {
        let block = [block(&[("x-test", "ok")]), p.head("GET", &[])].concat();
        p.headers(1, flag::ALL, &block);
    }),
    row("8.2.2", "Connection", MALFORMED, |p| get(p, &[("connection", "keep-alive")])),
    row("8.2.2", "Keep-Alive", RESET, |p| get(p, &[("keep-alive", "timeout=5")])),
    row("8.2.2", "Proxy-Connection", RESET, |p| get(p, &[("proxy-connection", "keep-alive")])),
    row("8.2.2", "Transfer-Encoding", RESET, |p| get(p, &[("transfer-encoding", "chunked")])),
    row("8.2.2", "Upgrade", RESET, |p| get(p, &[("upgrade", "websocket")])),
    row("8.2.2", "TE with anything but trailers", MALFORMED, |p| {
        get(p, &[("trailers", "test"), ("te", "trailers, deflate")]);
    }),
    row("8.2.2", "TE with trailers", Head(1), |p| get(p, &[("te", "trailers")])),
    row("8.3.1", "an empty :path", MALFORMED, |p| replaced(p, 2, Some(""))),
    row("8.3.1", "no :method", MALFORMED, |p| replaced(p, 0, None)),
    row("8.3.1", "no :scheme", MALFORMED, |p| replaced(p, 1, None)),
    row("8.3.1", "no :path", MALFORMED, |p| replaced(p, 2, None)),
    row("8.3.1", ":method twice", MALFORMED, |p| get(p, &[(":method", "GET")])),
    row("8.3.1", ":scheme twice", MALFORMED, |p| get(p, &[(":scheme", "http")])),
    row("8.3.1", ":path twice", MALFORMED, |p| get(p, &[(":path", "/")])),
    row("8.3.1", ":authority twice", RESET, |p| twice(p, 3)),
    row("8.3.1", ":method twice, side by side", RESET, |p| twice(p, 0)),
    row("8.3.1", ":scheme twice, side by side", RESET, |p| twice(p, 1)),
    row("8.3.1", ":path twice, side by side", RESET, |p| twice(p, 2)),
    row("8.1.1", "less announced than there is", MALFORMED, |p| {
        p.post(1, &[("content-length", "1")]);
        p.data(1, flag::END, b"test");
    }),
    row("8.1.1", "less announced than several frames have", MALFORMED, |p| {
        p.post(1, &[("content-length", "1")]);
        p.data(1, flag::NONE, b"test");
        p.data(1, flag::END, b"test");
    }),
    row("8.1.1", "more announced than there is", RESET, |p| {
        p.post(1, &[("content-length", "5")]);
        p.data(1, flag::END, b"test");
    }),
    row("8.1.1", "more announced than there is, and trailers", RESET, |p| {
        p.post(1, &[("content-length", "5")]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::ALL, &block(&[("x-test", "ok")]));
    }),
    row("8.1.1", "more announced than a head that is all", RESET, |p| get(p, &[("content-length", "5")])),
    row("8.1.1", "a length that is none", RESET, |p| {
        p.post(1, &[("content-length", "4x")]);
        p.data(1, flag::END, b"test");
    }),
    row("8.1.1", "two lengths", RESET, |p| {
        p.post(1, &[("content-length", "4"), ("content-length", "5")]);
        p.data(1, flag::END, b"test");
    }),
    row("8.1.1", "the length that there is", Data(Some(4)), |p| {
        p.post(1, &[("content-length", "4")]);
        p.data(1, flag::END, b"test");
    }),
];

fn get(peer: &mut Peer, more: &[(&str, &str)]) {
    let block = peer.head("GET", more);
    peer.headers(1, flag::ALL, &block);
}

/// A request one of whose pseudo-fields has another value, or is not there.
fn replaced(peer: &mut Peer, at: usize, value: Option<&str>) {
    let mut fields = peer.pseudo("GET").to_vec();
    match value {
        Some(value) => fields[at].1 = value,
        None => drop(fields.remove(at)),
    }
    peer.headers(1, flag::ALL, &block(&fields));
}

/// A request one of whose pseudo-fields is there twice.
fn twice(peer: &mut Peer, at: usize) {
    let mut fields = peer.pseudo("GET").to_vec();
    fields.insert(at, fields[at]);
    peer.headers(1, flag::ALL, &block(&fields));
}
