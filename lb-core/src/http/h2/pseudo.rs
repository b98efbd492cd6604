//! The pseudo-fields of a client's request, which pass the `h2` crate under the names of fields.
//!
//! To that crate `:path` and `:authority` are what the `http` crate calls so, which is less than is in use (`"` and `<`
//! in a query, `%2F` in the authority of a Unix socket), and in one case more: it cuts a fragment off. It resets the
//! stream for anything else, and tells nobody. So pseudo-fields are renamed before it sees them, and read with the other
//! fields, as HTTP/1 is read.
//!
//! Renaming needs neither the values nor the table that both ends keep of what was sent: a name as long as the one it
//! stands for takes the same room there (RFC 7541 section 4.1), and who refers to an entry later means the new name.

use http::uri::Scheme;
use http::{HeaderMap, Method};

/// A pseudo-field's name as it comes, and the name by which it passes; both also as Huffman's code has them.
struct Name {
    sent: &'static str,
    sent_coded: &'static [u8],
    passed: &'static str,
    passed_coded: &'static [u8],
}

const METHOD: Name = Name {
    sent: ":method",
    sent_coded: b"\xb9\x49\x53\x39\xe4",
    passed: "!method",
    passed_coded: b"\xfe\x29\x2a\x67\x3c\x9f",
};
const SCHEME: Name = Name {
    sent: ":scheme",
    sent_coded: b"\xb8\x82\x4e\x5a\x4b",
    passed: "!scheme",
    passed_coded: b"\xfe\x10\x49\xcb\x49\x7f",
};
const AUTHORITY: Name = Name {
    sent: ":authority",
    sent_coded: b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
    passed: "!authority",
    passed_coded: b"\xfe\x07\x6a\x67\x3d\x86\x4f\xaf",
};
const PATH: Name = Name {
    sent: ":path",
    sent_coded: b"\xb9\x58\xd3\x3f",
    passed: "!path",
    passed_coded: b"\xfe\x2b\x1a\x67",
};
const PROTOCOL: Name = Name {
    sent: ":protocol",
    sent_coded: b"\xb9\x5d\x87\x49\xc8\x7a\x3f",
    passed: "!protocol",
    passed_coded: b"\xfe\x2b\xb0\xe9\x39\x0f\x47",
};

/// `:status` is not among them: in a request it is as wrong to the `h2` crate as to us.
const NAMES: [Name; 5] = [METHOD, SCHEME, AUTHORITY, PATH, PROTOCOL];

/// The first entries of the static table (RFC 7541 appendix A), by their names as they pass.
const STATIC: [(&str, &str); 7] = [
    (AUTHORITY.passed, ""),
    (METHOD.passed, "GET"),
    (METHOD.passed, "POST"),
    (PATH.passed, "/"),
    (PATH.passed, "/index.html"),
    (SCHEME.passed, "http"),
    (SCHEME.passed, "https"),
];

/// What the `h2` crate misses in a head whose pseudo-fields have other names: `:method: GET`, `:scheme: http` and
/// `:path: /`, by their numbers in the static table.
const STAND_IN: [u8; 3] = [0x82, 0x86, 0x84];
/// What they count for in a limit on a head's size (RFC 9113 section 6.5.2).
pub(super) const STAND_IN_SIZE: u32 = (7 + 3 + 32) + (7 + 4 + 32) + (5 + 1 + 32);

/// The pseudo-fields of a request, as RFC 9113 section 8.3 and RFC 8441 section 4 want them. What they say may still be
/// no target or no authority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pseudo<'a> {
    /// A token.
    pub(super) method: &'a str,
    /// Absent in a plain CONNECT, as is `path`, which is not empty otherwise.
    pub(super) scheme: Option<&'a [u8]>,
    pub(super) path: Option<&'a [u8]>,
    pub(super) authority: Option<&'a [u8]>,
    /// What an extended CONNECT asks for.
    pub(super) protocol: Option<&'a [u8]>,
}

impl<'a> Pseudo<'a> {
    /// Those of a head; none where the message is malformed.
    pub(super) fn read(fields: &'a HeaderMap) -> Option<Self> {
        let mut values = [None; NAMES.len()];
        let mut is_behind_fields = false;
        for (name, value) in fields {
            match NAMES.iter().position(|known| known.passed == name.as_str()) {
                None => is_behind_fields = true,
                Some(_) if is_behind_fields => return None,
                Some(at) if values[at].replace(value.as_bytes()).is_some() => return None,
                Some(_) => {}
            }
        }
        let [method, scheme, authority, path, protocol] = values;
        let method = std::str::from_utf8(method?).ok().filter(|method| Method::try_from(*method).is_ok())?;
        let is_well_formed = if method == "CONNECT" && protocol.is_none() {
            scheme.is_none() && path.is_none()
        } else {
            (protocol.is_none() || method == "CONNECT")
                && scheme.is_some_and(|scheme| Scheme::try_from(scheme).is_ok())
                && path.is_some_and(|path| !path.is_empty())
        };
        is_well_formed.then_some(Self { method, scheme, path, authority, protocol })
    }

    pub(super) fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }
}

/// Whether a field is a pseudo-field under its other name.
pub(super) fn is_passed(name: &str) -> bool {
    name.starts_with('!') && NAMES.iter().any(|known| known.passed == name)
}

/// What a header block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Trailers,
}

/// Writes `block` down with its pseudo-fields renamed; as it is where it can't be read, which the `h2` crate finds, too.
pub(super) fn rename(kind: Kind, block: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    if rename_fields(kind, block, out).is_none() {
        out.truncate(before);
        out.extend_from_slice(block);
    }
}

fn rename_fields(kind: Kind, mut rest: &[u8], out: &mut Vec<u8>) -> Option<()> {
    // Sizes of the table come first (RFC 7541 section 4.2).
    while let [0x20..=0x3f, ..] = rest {
        let (_, behind) = integer(rest, 5)?;
        out.extend_from_slice(&rest[..rest.len() - behind.len()]);
        rest = behind;
    }
    if kind == Kind::Head {
        out.extend_from_slice(&STAND_IN);
    }
    while let Some(first) = rest.first() {
        rest = rename_field(*first, rest, out)?;
    }
    Some(())
}

/// Likewise one field (RFC 7541 section 6), whose first byte is `first`; what is behind it.
fn rename_field<'a>(first: u8, field: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (is_literal, prefix) = match first {
        0x80.. => (false, 7),
        0x40..=0x7f => (true, 6),
        0x20..=0x3f => (false, 5),
        ..=0x1f => (true, 4),
    };
    let (index, behind) = integer(field, prefix)?;
    let of_table = index.checked_sub(1).and_then(|at| STATIC.get(at));
    if !is_literal {
        match of_table.filter(|_| prefix == 7) {
            Some((name, value)) => {
                out.push(0);
                write_string(name, out);
                write_string(value, out);
            }
            None => out.extend_from_slice(&field[..field.len() - behind.len()]),
        }
        return Some(behind);
    }
    let (name, value) = if index == 0 {
        let (name, value) = string(behind)?;
        (other_name(name), value)
    } else {
        (of_table.map(|(name, _)| *name), behind)
    };
    match name {
        Some(name) => {
            out.push(first >> prefix << prefix);
            write_string(name, out);
        }
        None => out.extend_from_slice(&field[..field.len() - value.len()]),
    }
    let (_, behind) = string(value)?;
    out.extend_from_slice(&value[..value.len() - behind.len()]);
    Some(behind)
}

/// The name that stands for this one. Who sends a name of ours means a field, which becomes a pseudo-field beside those
/// that stand in: nobody else is to speak for us.
fn other_name(name: Text<'_>) -> Option<&'static str> {
    NAMES.iter().find_map(|known| match name {
        Text::Plain(text) if text == known.sent.as_bytes() => Some(known.passed),
        Text::Plain(text) if text == known.passed.as_bytes() => Some(known.sent),
        Text::Coded(code) if code == known.sent_coded => Some(known.passed),
        Text::Coded(code) if code == known.passed_coded => Some(known.sent),
        _ => None,
    })
}

/// A string of a block, in Huffman's code or not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    Coded(&'a [u8]),
}

/// RFC 7541 section 5.2; with what is behind it.
pub(super) fn string(bytes: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let is_coded = bytes.first()? & 0x80 != 0;
    let (length, rest) = integer(bytes, 7)?;
    let (text, behind) = rest.split_at_checked(length)?;
    Some((if is_coded { Text::Coded(text) } else { Text::Plain(text) }, behind))
}

/// Shorter than 127 bytes.
fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(text.len()).unwrap_or_default());
    out.extend_from_slice(text.as_bytes());
}

/// RFC 7541 section 5.1; with what is behind it. Five bytes hold any number that a block can need, and no decoder of ours
/// takes more.
pub(super) fn integer(bytes: &[u8], prefix: u8) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1 << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rename(Kind::Trailers, block, &mut out);
        out
    }

    fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
        let mut out = vec![first];
        write_string(name, &mut out);
        write_string(value, &mut out);
        out
    }

    #[test]
    fn names_keep_their_lengths() {
        for name in NAMES {
            assert_eq!(name.sent.strip_prefix(':'), name.passed.strip_prefix('!'));
        }
    }

    #[test]
    fn pseudo_fields_are_renamed_however_they_are_written() {
        let coded =
            |name: &[u8]| [&[0x40, 0x80 | u8::try_from(name.len()).unwrap()], name, &b"\x01x"[..]].concat();
        for (block, expected) in [
            (vec![0x82], literal(0, "!method", "GET")),
            (vec![0x84], literal(0, "!path", "/")),
            (vec![0x87], literal(0, "!scheme", "https")),
            (vec![0x81], literal(0, "!authority", "")),
            (b"\x44\x02/a".to_vec(), literal(0x40, "!path", "/a")),
            (b"\x04\x02/a".to_vec(), literal(0, "!path", "/a")),
            (b"\x11\x01a".to_vec(), literal(0x10, "!authority", "a")),
            (literal(0x40, ":protocol", "websocket"), literal(0x40, "!protocol", "websocket")),
            (literal(0x40, "!path", "x"), literal(0x40, ":path", "x")),
            (coded(PATH.sent_coded), literal(0x40, "!path", "x")),
            (coded(AUTHORITY.passed_coded), literal(0x40, ":authority", "x")),
        ] {
            assert_eq!(renamed(&block), expected, "{block:x?}");
        }
    }

    #[test]
    fn everything_else_stays() {
        let long = "v".repeat(120);
        let blocks: [&[u8]; 8] = [
            b"",
            // `:status`, a field of the static table, one of the dynamic table.
            b"\x88\x90\xbe",
            &literal(0x40, "x-a", &long),
            &literal(0, ":test", "x"),
            b"\x7e\x01a",
            // What can't be read: a number and a string cut off, one without end.
            b"\xff\x80",
            b"\x44\x05/a",
            b"\xff\xff\xff\xff\xff\xff\x00",
        ];
        for block in blocks {
            assert_eq!(renamed(block), block, "{block:x?}");
        }
    }

    #[test]
    fn the_tables_size_stays_in_front() {
        let mut out = Vec::new();
        rename(Kind::Head, b"\x20\x3f\xe1\x1f\x82", &mut out);
        let expected = [&b"\x20\x3f\xe1\x1f\x82\x86\x84"[..], &literal(0, "!method", "GET")].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn what_rfc_9113_calls_malformed_is_none() {
        let read = |fields: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, http::HeaderValue::from_static(value));
            }
            Pseudo::read(&map).is_some()
        };
        let (method, scheme, path) = (("!method", "GET"), ("!scheme", "http"), ("!path", "/"));
        let connect = ("!method", "CONNECT");
        for (fields, expected) in [
            (vec![method, scheme, path], true),
            (vec![path, method, ("!authority", "a%2F"), scheme, ("a", "b")], true),
            (vec![connect, ("!authority", "a:1")], true),
            (vec![connect, scheme, path, ("!protocol", "websocket")], true),
            (vec![method, scheme], false),
            (vec![method, path], false),
            (vec![scheme, path], false),
            (vec![method, scheme, ("!path", "")], false),
            (vec![method, ("!scheme", "a b"), path], false),
            (vec![("!method", "G T"), scheme, path], false),
            (vec![method, scheme, path, path], false),
            (vec![method, scheme, ("a", "b"), path], false),
            (vec![method, scheme, path, ("a", "b"), path], false),
            (vec![method, scheme, path, ("!protocol", "websocket")], false),
            (vec![connect, ("!authority", "a:1"), scheme], false),
            (vec![connect, ("!authority", "a:1"), path], false),
            (vec![connect, path, ("!protocol", "websocket")], false),
        ] {
            assert_eq!(read(&fields), expected, "{fields:?}");
        }
    }
}
