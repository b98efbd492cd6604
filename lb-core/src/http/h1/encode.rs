//! Heads to bytes.
//!
//! What is written is only what was parsed, in canonical form: `name: value CRLF`, framing fields from the decision
//! that was made about them, hop-by-hop fields of our own.

use super::outgoing::Encoder;
use crate::http::head::{BodyLength, Field, Known, RequestHead, ResponseHead, Version};
use crate::http::outgoing::{OutgoingReply, OutgoingRequest, OutgoingResponse, Persistence, interim_fields};

/// How a request's body goes to a server.
pub(crate) fn request_encoder(head: &RequestHead) -> Encoder {
    match head.body {
        BodyLength::None | BodyLength::Known(_) => Encoder::Plain,
        BodyLength::Unknown => Encoder::Chunked { left: 0 },
    }
}

/// Writes a request's head.
pub(crate) fn encode_request(queue: &mut Vec<u8>, request: &OutgoingRequest<'_>) {
    let OutgoingRequest { head, bytes, target, .. } = *request;
    queue.reserve(bytes.len() + 256);
    queue.extend_from_slice(&bytes[head.method]);
    queue.push(b' ');
    queue.extend_from_slice(target);
    queue.extend_from_slice(b" HTTP/1.1\r\n");
    // First, as RFC 9110 section 7.2 asks.
    if let Some(host) = request.host() {
        write_field(queue, b"host", host);
    }
    if let Some(left) = request.max_forwards() {
        queue.extend_from_slice(b"max-forwards: ");
        write_decimal(queue, left);
        queue.extend_from_slice(b"\r\n");
    }
    write_received(queue, bytes, request.received());
    request.write_forwarded(queue);
    if let Some((version, name)) = request.via() {
        for part in ["via: ", version, " ", name, "\r\n"] {
            queue.extend_from_slice(part.as_bytes());
        }
    }
    if let Some(name) = request.circle_mark() {
        write_field(queue, b"cdn-loop", name.as_bytes());
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
    request.edits.fields().for_each(|(name, value)| write_field(queue, name, value));
    queue.extend_from_slice(b"\r\n");
}

/// How a response's body goes to a client.
pub(crate) fn response_encoder(response: &OutgoingResponse<'_>) -> Encoder {
    if response.is_delimited() { Encoder::Chunked { left: 0 } } else { Encoder::Plain }
}

/// Writes a response's head.
pub(crate) fn encode_response(queue: &mut Vec<u8>, response: &OutgoingResponse<'_>) {
    let OutgoingResponse { head, bytes, request, persistence, .. } = *response;
    queue.reserve(bytes.len() + 64);
    write_status_line(queue, head.status, &bytes[head.reason]);
    write_received(queue, bytes, response.received());
    if let Some(date) = response.date {
        write_field(queue, b"date", date);
    }
    let asks_upgrade = response.asks_upgrade();
    if persistence == Persistence::Upgrade || asks_upgrade {
        for field in head.fields.iter().filter(|field| field.known == Known::Upgrade) {
            write_field(queue, b"upgrade", &bytes[field.value]);
        }
    }
    if response.is_delimited() {
        queue.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let BodyLength::Known(length) = head.body {
        write_length(queue, length);
    }
    write_persistence(queue, persistence, request, asks_upgrade);
    response.edits.fields().for_each(|(name, value)| write_field(queue, name, value));
    queue.extend_from_slice(b"\r\n");
}

/// Writes an interim response's head.
pub(crate) fn encode_interim(queue: &mut Vec<u8>, head: &ResponseHead, bytes: &[u8]) {
    write_status_line(queue, head.status, &bytes[head.reason]);
    write_received(queue, bytes, interim_fields(head));
    queue.extend_from_slice(b"\r\n");
}

/// Writes a reply, with its body unless it answers HEAD.
pub(crate) fn encode_reply(queue: &mut Vec<u8>, outgoing: &OutgoingReply<'_>) {
    let status = outgoing.reply.status();
    write_status_line(queue, status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    if let Some(date) = outgoing.date() {
        write_field(queue, b"date", date);
    }
    outgoing.fields().for_each(|(name, value)| write_field(queue, name, value));
    if outgoing.has_content() {
        write_length(queue, outgoing.reply.payload().len() as u64);
    }
    write_persistence(queue, outgoing.persistence, outgoing.request, false);
    queue.extend_from_slice(b"\r\n");
    queue.extend_from_slice(outgoing.content());
}

fn write_status_line(queue: &mut Vec<u8>, status: u16, reason: &[u8]) {
    queue.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(queue, status);
    queue.push(b' ');
    queue.extend_from_slice(reason);
    queue.extend_from_slice(b"\r\n");
}

/// Lines that stand together as they are to be written go in one piece.
fn write_received<'a>(queue: &mut Vec<u8>, bytes: &[u8], fields: impl Iterator<Item = &'a Field>) {
    let mut lines = 0..0;
    fields.for_each(|field| match field.line(bytes) {
        Some(line) if line.start == lines.end => lines.end = line.end,
        line => {
            queue.extend_from_slice(&bytes[lines.clone()]);
            if line.is_none() {
                write_field(queue, &bytes[field.name], &bytes[field.value]);
            }
            lines = line.unwrap_or_default();
        }
    });
    queue.extend_from_slice(&bytes[lines]);
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

fn write_persistence(
    queue: &mut Vec<u8>,
    persistence: Persistence,
    request: &RequestHead,
    asks_upgrade: bool,
) {
    queue.extend_from_slice(match (persistence, asks_upgrade) {
        // HTTP/1.1 assumes it, HTTP/1.0 has to be told.
        (Persistence::Open, _) if request.version == Version::Http10 => b"connection: keep-alive\r\n",
        (Persistence::Upgrade, _) | (Persistence::Open, true) => b"connection: upgrade\r\n",
        (Persistence::Open | Persistence::Connect, _) => b"",
        (Persistence::Close, false) => b"connection: close\r\n",
        (Persistence::Close, true) => b"connection: close, upgrade\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse_request;

    #[test]
    fn fields_go_on_in_one_form_however_they_came() {
        let received =
            b"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nb: \r\nC:2\r\nD:  3\r\nE: 4 \t\r\nF: 5\r\nG: 6\r\n\r\n";
        let mut head = RequestHead::default();
        assert!(matches!(parse_request(received, 16, &mut head), Ok(Some(_))));
        let sent = |names: &[&[u8]]| {
            let mut queue = Vec::new();
            let fields = head.fields.iter().filter(|field| names.contains(&&received[field.name]));
            write_received(&mut queue, received, fields);
            String::from_utf8(queue).unwrap()
        };
        assert_eq!(
            sent(&[b"A", b"b", b"C", b"D", b"E", b"F", b"G"]),
            "A: 1\r\nb: \r\nC: 2\r\nD: 3\r\nE: 4\r\nF: 5\r\nG: 6\r\n"
        );
        assert_eq!(sent(&[b"A", b"C", b"F"]), "A: 1\r\nC: 2\r\nF: 5\r\n");
        assert_eq!(sent(&[b"Host", b"E"]), "Host: a\r\nE: 4\r\n");
        assert_eq!(sent(&[]), "");
    }
}
