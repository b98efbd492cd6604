//! Requests to a server whose target or authority the `h2` crate can't say, since the types of the `http` crate hold
//! less than is in use ([`super::pseudo`] tells the same of clients).
//!
//! What it can't say passes it as values of Host, a field that no other head to a server has, since `:authority` says it
//! (RFC 9113 section 8.3.1). They are marked as sensitive: what is so never enters the table that both ends keep of what
//! was sent, and stands in a block as the number of Host's name and the value (RFC 7541 section 6.2.3). On the way out
//! each name becomes that of its pseudo-field, by its number, and what the crate has made up instead is left out. A
//! block only gets shorter by that, and no client can bring it about.

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request};

use super::pseudo::{integer, string};

/// A literal that is never to be indexed, by the number of Host in the static table (RFC 7541 appendix A): 38 by a
/// prefix of four bits.
const HELD: [u8; 2] = [0x1f, 38 - 15];
/// Likewise by `:authority`, `:path` and `:scheme`, as the values of Host stand for them. A plain CONNECT has the first
/// alone.
const NAMES: [u8; 3] = [0x11, 0x14, 0x16];
/// What the crate makes of a request that says nothing of all that: `:scheme: http` and `:path: /`.
const MADE_UP: [u8; 2] = [0x86, 0x84];

/// Gives a request of these fields an authority and, unless it is a plain CONNECT, a path and a scheme. None where they
/// can't even be fields.
pub(super) fn fill(
    request: &mut Request<()>,
    fields: HeaderMap,
    authority: &[u8],
    path_and_scheme: Option<(&[u8], &str)>,
) -> Option<()> {
    let (path, scheme) = path_and_scheme.unzip();
    let mut all = HeaderMap::with_capacity(fields.len() + 1);
    for value in [Some(authority), path, scheme.map(str::as_bytes)].into_iter().flatten() {
        let mut value = HeaderValue::from_bytes(value).ok()?;
        value.set_sensitive(true);
        all.append(HOST, value);
    }
    // First of all, as pseudo-fields have to be (RFC 9113 section 8.3).
    all.extend(fields);
    *request.headers_mut() = all;
    Some(())
}

/// Whether the request is one of these. A request that the crate can say has an authority.
pub(super) fn is_in(request: &Request<()>) -> bool {
    request.uri().authority().is_none()
}

/// Writes `block` down as it is to be sent.
pub(super) fn rename(block: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    if rename_fields(block, out).is_none() {
        out.truncate(before);
        out.extend_from_slice(block);
    }
}

/// None if it is a block like any other.
fn rename_fields(block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = block;
    while !rest.starts_with(&HELD) {
        let behind = behind_field(rest)?;
        let field = &rest[..rest.len() - behind.len()];
        if !matches!(field, [one] if MADE_UP.contains(one)) {
            out.extend_from_slice(field);
        }
        rest = behind;
    }
    for name in NAMES {
        let Some(value) = rest.strip_prefix(&HELD) else { break };
        let (_, behind) = string(value)?;
        out.push(name);
        out.extend_from_slice(&value[..value.len() - behind.len()]);
        rest = behind;
    }
    out.extend_from_slice(rest);
    Some(())
}

/// What is behind the first field, or the new size of the table (RFC 7541 section 6).
fn behind_field(block: &[u8]) -> Option<&[u8]> {
    let (is_literal, prefix) = match block.first()? {
        0x80.. => (false, 7),
        0x40..=0x7f => (true, 6),
        0x20..=0x3f => (false, 5),
        ..=0x1f => (true, 4),
    };
    let (index, mut rest) = integer(block, prefix)?;
    let strings = usize::from(is_literal) + usize::from(is_literal && index == 0);
    for _ in 0..strings {
        (_, rest) = string(rest)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rename(block, &mut out);
        out
    }

    #[test]
    fn hosts_become_the_pseudo_fields_that_they_stand_for() {
        for (block, expected) in [
            (
                &b"\x82\x86\x84\x1f\x17\x01a\x1f\x17\x02/<\x1f\x17\x05https\xbe"[..],
                &b"\x82\x11\x01a\x14\x02/<\x16\x05https\xbe"[..],
            ),
            // Behind new sizes of the table, a method with a name of the table's, and a protocol.
            (
                b"\x20\x3f\xe1\x1f\x42\x01X\x86\x84\x40\x01p\x01w\x1f\x17\x00\x1f\x17\x81\xff",
                b"\x20\x3f\xe1\x1f\x42\x01X\x40\x01p\x01w\x11\x00\x14\x81\xff",
            ),
            // A plain CONNECT.
            (b"\xbf\x86\x1f\x17\x01a\x84\x86", b"\xbf\x11\x01a\x84\x86"),
            // Three and no more.
            (
                b"\x1f\x17\x01a\x1f\x17\x01b\x1f\x17\x01c\x1f\x17\x01d",
                b"\x11\x01a\x14\x01b\x16\x01c\x1f\x17\x01d",
            ),
        ] {
            assert_eq!(renamed(block), expected, "{block:x?}");
        }
    }

    #[test]
    fn other_blocks_stay() {
        for block in [
            &b""[..],
            b"\x82\x86\x84\x41\x01a",
            // Host that may be indexed, or that need not be.
            b"\x82\x86\x84\x66\x01a",
            b"\x82\x86\x84\x0f\x17\x01a",
            // In a value, and cut off.
            b"\x82\x86\x84\x41\x04\x1f\x17\x01a",
            b"\x82\x86\x84\x1f\x17\x05a",
            b"\x82\x86\x84\x1f\x17",
        ] {
            assert_eq!(renamed(block), block, "{block:x?}");
        }
    }
}
