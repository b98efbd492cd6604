//! What every client may do (h2spec: generic).

use crate::Outcome::{Data, Head, Pong, PongOrClosed, Settled};
use crate::h2_frames::{block, code, flag, integer, kind, setting};
use crate::{Row, row};

const CALM: &[u8; 8] = b"are you?";

pub(crate) const ROWS: &[Row] = &[
    row("5.1", "PRIORITY on an idle stream", Pong(CALM), |p| {
        p.priority(1, 0, 255);
        p.ping(flag::NONE, CALM);
    }),
    row("5.1", "WINDOW_UPDATE on a half-closed stream", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        p.get(1);
        p.window(1, 1);
    }),
    row("5.1", "PRIORITY on a half-closed stream", Data(Some(1)), |p| {
        p.settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        p.get(1);
        p.priority(1, 0, 255);
        p.window(1, 1);
    }),
    row("5.1", "RST_STREAM on a half-closed stream", PongOrClosed(CALM), |p| {
        p.get(1);
        p.reset(1, code::CANCEL);
        p.ping(flag::NONE, CALM);
    }),
    row("5.1", "PRIORITY on a closed stream", Pong(CALM), |p| {
        p.get(1);
        p.until_ended();
        p.priority(1, 0, 255);
        p.ping(flag::NONE, CALM);
    }),
    row("6.1", "a DATA frame", Head(1), |p| {
        p.post(1, &[]);
        p.data(1, flag::END, b"test");
    }),
    row("6.1", "several DATA frames", Head(1), |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.data(1, flag::END, b"test");
    }),
    row("6.1", "an empty DATA frame that ends the stream", Head(1), |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.data(1, flag::END, b"");
    }),
    row("6.1", "a padded DATA frame: what is no padding comes back", Data(Some(4)), |p| {
        p.post(1, &[]);
        p.data(1, flag::END | flag::PADDED, b"\x06test\0\0\0\0\0\0");
    }),
    row("6.1", "a DATA frame of padding alone", Data(Some(4)), |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.data(1, flag::END | flag::PADDED, b"\x03\0\0\0");
    }),
    row("6.2", "a HEADERS frame", Head(1), |p| p.get(1)),
    row("6.2", "a padded HEADERS frame", Head(1), |p| {
        let padded = [&[8][..], &p.head("GET", &[]), &[0; 8]].concat();
        p.headers(1, flag::ALL | flag::PADDED, &padded);
    }),
    row("6.2", "a HEADERS frame with a priority", Head(1), |p| {
        let block = [&[0, 0, 0, 0, 255][..], &p.head("GET", &[])].concat();
        p.headers(1, flag::ALL | flag::PRIORITY, &block);
    }),
    row("6.2", "a padded HEADERS frame with a priority", Head(1), |p| {
        let block = [&[4, 0, 0, 0, 0, 255][..], &p.head("GET", &[]), &[0; 4]].concat();
        p.headers(1, flag::ALL | flag::PRIORITY | flag::PADDED, &block);
    }),
    row("6.3", "PRIORITY of weight 1", Head(1), |p| {
        p.priority(1, 0, 0);
        p.get(1);
    }),
    row("6.3", "PRIORITY of weight 256", Head(1), |p| {
        p.priority(1, 0, 255);
        p.get(1);
    }),
    row("6.3", "PRIORITY that names another stream", Head(1), |p| {
        p.priority(3, 1, 0);
        p.get(1);
    }),
    row("6.3", "PRIORITY that is exclusive", Head(1), |p| {
        p.priority(1, 1 << 31, 0);
        p.get(1);
    }),
    row("6.3", "PRIORITY on an idle stream, then a request on a lower one", Head(1), |p| {
        p.priority(3, 0, 255);
        p.get(1);
    }),
    row("6.4", "a RST_STREAM frame", PongOrClosed(CALM), |p| {
        p.post(1, &[]);
        p.reset(1, code::CANCEL);
        p.ping(flag::NONE, CALM);
    }),
    row("6.5", "a SETTINGS frame with every setting", Settled, |p| {
        p.settings(&[
            (setting::HEADER_TABLE_SIZE, 4096),
            (setting::ENABLE_PUSH, 1),
            (setting::MAX_CONCURRENT_STREAMS, 100),
            (setting::INITIAL_WINDOW_SIZE, 65_535),
            (setting::MAX_FRAME_SIZE, 16_384),
            (setting::MAX_HEADER_LIST_SIZE, 100),
        ]);
    }),
    row("6.7", "a PING frame", Pong(CALM), |p| p.ping(flag::NONE, CALM)),
    row("6.8", "a GOAWAY frame", PongOrClosed(CALM), |p| {
        p.goaway(code::NO_ERROR);
        p.ping(flag::NONE, CALM);
    }),
    row("6.8", "a GOAWAY frame does not end what is open", Head(1), |p| {
        p.post(1, &[]);
        p.goaway(code::NO_ERROR);
        p.data(1, flag::END, b"test");
    }),
    row("6.9", "WINDOW_UPDATE of the connection", Pong(CALM), |p| {
        p.window(0, 1);
        p.ping(flag::NONE, CALM);
    }),
    row("6.9", "WINDOW_UPDATE of a stream", Head(1), |p| {
        p.get(1);
        p.window(1, 1);
    }),
    row("6.10", "a CONTINUATION frame", Head(1), |p| {
        let block = p.head("GET", &[]);
        p.headers(1, flag::END, &block);
        p.continuation(1, flag::END_HEADERS, &crate::h2_frames::block(&[("x-a", "1")]));
    }),
    row("6.10", "several CONTINUATION frames", Head(1), |p| {
        let block = p.head("GET", &[("x-a", "1"), ("x-b", "2")]);
        let (first, rest) = block.split_at(block.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        p.headers(1, flag::END, first);
        p.continuation(1, flag::NONE, second);
        p.continuation(1, flag::END_HEADERS, third);
    }),
    row("8.1", "GET", Head(1), |p| p.get(1)),
    row("8.1", "HEAD", Head(1), |p| {
        let block = p.head("HEAD", &[]);
        p.headers(1, flag::ALL, &block);
    }),
    row("8.1", "POST", Data(Some(4)), |p| {
        p.post(1, &[("content-length", "4")]);
        p.data(1, flag::END, b"test");
    }),
    row("8.1", "POST with trailers", Head(1), |p| {
        p.post(1, &[("trailer", "x-test")]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::ALL, &block(&[("x-test", "ok")]));
    }),
    row("8.1", "the next request on the same connection", Head(3), |p| {
        p.get(1);
        p.until_ended();
        p.get(3);
    }),
    row("hpack 6.1", "a field of the static table alone", Head(1), |p| with(p, b"\xba")),
    row("hpack 6.2.1", "indexed from now on, name from the table", Head(1), |p| {
        with(p, b"\x7a\x08test/1.0");
    }),
    row("hpack 6.2.1", "indexed from now on, name from the table, Huffman", Head(1), |p| {
        with(p, &[b"\x7a\x86", NO_CACHE].concat());
    }),
    row("hpack 6.2.1", "indexed from now on, a new name", Head(1), |p| with(p, b"\x40\x03x-a\x011")),
    row("hpack 6.2.1", "indexed from now on, a new name, Huffman", Head(1), |p| {
        with(p, &[b"\x40\x88", CUSTOM_KEY, b"\x89", CUSTOM_VALUE].concat());
    }),
    row("hpack 6.2.1", "what was indexed is known to the next head", Head(3), |p| {
        with(p, &[b"\x40\x88", CUSTOM_KEY, b"\x89", CUSTOM_VALUE].concat());
        p.until_ended();
        let block = [p.head("GET", &[]), b"\xbe".to_vec()].concat();
        p.headers(3, flag::ALL, &block);
    }),
    row("hpack 6.2.2", "not indexed, name from the table", Head(1), |p| with(p, b"\x0f\x2b\x08test/1.0")),
    row("hpack 6.2.2", "not indexed, name from the table, Huffman", Head(1), |p| {
        with(p, &[b"\x0f\x2b\x86", NO_CACHE].concat());
    }),
    row("hpack 6.2.2", "not indexed, a new name", Head(1), |p| with(p, b"\0\x03x-a\x011")),
    row("hpack 6.2.2", "not indexed, a new name, Huffman", Head(1), |p| {
        with(p, &[b"\0\x88", CUSTOM_KEY, b"\x89", CUSTOM_VALUE].concat());
    }),
    row("hpack 6.2.3", "never indexed, name from the table", Head(1), |p| {
        with(p, b"\x1f\x2b\x08test/1.0");
    }),
    row("hpack 6.2.3", "never indexed, name from the table, Huffman", Head(1), |p| {
        with(p, &[b"\x1f\x2b\x86", NO_CACHE].concat());
    }),
    row("hpack 6.2.3", "never indexed, a new name", Head(1), |p| with(p, b"\x10\x03x-a\x011")),
    row("hpack 6.2.3", "never indexed, a new name, Huffman", Head(1), |p| {
        with(p, &[b"\x10\x88", CUSTOM_KEY, b"\x89", CUSTOM_VALUE].concat());
    }),
    row("hpack 6.3", "a dynamic table of no size", Head(1), |p| {
        let block = [integer(5, 0x20, 0), p.head("GET", &[])].concat();
        p.headers(1, flag::ALL, &block);
    }),
    row("hpack 4.2", "a dynamic table of no size, and of all again", Head(1), |p| {
        let block = [integer(5, 0x20, 0), integer(5, 0x20, 4096), p.head("GET", &[])].concat();
        p.headers(1, flag::ALL, &block);
    }),
    row("5.5", "a frame of an unknown type on a stream", Head(1), |p| {
        p.post(1, &[]);
        p.frame(0x40, 0xff, 1, b"whatever");
        p.data(1, flag::END, b"test");
    }),
    row("6.8", "a GOAWAY frame with debug bytes", PongOrClosed(CALM), |p| {
        p.frame(kind::GOAWAY, flag::NONE, 0, b"\0\0\0\0\0\0\0\0so long");
        p.ping(flag::NONE, CALM);
    }),
];

/// Strings by Huffman's code, from RFC 7541's own examples (appendix C.4).
pub(crate) const NO_CACHE: &[u8] = b"\xa8\xeb\x10\x64\x9c\xbf";
pub(crate) const CUSTOM_KEY: &[u8] = b"\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f";
const CUSTOM_VALUE: &[u8] = b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf";

/// A request with one more field as it is written.
pub(crate) fn with(peer: &mut crate::Peer, field: &[u8]) {
    let block = [&peer.head("GET", &[])[..], field].concat();
    peer.headers(1, flag::ALL, &block);
}
