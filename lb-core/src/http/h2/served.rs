//! A stream that a client opened: the client's end of one exchange.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::body::{Body, io_error};
use super::carrier::{AskedTunnel, Carrier};
use super::head::{append, append_field, read_request};
use super::origin::Origin;
use super::outbound::Outbound;
use super::pseudo::Pseudo;
use super::websocket;
use crate::http::body::{Behind, Payload, Sink, Source, SourceError};
use crate::http::ends::{ClientEnd, HeadError, HeadLimits, ParseError};
use crate::http::head::{BodyLength, RequestHead, ResponseHead, values};
use crate::http::outgoing::{OutgoingReply, OutgoingResponse, Persistence, interim_fields};
use crate::net::{Buffer, Resources, Said, Stream};

/// One request of a client, and where its response goes.
#[derive(Debug)]
pub(super) struct ServedStream {
    origin: Arc<Origin>,
    /// Its fields, absent once they have been read.
    request: Option<HeaderMap>,
    /// By HTTP/2's own rules: the stream is reset (RFC 9113 section 8.1.1).
    is_malformed: bool,
    /// What is to be spoken in its tunnel is nothing we know.
    is_unknown: bool,
    head: Vec<u8>,
    body: Body,
    respond: SendResponse<Bytes>,
    /// It is to become a tunnel. Until then it has no body.
    asked: Option<AskedTunnel>,
    /// It has become one.
    is_tunnel: bool,
    /// Sent with the first of the body, so that one that never leaves can be replaced.
    queued: Option<Queued>,
    /// Present once a head was sent.
    outbound: Option<Outbound>,
    /// What is left of a reply's content.
    content: Bytes,
    was_reset: bool,
}

/// A response's head that waits for its body.
#[derive(Debug)]
struct Queued {
    response: Response<()>,
    has_body: bool,
}

impl ServedStream {
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        origin: Arc<Origin>,
        resources: &Resources,
    ) -> Self {
        let (request, body) = request.into_parts();
        let mut fields = request.headers;
        // An authority that has passed by that name was none.
        let pseudo = Pseudo::read(&fields).filter(|_| request.uri.authority().is_none());
        let is_malformed = pseudo.is_none();
        let asked = pseudo.filter(Pseudo::is_connect).map(|pseudo| match pseudo.protocol {
            Some(protocol) if protocol == websocket::PROTOCOL.as_bytes() => {
                AskedTunnel::WebSocket(websocket::key().into_bytes())
            }
            _ => AskedTunnel::Plain,
        });
        let is_unknown = pseudo.is_some_and(|pseudo| pseudo.protocol.is_some())
            && !matches!(asked, Some(AskedTunnel::WebSocket(_)));
        if matches!(asked, Some(AskedTunnel::WebSocket(_))) {
            fields.remove(header::SEC_WEBSOCKET_KEY);
        }
        Self {
            origin,
            request: Some(fields),
            is_malformed,
            is_unknown,
            head: resources.take_queue(),
            body: Body::replayable(body),
            respond,
            asked,
            is_tunnel: false,
            queued: None,
            outbound: None,
            content: Bytes::new(),
            was_reset: false,
        }
    }

    /// Its bytes as a stream, once it has become a tunnel.
    pub(super) fn into_tunnel(self, resources: &Resources) -> Option<(Stream, Buffer)> {
        resources.put_queue(self.head);
        let carrier = Carrier::new(self.body, self.outbound?, &self.asked?, None);
        Some((Stream::Carried(Box::new(carrier)), resources.take_buffer()))
    }

    /// Of the WebSocket that it is to become, which the server has to answer to.
    fn key(&self) -> Option<&[u8]> {
        self.asked.as_ref().and_then(AskedTunnel::key)
    }

    pub(super) fn number(&self) -> u32 {
        self.respond.stream_id().as_u32()
    }

    /// Ends the stream, by a reset where it has not ended yet. Whether the client had reset it before.
    pub(super) fn end(self, resources: &Resources) -> bool {
        resources.put_queue(self.head);
        self.was_reset
    }

    fn queue(&mut self, status: u16, fields: HeaderMap, has_body: bool) -> u64 {
        // Every status that can be parsed is one.
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let size = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        self.queued = Some(Queued { response, has_body });
        size as u64
    }

    fn send_head(&mut self) -> io::Result<()> {
        if let Some(Queued { response, has_body }) = self.queued.take() {
            let stream = self.respond.send_response(response, !has_body).map_err(io_error)?;
            self.outbound = Some(Outbound::new(stream, !has_body));
        }
        Ok(())
    }

    fn poll_write_content(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(outbound) = &mut self.outbound else { return Poll::Ready(Ok(())) };
        while !self.content.is_empty() {
            let sent = ready!(outbound.poll_send(cx, &self.content, true, &[]))?;
            self.content = self.content.slice(sent..);
        }
        Poll::Ready(Ok(()))
    }

    /// An error if the client has reset the stream or is gone.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.outbound {
            Some(outbound) => outbound.poll_flush(cx),
            None => Poll::Ready(match self.respond.poll_reset(cx) {
                Poll::Ready(reset) => Err(reset.map_or_else(io_error, |reason| io_error(reason.into()))),
                Poll::Pending => Ok(()),
            }),
        };
        self.was_reset |= matches!(flushed, Poll::Ready(Err(_)));
        flushed
    }
}

impl ClientEnd for ServedStream {
    fn poll_request(
        &mut self,
        _: &mut Context<'_>,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>> {
        let Some(fields) = self.request.take() else { return Poll::Ready(Err(HeadError::Closed)) };
        if self.is_malformed {
            return Poll::Ready(Err(ParseError::Malformed.into()));
        }
        if self.is_unknown {
            return Poll::Ready(Err(HeadError::UnknownProtocol));
        }
        let is_whole = ClientEnd::is_body_ended(self);
        let key = self.asked.as_ref().and_then(AskedTunnel::key);
        Poll::Ready(read_request(&fields, key, is_whole, limits, &mut self.head, head))
    }

    fn head_bytes(&self) -> &[u8] {
        &self.head
    }

    fn has_more(&self) -> bool {
        false
    }

    fn is_secure(&self) -> bool {
        self.origin.is_secure
    }

    fn client_subject(&self) -> Option<&str> {
        self.origin.subject.as_deref()
    }

    fn said(&self, _: Option<&Said>) -> Said {
        self.origin.said.clone()
    }

    fn scheme(&self, _: Option<&Said>) -> &'static str {
        self.origin.scheme
    }

    fn admits(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let Some(key) = self.key() else { return true };
        match head.status {
            101 => {
                let mut accepts =
                    values(&head.fields, bytes, header::SEC_WEBSOCKET_ACCEPT.as_str().as_bytes());
                accepts.next() == Some(websocket::accept(key).as_bytes()) && accepts.next().is_none()
            }
            // The client would take it for a tunnel.
            status => !(200..300).contains(&status),
        }
    }

    fn limit_body(&mut self, bytes: u64) {
        self.body.limit(bytes);
    }

    fn is_body_ended(&self) -> bool {
        self.asked.is_some() || self.body.is_ended()
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn rewind(&mut self, _: BodyLength) -> bool {
        self.body.rewind()
    }

    fn discard_body(&mut self) -> bool {
        ClientEnd::is_body_ended(self)
    }

    fn write_interim(&mut self, head: &ResponseHead, bytes: &[u8]) {
        let mut response = Response::new(());
        if let Ok(status) = StatusCode::from_u16(head.status) {
            *response.status_mut() = status;
            interim_fields(head).for_each(|field| append_field(response.headers_mut(), field, bytes));
            // A stream that can't take it any more shows so where the response goes.
            let _ = self.respond.send_informational(response);
        }
    }

    fn write_response(&mut self, response: OutgoingResponse<'_>) -> u64 {
        let mut fields = HeaderMap::with_capacity(response.head.fields.len() + 1);
        response.received().for_each(|field| append_field(&mut fields, field, response.bytes));
        if let Some(date) = response.date {
            append(&mut fields, b"date", date);
        }
        let has_body = match response.head.body {
            BodyLength::None => false,
            BodyLength::Known(length) => {
                fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                length > 0
            }
            BodyLength::Unknown => true,
        };
        response.edits.fields().for_each(|(name, value)| append(&mut fields, name, value));
        self.is_tunnel = matches!(response.persistence, Persistence::Upgrade | Persistence::Connect);
        if response.persistence == Persistence::Upgrade {
            fields.remove(header::SEC_WEBSOCKET_ACCEPT);
            return self.queue(200, fields, true);
        }
        self.queue(response.head.status, fields, has_body || self.is_tunnel)
    }

    fn write_reply(&mut self, outgoing: OutgoingReply<'_>) -> u64 {
        if self.is_malformed {
            self.respond.send_reset(Reason::PROTOCOL_ERROR);
            // It costs the client as little as a reset of its own.
            self.was_reset = true;
            return 0;
        }
        let mut fields = HeaderMap::new();
        if let Some(date) = outgoing.date() {
            append(&mut fields, b"date", date);
        }
        outgoing.fields().for_each(|(name, value)| append(&mut fields, name, value));
        if outgoing.has_content() {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(outgoing.reply.payload().len()));
        }
        self.content = Bytes::copy_from_slice(outgoing.content());
        let has_body = !self.content.is_empty();
        let content = self.content.len() as u64;
        self.queue(outgoing.reply.status().as_u16(), fields, has_body) + content
    }

    fn has_written(&self) -> bool {
        self.outbound.is_some()
    }

    fn break_off(&mut self) {
        self.queued = None;
        match &mut self.outbound {
            Some(outbound) => outbound.reset(Reason::INTERNAL_ERROR),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

impl Source for ServedStream {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        if self.asked.is_some() {
            return Poll::Ready(Ok(Payload::End));
        }
        let polled = self.body.poll_payload(cx);
        self.was_reset |= matches!(polled, Poll::Ready(Err(SourceError::Io(_))));
        self.is_malformed |= matches!(polled, Poll::Ready(Err(SourceError::Malformed)));
        polled
    }

    fn payload(&self) -> &[u8] {
        self.body.payload()
    }

    fn behind_payload(&mut self, cx: &mut Context<'_>) -> Behind {
        self.body.behind_payload(cx)
    }

    fn consume(&mut self, count: usize) {
        self.body.consume(count);
    }

    fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }
}

impl Sink for ServedStream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.send_head()?;
        if self.is_tunnel {
            // The message is at its end, the stream is not.
            return Poll::Ready(Ok(payload.len()));
        }
        let Some(outbound) = &mut self.outbound else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let sent = outbound.poll_send(cx, payload, is_last, trailers);
        self.was_reset |= matches!(sent, Poll::Ready(Err(_)));
        sent
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_malformed {
            return Poll::Ready(Ok(()));
        }
        self.send_head()?;
        ready!(self.poll_write_content(cx))?;
        self.poll_reset(cx)
    }
}
