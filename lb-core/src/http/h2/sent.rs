//! A stream that we opened: the server's end of one exchange.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};

use super::body::{Body, io_error};
use super::head::{append, append_field, fields_of_lines, read_response};
use super::outbound::Outbound;
use super::sessions::Slot;
use crate::http::body::{Payload, Sink, Source, SourceError};
use crate::http::ends::{HeadError, HeadLimits, ParseError, ServerEnd};
use crate::http::head::{Asked, BodyLength, ResponseHead};
use crate::http::outgoing::OutgoingRequest;
use crate::net::Resources;

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
    /// The server has told that it did nothing with the request.
    is_refused: bool,
}

#[derive(Debug)]
struct Queued {
    /// Absent if HTTP/2 can't carry it.
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
            is_refused: false,
        }
    }

    /// Gives the memory back; a stream that is not at its end is reset.
    pub(crate) fn end(self, resources: &Resources) {
        resources.put_queue(self.head);
    }

    /// No further stream is opened on this connection.
    pub(crate) fn retire(&self) {
        self.slot.retire();
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.queued.is_none() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.slot.requests.poll_ready(cx)) {
            // Nothing of it has left.
            return Poll::Ready(Err(io_error(error)));
        }
        let Some(Queued { request, has_body }) = self.queued.take() else { return Poll::Ready(Ok(())) };
        let request = request.ok_or(io::ErrorKind::InvalidInput)?;
        let sent = self.slot.requests.send_request(request, !has_body);
        let (response, stream) = sent.map_err(|error| self.failed(error))?;
        self.response = Some(response);
        self.outbound = Some(Outbound::new(stream, !has_body));
        Poll::Ready(Ok(()))
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
        let Some(response) = &mut self.response else { return Poll::Pending };
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
        let has_body = !matches!(request.head.body, BodyLength::None | BodyLength::Known(0));
        self.queued = Some(Queued { request: head_of(&request, self.slot.scheme()), has_body });
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
        ready!(self.poll_open(cx))?;
        let polled = ready!(self.poll_head(cx)).map_err(|error| self.failed(error));
        self.head.clear();
        let read = match polled? {
            Head::Interim(response) => {
                let (parts, ()) = response.into_parts();
                read_response(&parts, true, limits, Asked::Head, &mut self.head, head)
            }
            Head::Final(response) => {
                let (parts, body) = response.into_parts();
                let body = self.body.insert(Body::new(body));
                let is_whole = body.is_ended();
                read_response(&parts, is_whole, limits, asked, &mut self.head, head)
            }
        };
        // There is nothing to change to (RFC 9113 section 8.6).
        Poll::Ready(if head.status == 101 { Err(ParseError::Status.into()) } else { read })
    }

    fn head_bytes(&self) -> &[u8] {
        &self.head
    }

    fn has_more(&self) -> bool {
        false
    }

    fn is_body_ended(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_ended)
    }
}

impl Source for SentStream {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        match &mut self.body {
            Some(body) => body.poll_payload(cx),
            None => Poll::Ready(Ok(Payload::End)),
        }
    }

    fn payload(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], Body::payload)
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

fn head_of(outgoing: &OutgoingRequest<'_>, scheme: &str) -> Option<Request<()>> {
    let head = outgoing.head;
    let mut fields = HeaderMap::with_capacity(head.fields.len() + 6);
    outgoing.received().for_each(|field| append_field(&mut fields, field, outgoing.bytes));
    if let Some(forwarded) = outgoing.forwarded {
        let mut lines = Vec::with_capacity(128);
        forwarded.write(&mut lines, &head.fields, outgoing.bytes);
        fields.extend(fields_of_lines(&lines));
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
    let target = PathAndQuery::try_from(outgoing.target).ok()?;
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(&outgoing.bytes[head.method]).ok()?;
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    Some(request)
}
