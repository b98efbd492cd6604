//! A stream that we opened: the server's end of one exchange.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, response};
use tokio_util::sync::ReusableBoxFuture;

use super::body::{Body, io_error};
use super::carrier::{AskedTunnel, Carrier};
use super::head::{append, append_field, fields_of_lines, read_response};
use super::outbound::Outbound;
use super::sessions::Slot;
use super::{stand_in, websocket};
use crate::http::body::{Behind, Payload, Sink, Source, SourceError};
use crate::http::ends::{HeadError, HeadLimits, ParseError, ServerEnd};
use crate::http::head::{Asked, BodyLength, ResponseHead, values};
use crate::http::outgoing::OutgoingRequest;
use crate::net::{Buffer, Resources, Stream};

/// One request to a server, and where its response comes from.
#[derive(Debug)]
pub(crate) struct SentStream {
    slot: Slot,
    /// The head, until the connection takes it.
    queued: Option<Queued>,
    outbound: Option<Outbound>,
    response: Option<ResponseFuture>,
    /// Interim responses may still come.
    has_interims: bool,
    head: Vec<u8>,
    body: Option<Body>,
    /// It is to become a tunnel. The request has no body.
    asked: Option<AskedTunnel>,
    /// It has become one.
    is_tunnel: bool,
    /// The response can have no content, whatever its fields say.
    is_bodiless: bool,
    /// Until the server's settings are known.
    greeting: Option<ReusableBoxFuture<'static, ()>>,
    is_greeted: bool,
    /// The server has told that it did nothing with the request.
    is_refused: bool,
}

#[derive(Debug)]
struct Queued {
    /// Absent if there can be none, which the parsers of clients' heads have ruled out.
    request: Option<Request<()>>,
    has_body: bool,
}

impl SentStream {
    pub(crate) fn new(slot: Slot, resources: &Resources) -> Self {
        Self {
            slot,
            queued: None,
            outbound: None,
            response: None,
            has_interims: true,
            head: resources.take_queue(),
            body: None,
            asked: None,
            is_tunnel: false,
            is_bodiless: false,
            greeting: None,
            is_greeted: false,
            is_refused: false,
        }
    }

    /// Gives the memory back; a stream that is not at its end is reset.
    pub(crate) fn end(self, resources: &Resources) {
        resources.put_queue(self.head);
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    /// Its bytes as a stream, once it has become a tunnel.
    pub(crate) fn into_tunnel(self, resources: &Resources) -> Option<(Stream, Buffer)> {
        resources.put_queue(self.head);
        let carrier = Carrier::new(self.body?, self.outbound?, &self.asked?, Some(self.slot));
        Some((Stream::Carried(Box::new(carrier)), resources.take_buffer()))
    }

    /// No further stream is opened on this connection.
    pub(crate) fn retire(&self) {
        self.slot.retire();
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.queued {
            None => return Poll::Ready(Ok(())),
            Some(Queued { request: None, .. }) => {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            }
            Some(_) => {}
        }
        if let Err(error) = ready!(self.slot.requests.poll_ready(cx)) {
            // Nothing of it has left.
            return Poll::Ready(Err(io_error(error)));
        }
        if matches!(self.asked, Some(AskedTunnel::WebSocket(_))) {
            ready!(self.poll_greeted(cx));
            if !self.slot.requests.is_extended_connect_protocol_enabled() {
                return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
            }
        }
        let Some(Queued { request, has_body }) = self.queued.take() else { return Poll::Ready(Ok(())) };
        let request = request.ok_or(io::ErrorKind::InvalidInput)?;
        if stand_in::is_in(&request) {
            self.slot.expect_stand_in();
        }
        let sent = self.slot.requests.send_request(request, !has_body);
        let (response, stream) = sent.map_err(|error| self.failed(error))?;
        self.response = Some(response);
        self.outbound = Some(Outbound::new(stream, !has_body));
        Poll::Ready(Ok(()))
    }

    /// Ready when the server's settings are known.
    fn poll_greeted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_greeted && !self.slot.requests.is_extended_connect_protocol_enabled() {
            let slot = &self.slot;
            ready!(self.greeting.get_or_insert_with(|| ReusableBoxFuture::new(slot.greeted())).poll(cx));
        }
        self.is_greeted = true;
        Poll::Ready(())
    }

    /// Remembers what the error says about the request (RFC 9113 section 8.7).
    fn failed(&mut self, error: h2::Error) -> io::Error {
        let is_refused_stream = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && (is_refused_stream || error.is_go_away()) {
            self.is_refused = true;
            self.slot.retire();
        }
        io_error(error)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, h2::Error>> {
        // It could not be sent.
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
        };
        if self.has_interims {
            match response.poll_informational(cx) {
                Poll::Ready(Some(interim)) => return Poll::Ready(interim.map(Head::Interim)),
                Poll::Ready(None) => self.has_interims = false,
                Poll::Pending => {}
            }
        }
        Pin::new(response).poll(cx).map_ok(Head::Final)
    }
}

/// A head that came.
enum Head {
    Interim(Response<()>),
    Final(Response<RecvStream>),
}

impl ServerEnd for SentStream {
    fn write_request(&mut self, request: OutgoingRequest<'_>) {
        self.asked = asked_tunnel(&request);
        let has_body =
            self.asked.is_some() || !matches!(request.head.body, BodyLength::None | BodyLength::Known(0));
        let head = head_of(&request, self.slot.scheme(), self.asked.as_ref());
        self.queued = Some(Queued { request: head, has_body });
    }

    fn has_written(&self) -> bool {
        self.outbound.is_some() && !self.is_refused
    }

    fn is_flushed(&self) -> bool {
        self.queued.is_none()
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        match ready!(self.poll_open(cx)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Poll::Ready(Err(HeadError::UnknownProtocol));
            }
            opened => opened?,
        }
        let polled = ready!(self.poll_head(cx)).map_err(|error| self.failed(error));
        self.head.clear();
        let read = match polled? {
            Head::Interim(response) => {
                let (parts, ()) = response.into_parts();
                read_response(&parts, true, limits, Asked::Head, &mut self.head, head)
            }
            Head::Final(response) => {
                let (mut parts, body) = response.into_parts();
                if parts.status == StatusCode::SWITCHING_PROTOCOLS {
                    // There is nothing to change to (RFC 9113 section 8.6).
                    return Poll::Ready(Err(ParseError::Status.into()));
                }
                if let Some(asked) = self.asked.as_ref().filter(|_| parts.status.is_success()) {
                    self.is_tunnel = true;
                    if let AskedTunnel::WebSocket(key) = asked {
                        switch(&mut parts, key);
                    }
                }
                let body = self.body.insert(Body::new(body));
                let is_whole = self.is_tunnel || body.is_ended();
                let read = read_response(&parts, is_whole, limits, asked, &mut self.head, head);
                self.is_bodiless = head.body == BodyLength::None && !self.is_tunnel;
                read
            }
        };
        Poll::Ready(read)
    }

    fn head_bytes(&self) -> &[u8] {
        &self.head
    }

    fn has_more(&self) -> bool {
        false
    }

    fn is_body_ended(&self) -> bool {
        self.is_tunnel || self.body.as_ref().is_some_and(Body::is_ended)
    }
}

impl Source for SentStream {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        match &mut self.body {
            Some(body) if self.is_bodiless => body.poll_end(cx).map(|()| Ok(Payload::End)),
            Some(body) if !self.is_tunnel => body.poll_payload(cx),
            _ => Poll::Ready(Ok(Payload::End)),
        }
    }

    fn payload(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], Body::payload)
    }

    fn behind_payload(&mut self, cx: &mut Context<'_>) -> Behind {
        self.body.as_mut().map_or(Behind::Nothing, |body| body.behind_payload(cx))
    }

    fn consume(&mut self, count: usize) {
        if let Some(body) = &mut self.body {
            body.consume(count);
        }
    }

    fn trailers(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], Body::trailers)
    }
}

impl Sink for SentStream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?;
        if self.asked.is_some() && payload.is_empty() {
            // The message is at its end, the stream is not.
            return Poll::Ready(Ok(0));
        }
        match &mut self.outbound {
            Some(outbound) => outbound.poll_send(cx, payload, is_last, trailers),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        self.outbound.as_mut().map_or(Poll::Ready(Ok(())), |outbound| outbound.poll_flush(cx))
    }
}

/// The tunnel that a request asks for.
fn asked_tunnel(outgoing: &OutgoingRequest<'_>) -> Option<AskedTunnel> {
    let OutgoingRequest { head, bytes, .. } = *outgoing;
    if head.asked == Asked::Connect {
        return Some(AskedTunnel::Plain);
    }
    let field = |name: &'static [u8]| values(&head.fields, bytes, name).next();
    let is_asked = head.is_upgrade
        && field(b"upgrade").is_some_and(|value| value.eq_ignore_ascii_case(websocket::PROTOCOL.as_bytes()));
    field(b"sec-websocket-key").filter(|_| is_asked).map(|key| AskedTunnel::WebSocket(key.to_vec()))
}

/// The answer as HTTP/1 has it.
fn switch(parts: &mut response::Parts, key: &[u8]) {
    parts.status = StatusCode::SWITCHING_PROTOCOLS;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(header::UPGRADE, HeaderValue::from_static(websocket::PROTOCOL));
    if let Ok(accept) = HeaderValue::try_from(websocket::accept(key)) {
        parts.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
}

fn head_of(
    outgoing: &OutgoingRequest<'_>,
    scheme: &str,
    tunnel: Option<&AskedTunnel>,
) -> Option<Request<()>> {
    let head = outgoing.head;
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 6);
    outgoing.received().for_each(|field| append_field(&mut fields, field, outgoing.bytes));
    let mut lines = Vec::with_capacity(256);
    outgoing.write_forwarded(&mut lines);
    fields.extend(fields_of_lines(&lines));
    if let Some((version, name)) = outgoing.via() {
        append(&mut fields, b"via", format!("{version} {name}").as_bytes());
    }
    if let Some(name) = outgoing.circle_mark() {
        append(&mut fields, b"cdn-loop", name.as_bytes());
    }
    if let Some(left) = outgoing.max_forwards() {
        fields.insert(header::MAX_FORWARDS, HeaderValue::from(left));
    }
    if head.accepts_trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let BodyLength::Known(length) = head.body {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    outgoing.edits.fields().for_each(|(name, value)| append(&mut fields, name, value));
    let edited = fields.remove(header::HOST);
    let authority = edited.as_ref().map(HeaderValue::as_bytes).or(outgoing.host())?;
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(&outgoing.bytes[head.method]).ok()?;
    // A plain CONNECT has nothing but where it is to lead.
    let (authority, path) = match tunnel {
        Some(AskedTunnel::Plain) => (outgoing.target, None),
        _ => (authority, Some(outgoing.target)),
    };
    let path_and_scheme = path.map(|path| (path, scheme));
    if let Some(AskedTunnel::WebSocket(_)) = tunnel {
        // RFC 8441 section 5.
        fields.remove(header::SEC_WEBSOCKET_KEY);
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static(websocket::PROTOCOL));
    }
    match uri(authority, path_and_scheme) {
        Some(uri) => {
            *request.uri_mut() = uri;
            *request.headers_mut() = fields;
        }
        None => stand_in::fill(&mut request, fields, authority, path_and_scheme)?,
    }
    Some(request)
}

/// None if the `http` crate has no such.
fn uri(authority: &[u8], path_and_scheme: Option<(&[u8], &str)>) -> Option<Uri> {
    let Some((path, scheme)) = path_and_scheme else { return Uri::try_from(authority).ok() };
    let path = PathAndQuery::try_from(path).ok()?;
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}
