//! Heads that can't be decompressed (RFC 7541): nobody knows what the tables hold from then on.

use super::usual::{CUSTOM_KEY, NO_CACHE, with};
use crate::Outcome::{ConnectionError, Head};
use crate::h2_frames::{code, flag, integer};
use crate::{Outcome, Row, row};

const ERROR: Outcome = ConnectionError(&[code::COMPRESSION]);

pub(crate) const ROWS: &[Row] = &[
    row("hpack 2.3.3", "an index beyond both tables", ERROR, |p| with(p, b"\xfe")),
    row("hpack 2.3.3", "a name's index beyond both tables", ERROR, |p| with(p, b"\x7f\x20\x011")),
    row("hpack 4.2", "a table's size at the end of a block", ERROR, |p| with(p, b"\x21")),
    row("hpack 4.2", "a table's size in the middle of a block", ERROR, |p| {
        with(p, b"\x21\0\x03x-a\x011");
    }),
    row("hpack 4.3", "what a smaller table has evicted", ERROR, |p| {
        with(p, b"\x40\x03x-a\x011");
        p.until_ended();
        let block = [b"\x20\x3f\xe1\x1f", &p.head("GET", &[])[..], b"\xbe"].concat();
        p.headers(3, flag::ALL, &block);
    }),
    row("hpack 4.4", "a field larger than the table is served, and not kept", Head(1), |p| {
        let large = "a".repeat(5000);
        let field = [&b"\x40\x03x-a"[..], &integer(7, 0, large.len()), large.as_bytes()].concat();
        with(p, &field);
    }),
    row("hpack 5.1", "an integer that never ends", ERROR, |p| {
        with(p, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0f");
    }),
    row("hpack 5.2", "a string longer than its block", ERROR, |p| with(p, b"\0\x03x-a\x7f\x001")),
    row("hpack 5.2", "Huffman's padding of more than 7 bits", ERROR, |p| {
        with(p, &[b"\0\x88", CUSTOM_KEY, b"\x87", NO_CACHE, b"\xff"].concat());
    }),
    row("hpack 5.2", "Huffman's padding by zeros", ERROR, |p| {
        // The last byte's bits are a key's last, "0" in five, and two that no code begins with but the end's.
        with(p, &[b"\0\x03x-a\x88", &CUSTOM_KEY[..7], b"\0"].concat());
    }),
    row("hpack 5.2", "Huffman's end of string within one", ERROR, |p| {
        with(p, &[b"\0\x88", CUSTOM_KEY, b"\x87\xff\xff\xff\xfd\x25\x42\x7f"].concat());
    }),
    row("hpack 6.1", "index 0", ERROR, |p| with(p, b"\x80")),
    row("hpack 6.3", "a table larger than was allowed", ERROR, |p| {
        let block = [integer(5, 0x20, 4097), p.head("GET", &[])].concat();
        p.headers(1, flag::ALL, &block);
    }),
    row("4.3", "a field cut off", ERROR, |p| p.headers(1, flag::ALL, b"\x40")),
    row("4.3", "trailers that can't be decompressed", ERROR, |p| {
        p.post(1, &[]);
        p.data(1, flag::NONE, b"test");
        p.headers(1, flag::ALL, b"\x80");
    }),
];
