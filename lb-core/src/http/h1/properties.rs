//! What holds for any bytes that the parsers of this room are given (see [`crate::fuzz`]).

use super::chunked::{BadChunk, Chunked};
use super::encode::{encode_request, encode_response};
use super::framing::Framing;
use super::parse;
use super::reference::{self, Body};
use crate::http::edits::{HeaderEdits, MadeValues};
use crate::http::filter::Edits;
use crate::http::head::{Asked, BodyLength, Known, RequestHead, ResponseHead, Target, TargetForm};
use crate::http::outgoing::{HeadEdits, OutgoingRequest, OutgoingResponse, Persistence};

const MAX_FIELDS: usize = 128;

/// A head that is accepted is one to a strict reader, too, with the same length and framing; no part of it is; and
/// what is sent on in its place is canonical: reading and writing it again changes nothing.
pub(crate) fn request_head(mut bytes: &[u8]) {
    // Skipped where a connection is read.
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    let mut head = RequestHead::default();
    let Ok(Some(length)) = parse::request(bytes, MAX_FIELDS, &mut head) else { return };
    let strict = reference::head(bytes).expect("a strict reader reads it");
    assert_eq!(strict.length, length);
    let body = match head.body {
        BodyLength::None => Body::Length(0),
        BodyLength::Known(length) => Body::Length(length),
        BodyLength::Unknown => Body::Chunked,
    };
    assert_eq!(strict.request_body(), Some(body));
    let mut of_part = RequestHead::default();
    for cut in (0..length).rev().take(64).chain((0..length).step_by(61)) {
        let parsed = parse::request(&bytes[..cut], MAX_FIELDS, &mut of_part);
        assert!(matches!(parsed, Ok(None)), "{cut} of {length}: {parsed:?}");
    }
    let Some(sent) = send_request(&head, bytes) else { return };
    let sent = &sent[..];
    check_hop_by_hop(sent);
    let mut again = RequestHead::default();
    let read = parse::request(sent, MAX_FIELDS + 8, &mut again);
    assert!(
        matches!(read, Ok(Some(all)) if all == sent.len()),
        "{read:?}: {:?}",
        String::from_utf8_lossy(sent)
    );
    assert_eq!(again.body, head.body);
    assert_eq!(sent[again.method], bytes[head.method]);
    if !bytes[head.authority].is_empty() {
        assert_eq!(sent[again.authority], bytes[head.authority]);
    }
    // Max-Forwards counts down.
    if head.field(Known::MaxForwards).is_none() {
        assert_eq!(send_request(&again, sent).as_deref(), Some(sent), "it is not canonical");
    }
}

fn send_request(head: &RequestHead, bytes: &[u8]) -> Option<Vec<u8>> {
    let Target { form, path, path_and_query, .. } = head.target;
    let is_bare = bytes[path].is_empty() && form != TargetForm::Authority;
    let mut target = if is_bare { b"/".to_vec() } else { Vec::new() };
    target.extend_from_slice(&bytes[path_and_query]);
    let mut sent = Vec::new();
    let (route, made, filters) = (HeaderEdits::new(), MadeValues::default(), Edits::default());
    let edits = HeadEdits { route: route.with(&made), filters: &filters };
    let request = OutgoingRequest {
        head,
        bytes,
        target: &target,
        default_host: "server",
        edits,
        forwarded: None,
        real_ip: None,
        via: None,
    };
    encode_request(&mut sent, &request);
    Some(sent)
}

/// What belongs to the client's connection is not sent on.
fn check_hop_by_hop(sent: &[u8]) {
    let strict = reference::head(sent).expect("a strict reader reads what is sent");
    assert_eq!(strict.length, sent.len());
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        assert!(strict.values(name).is_empty(), "{name} is sent on");
    }
    for name in ["host", "content-length", "transfer-encoding", "connection", "te"] {
        assert!(strict.values(name).len() <= 1, "{name} is sent twice");
    }
    let connection = strict.values("connection").concat();
    assert!(
        [&b""[..], b"upgrade", b"te", b"upgrade, te", b"close", b"close, upgrade"].contains(&&connection[..]),
        "options of another connection are sent on"
    );
}

/// As for requests.
pub(crate) fn response_head(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let (asked, method) = match first & 3 {
        1 => (Asked::Head, &b"HEAD"[..]),
        2 => (Asked::Connect, &b"CONNECT"[..]),
        _ => (Asked::Other, &b"GET"[..]),
    };
    let mut head = ResponseHead::default();
    let parsed = parse::response(bytes, MAX_FIELDS, asked, &mut head);
    let Ok(Some((length, framing))) = parsed else { return };
    let strict = reference::head(bytes).expect("a strict reader reads it");
    assert_eq!(strict.length, length);
    let body = match framing {
        Framing::None | Framing::Denied => Body::Length(0),
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked,
        Framing::UntilClose => Body::UntilClose,
    };
    assert_eq!(strict.response_body(method), Some((head.status, body)));
    let is_chunked = head.body == BodyLength::Unknown;
    let mut sent = Vec::new();
    let (route, made, filters) = (HeaderEdits::new(), MadeValues::default(), Edits::default());
    let edits = HeadEdits { route: route.with(&made), filters: &filters };
    let request = &RequestHead { asked, ..RequestHead::default() };
    let is_tunnel = head.status != 101 && request.is_tunnel(head.status);
    let persistence = if is_tunnel { Persistence::Connect } else { Persistence::Close };
    encode_response(
        &mut sent,
        &OutgoingResponse { head: &head, bytes, edits, date: None, request, persistence },
    );
    check_hop_by_hop(&sent);
    let strict = reference::head(&sent).expect("checked above");
    let framed = strict.response_body(method).expect("a strict reader frames what is sent");
    assert!(!is_tunnel || strict.values("content-length").is_empty(), "a tunnel has no length");
    let expected = if is_chunked { Body::Chunked } else { body };
    assert_eq!(framed, (head.status, expected), "the client reads another framing");
}

/// The decoder comes to the same however the body is cut into reads, and to what a strict reader comes to.
pub(crate) fn chunked_body(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let whole = decode(bytes, bytes.len().max(1));
    let cut = decode(bytes, usize::from(*first) % 17 + 1);
    assert_eq!(whole, cut, "it depends on the reads");
    let Ok((payload, consumed, true)) = whole else { return };
    let strict = reference::body(Body::Chunked, bytes);
    assert_eq!(strict, Some((payload, consumed, true)));
}

/// The payload, how many bytes were its, and whether it has ended.
fn decode(bytes: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), BadChunk> {
    let mut decoder = Chunked::default();
    let (mut payload, mut consumed) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(&mut piece)?;
        payload.extend_from_slice(&piece[decoded.skip..decoded.skip + decoded.payload]);
        consumed += decoded.consumed;
        if decoded.is_ended {
            return Ok((payload, consumed, true));
        }
        assert_eq!(decoded.consumed, piece.len(), "it stopped before the end");
    }
    Ok((payload, consumed, false))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const REQUEST: [&str; 24] = [
        "GET /a?b HTTP/1.1\r\n",
        "POST http://a/x HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: a\r\n",
        "Host: b\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 05\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Connection: keep-alive, x-a, host\r\n",
        "Connection: upgrade, te\r\n",
        "Upgrade: websocket\r\n",
        "TE: trailers, gzip\r\n",
        "Trailer: x\r\n",
        "Max-Forwards: 2\r\n",
        "X-A: 1\r\n",
        "x:\t y \t\r\n",
        " folded\r\n",
        "x: a\rb\r\n",
        "x : y\r\n",
        "\n",
        "\r\n",
        "\r\n\r\n",
    ];
    const RESPONSE: [&str; 14] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 404\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 101 Switching\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close, x-a\r\n",
        "X-A: 1\r\n",
        "Upgrade: x\r\n",
        "Trailer: x\r\n",
        "Keep-Alive: 5\r\n",
        "\r\n",
        "\n",
    ];
    const CHUNKS: [&str; 12] = [
        "5",
        "a",
        "0",
        "\r\n",
        "\n",
        ";x=y",
        "hello",
        "0123456789",
        "x: 1\r\n",
        "0\r\n\r\n",
        "5\r\nhello\r\n",
        "\r",
    ];

    fn joined(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(select(pieces), 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn behind(first: u8, bytes: &[u8]) -> Vec<u8> {
        [&[first], bytes].concat()
    }

    proptest! {
        #[test]
        fn request_heads(head in joined(&REQUEST)) {
            request_head(&head);
            request_head(&[b"GET / HTTP/1.1\r\nHost: a\r\n", &head[..], b"\r\n"].concat());
        }

        #[test]
        fn response_heads(head in joined(&RESPONSE), first: u8) {
            response_head(&behind(first, &head));
            response_head(&behind(first, &[b"HTTP/1.1 200 OK\r\n", &head[..], b"\r\n"].concat()));
        }

        #[test]
        fn chunked_bodies(body in joined(&CHUNKS), first: u8) {
            chunked_body(&behind(first, &body));
        }
    }
}
