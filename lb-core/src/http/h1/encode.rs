//! Heads to bytes.
//!
//! What is written is only what was parsed, in canonical form: `name: value CRLF`, framing fields from the decision
//! that was made about them, hop-by-hop fields of our own.

use std::fmt::Display;
use std::io::Write;

use super::outgoing::Encoder;
use crate::http::edits::HeaderEdits;
use crate::http::filter::Edits;
use crate::http::forwarded::Forwarded;
use crate::http::head::{BodyLength, Field, Known, RequestHead, ResponseHead};
use crate::http::reply::Reply;

/// The edits of a route and of filters, laid over a head's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadEdits<'a> {
    pub(crate) route: &'a HeaderEdits,
    pub(crate) filters: &'a Edits,
}

impl HeadEdits<'_> {
    fn drops(&self, name: &[u8]) -> bool {
        self.route.drops(name) || self.filters.drops(name)
    }

    fn write(&self, queue: &mut Vec<u8>) {
        let route = self.route.fields().filter(|(name, _)| !self.filters.drops(name));
        route.chain(self.filters.fields()).for_each(|(name, value)| write_field(queue, name, value));
    }
}

/// A request as it goes to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingRequest<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) bytes: &'a [u8],
    /// Origin form, or `*`.
    pub(crate) target: &'a [u8],
    /// For a client of HTTP/1.0 that named none.
    pub(crate) default_host: &'a str,
    pub(crate) edits: HeadEdits<'a>,
    pub(crate) forwarded: Option<Forwarded<'a>>,
}

/// What becomes of the client's connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Stays open, as HTTP/1.1 assumes.
    Open,
    /// Stays open, which an HTTP/1.0 client must be told.
    OpenForHttp10,
    Close,
    /// Becomes a tunnel.
    Upgrade,
}

/// How a request's body goes to a server.
pub(crate) fn request_encoder(head: &RequestHead) -> Encoder {
    match head.body {
        BodyLength::None | BodyLength::Known(_) => Encoder::Plain,
        BodyLength::Unknown => Encoder::Chunked { left: 0 },
    }
}

/// Writes a request's head.
pub(crate) fn encode_request(queue: &mut Vec<u8>, request: OutgoingRequest<'_>) {
    let OutgoingRequest { head, bytes, target, edits, forwarded, .. } = request;
    queue.reserve(bytes.len() + 256);
    queue.extend_from_slice(&bytes[head.method]);
    queue.push(b' ');
    queue.extend_from_slice(target);
    queue.extend_from_slice(b" HTTP/1.1\r\n");
    // First, as RFC 9110 section 7.2 asks.
    if !edits.drops(b"host") {
        let authority = &bytes[head.authority];
        let host = if authority.is_empty() { request.default_host.as_bytes() } else { authority };
        write_field(queue, b"host", host);
    }
    // For other methods than OPTIONS the field means nothing, and passes (RFC 9110 section 7.6.2).
    let max_forwards = if &bytes[head.method] == b"OPTIONS" { head.forwards_left(bytes) } else { None };
    if let Some(left) = max_forwards {
        queue.extend_from_slice(b"max-forwards: ");
        write_decimal(queue, left.saturating_sub(1));
        queue.extend_from_slice(b"\r\n");
    }
    for field in &head.fields {
        let is_ours = match field.known {
            Known::Other => false,
            Known::Host | Known::ContentLength => true,
            Known::MaxForwards => max_forwards.is_some(),
            Known::Trailer => head.body != BodyLength::Unknown,
            known => forwarded.is_some_and(|forwarded| forwarded.drops(known)),
        };
        if !is_ours {
            write_received(queue, field, bytes, edits);
        }
    }
    if let Some(forwarded) = forwarded {
        forwarded.write(queue, &head.fields, bytes);
    }
    if head.is_upgrade {
        for field in head.fields.iter().filter(|field| field.known == Known::Upgrade) {
            write_field(queue, b"upgrade", &bytes[field.value]);
        }
    }
    match (head.is_upgrade, head.accepts_trailers) {
        (true, false) => queue.extend_from_slice(b"connection: upgrade\r\n"),
        (false, true) => queue.extend_from_slice(b"te: trailers\r\nconnection: te\r\n"),
        (true, true) => queue.extend_from_slice(b"te: trailers\r\nconnection: upgrade, te\r\n"),
        (false, false) => {}
    }
    write_framing(queue, head.body);
    edits.write(queue);
    queue.extend_from_slice(b"\r\n");
}

/// A server's response as it goes to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingResponse<'a> {
    pub(crate) head: &'a ResponseHead,
    pub(crate) bytes: &'a [u8],
    pub(crate) edits: HeadEdits<'a>,
    pub(crate) persistence: Persistence,
    /// The body goes in chunks.
    pub(crate) is_chunked: bool,
}

/// Writes a response's head.
pub(crate) fn encode_response(queue: &mut Vec<u8>, response: OutgoingResponse<'_>) {
    let OutgoingResponse { head, bytes, edits, persistence, is_chunked } = response;
    queue.reserve(bytes.len() + 64);
    write_status_line(queue, head.status, &bytes[head.reason]);
    // A response without content may still say how long the content would have been (RFC 9110 sections 8.6 and
    // 15.4.5), but never one of 1xx or 204.
    let says_length = head.body == BodyLength::None && head.status >= 200 && head.status != 204;
    for field in &head.fields {
        let is_ours = match field.known {
            Known::ContentLength => !says_length,
            Known::Trailer => !is_chunked,
            _ => false,
        };
        if !is_ours {
            write_received(queue, field, bytes, edits);
        }
    }
    if persistence == Persistence::Upgrade {
        for field in head.fields.iter().filter(|field| field.known == Known::Upgrade) {
            write_field(queue, b"upgrade", &bytes[field.value]);
        }
    }
    if is_chunked {
        queue.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let BodyLength::Known(length) = head.body {
        write_length(queue, length);
    }
    write_persistence(queue, persistence);
    edits.write(queue);
    queue.extend_from_slice(b"\r\n");
}

/// Writes an interim response's head.
pub(crate) fn encode_interim(queue: &mut Vec<u8>, head: &ResponseHead, bytes: &[u8]) {
    write_status_line(queue, head.status, &bytes[head.reason]);
    for field in
        head.fields.iter().filter(|field| !field.is_hop_by_hop && field.known != Known::ContentLength)
    {
        write_field(queue, &bytes[field.name], &bytes[field.value]);
    }
    queue.extend_from_slice(b"\r\n");
}

/// Writes a reply, with its body unless it answers HEAD.
pub(crate) fn encode_reply(
    queue: &mut Vec<u8>,
    reply: &Reply,
    edits: Option<&HeaderEdits>,
    date: impl Display,
    persistence: Persistence,
    is_answer_to_head: bool,
) {
    let status = reply.status();
    write_status_line(queue, status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    // Infallible: writing to a Vec.
    let _ = write!(queue, "date: {date}\r\n");
    for (name, value) in reply.fields().filter(|(name, _)| edits.is_none_or(|edits| !edits.drops(name))) {
        write_field(queue, name, value);
    }
    if let Some(edits) = edits {
        edits.fields().for_each(|(name, value)| write_field(queue, name, value));
    }
    let has_content = !status.is_informational() && status != 204 && status != 304;
    if has_content {
        write_length(queue, reply.payload().len() as u64);
    }
    write_persistence(queue, persistence);
    queue.extend_from_slice(b"\r\n");
    if has_content && !is_answer_to_head {
        queue.extend_from_slice(reply.payload());
    }
}

fn write_status_line(queue: &mut Vec<u8>, status: u16, reason: &[u8]) {
    queue.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(queue, status);
    queue.push(b' ');
    queue.extend_from_slice(reason);
    queue.extend_from_slice(b"\r\n");
}

fn write_received(queue: &mut Vec<u8>, field: &Field, bytes: &[u8], edits: HeadEdits<'_>) {
    let name = &bytes[field.name];
    if !field.is_hop_by_hop && !edits.drops(name) {
        write_field(queue, name, &bytes[field.value]);
    }
}

fn write_field(queue: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    queue.extend_from_slice(name);
    queue.extend_from_slice(b": ");
    queue.extend_from_slice(value);
    queue.extend_from_slice(b"\r\n");
}

fn write_framing(queue: &mut Vec<u8>, body: BodyLength) {
    match body {
        BodyLength::None => {}
        BodyLength::Known(length) => write_length(queue, length),
        BodyLength::Unknown => queue.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

fn write_length(queue: &mut Vec<u8>, length: u64) {
    queue.extend_from_slice(b"content-length: ");
    write_decimal(queue, length);
    queue.extend_from_slice(b"\r\n");
}

/// By itoa: `write!` costs some 400 instructions a number.
fn write_decimal(queue: &mut Vec<u8>, number: impl itoa::Integer) {
    queue.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_persistence(queue: &mut Vec<u8>, persistence: Persistence) {
    queue.extend_from_slice(match persistence {
        Persistence::Open => b"",
        Persistence::OpenForHttp10 => b"connection: keep-alive\r\n",
        Persistence::Close => b"connection: close\r\n",
        Persistence::Upgrade => b"connection: upgrade\r\n",
    });
}
