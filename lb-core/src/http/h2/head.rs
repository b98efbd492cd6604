//! Heads to and from the form that exchanges know.

use http::{HeaderMap, HeaderName, HeaderValue, header, response};

use super::pseudo::{Pseudo, is_passed};
use super::websocket;
use crate::http::ends::{HeadError, HeadLimits, ParseError};
use crate::http::h1;
use crate::http::head::{Asked, BodyLength, Field, RequestHead, ResponseHead, Version};
use crate::http::host::{default_port, is_same_authority, is_valid_authority};

/// Writes a request's head down as HTTP/1 would have it, and reads it as HTTP/1 is read: whatever can't be told
/// there without doubt is refused. `is_whole`: no body follows. `key`: it is an extended CONNECT for a WebSocket, and
/// HTTP/1 would upgrade to it by this key.
pub(super) fn read_request(
    fields: &HeaderMap,
    key: Option<&[u8]>,
    is_whole: bool,
    limits: HeadLimits,
    bytes: &mut Vec<u8>,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let pseudo = Pseudo::read(fields).ok_or(ParseError::Malformed)?;
    let method = if key.is_some() { "GET" } else { pseudo.method };
    for part in [method.as_bytes(), b" ", target(&pseudo)?, b" HTTP/1.1\r\n"] {
        bytes.extend_from_slice(part);
    }
    if bytes.len() > limits.bytes {
        return Err(HeadError::TargetTooLong);
    }
    let has_host = write_host(&pseudo, fields, bytes)?;
    write_fields(fields, has_host, bytes);
    if let Some(key) = key {
        write_field(bytes, "connection", b"upgrade");
        write_field(bytes, "upgrade", websocket::PROTOCOL.as_bytes());
        write_field(bytes, "sec-websocket-key", key);
    }
    bytes.extend_from_slice(b"\r\n");
    if bytes.len() > limits.bytes {
        return Err(HeadError::TooLarge);
    }
    let length = h1::parse_request(bytes, limits.fields, head)?;
    if length != Some(bytes.len()) {
        return Err(ParseError::Malformed.into());
    }
    head.version = Version::Http2;
    head.keeps_alive = true;
    head.body = match head.body {
        BodyLength::Known(0) => BodyLength::Known(0),
        // HTTP/2 says it by the end of the stream, HTTP/1 has to, and some servers insist (RFC 9110 section 8.6).
        BodyLength::None if is_whole && has_usually_content(method) => BodyLength::Known(0),
        BodyLength::None if is_whole => BodyLength::None,
        BodyLength::Known(length) if !is_whole => BodyLength::Known(length),
        BodyLength::None => BodyLength::Unknown,
        // Chunks can't be announced, and a length has to be kept (RFC 9113 section 8.1.1).
        BodyLength::Known(_) | BodyLength::Unknown => return Err(ParseError::Framing.into()),
    };
    Ok(())
}

/// Likewise a response's head. `is_whole`: no body follows; `has_none`: none may.
pub(super) fn read_response(
    parts: &response::Parts,
    is_whole: bool,
    limits: HeadLimits,
    asked: Asked,
    bytes: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<(), HeadError> {
    for part in ["HTTP/1.1 ", parts.status.as_str(), " "] {
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    write_fields(&parts.headers, false, bytes);
    bytes.extend_from_slice(b"\r\n");
    if bytes.len() > limits.bytes {
        return Err(HeadError::TooLarge);
    }
    let length = h1::parse_response(bytes, limits.fields, asked, head)?.map(|(length, _)| length);
    if length != Some(bytes.len()) {
        return Err(ParseError::Malformed.into());
    }
    head.keeps_alive = true;
    head.body = match head.body {
        BodyLength::Known(length) if is_whole && length > 0 => return Err(ParseError::Framing.into()),
        // What ends with its head has a length, unless it can have no content.
        BodyLength::Unknown if is_whole => BodyLength::Known(0),
        body => body,
    };
    Ok(())
}

/// Appends a field that was read as HTTP/1 allows it; what HTTP/2 can't carry is left out.
pub(super) fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        // It fails beyond 32,768 fields, far above every limit of ours.
        let _ = fields.try_append(name, value);
    }
}

/// The same for a field of a head.
pub(super) fn append_field(fields: &mut HeaderMap, field: &Field, bytes: &[u8]) {
    append(fields, &bytes[field.name], &bytes[field.value]);
}

/// Fields from lines that each end in CRLF.
pub(super) fn fields_of_lines(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(at) = memchr::memchr(b':', line) {
            append(&mut fields, &line[..at], line[at + 1..].trim_ascii());
        }
    }
    fields
}

/// Whether the method means something by its content, so that there being none is worth saying.
fn has_usually_content(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH" | "QUERY")
}

/// What is asked for: a path, or where a plain CONNECT is to lead. Never in absolute form, which is HTTP/1's alone.
fn target<'a>(pseudo: &Pseudo<'a>) -> Result<&'a [u8], ParseError> {
    let target = match pseudo.path {
        Some(path @ ([b'/', ..] | b"*")) => path,
        Some(_) => return Err(ParseError::Target),
        None => pseudo.authority.unwrap_or_default(),
    };
    if h1::is_target(target) { Ok(target) } else { Err(ParseError::Target) }
}

/// RFC 9113 section 8.3.1: `:authority` stands for Host, which may repeat it and nothing else. Whether there is one.
fn write_host(pseudo: &Pseudo<'_>, fields: &HeaderMap, bytes: &mut Vec<u8>) -> Result<bool, ParseError> {
    let Some(authority) = pseudo.authority else { return Ok(false) };
    let default_port = pseudo.scheme.and_then(default_port);
    let mut hosts = fields.get_all(header::HOST).iter();
    let is_same = |host: &HeaderValue| is_same_authority(host.as_bytes(), authority, default_port);
    if !is_valid_authority(authority) || !hosts.all(is_same) {
        return Err(ParseError::Host);
    }
    write_field(bytes, "host", authority);
    Ok(true)
}

fn write_fields(fields: &HeaderMap, has_host: bool, bytes: &mut Vec<u8>) {
    for (name, value) in fields {
        if name != header::COOKIE && !(has_host && name == header::HOST) && !is_passed(name.as_str()) {
            write_field(bytes, name.as_str(), value.as_bytes());
        }
    }
    // RFC 9113 section 8.2.3: crumbs are one field again where HTTP/1 reads it.
    let mut cookies = fields.get_all(header::COOKIE).iter();
    if let Some(first) = cookies.next() {
        bytes.extend_from_slice(b"cookie: ");
        bytes.extend_from_slice(first.as_bytes());
        for cookie in cookies {
            bytes.extend_from_slice(b"; ");
            bytes.extend_from_slice(cookie.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
}

fn write_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}
