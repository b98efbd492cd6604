//! Where a message's body ends: the one decision that smuggling attacks, made here and nowhere else
//! (RFC 9112 section 6.3).
//!
//! `None` from these functions means that the message can be read in two ways: it is refused, never guessed.

use crate::http::head::{Asked, Field, Known, Version};

/// How a body is delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// By chunks.
    Chunked,
    /// By the end of the connection; responses only.
    UntilClose,
    /// There is none, and yet one was declared: its server may send it all the same, at any time; responses only.
    Denied,
}

/// How a request's body is framed.
pub(crate) fn of_request(fields: &[Field], bytes: &[u8], version: Version) -> Option<Framing> {
    declared(fields, bytes, version).map(|declared| declared.unwrap_or(Framing::None))
}

/// How a response's body is framed.
pub(crate) fn of_response(
    fields: &[Field],
    bytes: &[u8],
    version: Version,
    status: u16,
    asked: Asked,
) -> Option<Framing> {
    let declared = declared(fields, bytes, version)?;
    let is_bodiless = match asked {
        Asked::Head => true,
        Asked::Connect => (200..300).contains(&status),
        Asked::Other => false,
    };
    // These end with their head whatever they declare (RFC 9112 section 6.3, rules 1 and 2). The former may describe the
    // content that they don't have, the latter may not (RFC 9110 section 8.6, RFC 9112 section 6.1).
    Some(match (status, declared) {
        _ if is_bodiless || status == 304 => Framing::None,
        (..200 | 204, None | Some(Framing::Length(0))) => Framing::None,
        (..200 | 204, Some(_)) => Framing::Denied,
        _ => declared.unwrap_or(Framing::UntilClose),
    })
}

/// What Transfer-Encoding and Content-Length say: nothing (`Some(None)`), one thing, or too much (`None`).
fn declared(fields: &[Field], bytes: &[u8], version: Version) -> Option<Option<Framing>> {
    let mut framing = None;
    for field in fields {
        let declared = match field.known {
            // Only the one coding that every recipient understands, once; and HTTP/1.0 knows none (section 6.1).
            Known::TransferEncoding
                if version == Version::Http11 && bytes[field.value].eq_ignore_ascii_case(b"chunked") =>
            {
                Framing::Chunked
            }
            Known::TransferEncoding => return None,
            Known::ContentLength => Framing::Length(content_length(&bytes[field.value])?),
            _ => continue,
        };
        // A second declaration is refused even where it repeats the first: hops differ in which one they take.
        if framing.replace(declared).is_some() {
            return None;
        }
    }
    Some(framing)
}

/// Digits only: no sign, no list, no space. 18 of them can't overflow and name an exabyte.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value
        .iter()
        .try_fold(0u64, |length, byte| byte.is_ascii_digit().then(|| length * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_lengths() {
        for (value, expected) in [
            ("0", Some(0)),
            ("0005", Some(5)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("5,5", None),
            ("5 5", None),
            ("0x5", None),
            ("5\u{0}", None),
            ("9999999999999999999", None),
        ] {
            assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
        }
    }
}
