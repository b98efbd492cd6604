//! One HTTP/1 connection, to a client or to a server.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::encode::{
    encode_interim, encode_reply, encode_request, encode_response, request_encoder, response_encoder,
};
use super::incoming::Incoming;
use super::outgoing::{Encoder, Outgoing};
use crate::http::body::{Behind, Payload, Pressed, Sink, Source, SourceError};
use crate::http::ends::{ClientEnd, HeadError, HeadLimits, ServerEnd};
use crate::http::head::{Asked, BodyLength, RequestHead, ResponseHead};
use crate::http::outgoing::{OutgoingReply, OutgoingRequest, OutgoingResponse, Persistence};
use crate::net::{Buffer, Resources, Said, Secure, Space, Stream};

/// A stream with the two halves that give its bytes their meaning.
///
/// It exists while messages are exchanged; between them only the stream is kept and the memory goes back to the
/// worker.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Nothing but the connection's end tells where the body that goes out ends.
    ends_by_close: bool,
}

impl Connection {
    /// Wraps a stream at the start of a message.
    pub(crate) fn new(stream: Stream, resources: &Resources) -> Self {
        let Space { buffer, queue } = resources.take_space();
        let (incoming, outgoing) = (Incoming::new(buffer), Outgoing::new(queue));
        Self { stream, incoming, outgoing, ends_by_close: false }
    }

    /// Gives the memory back and returns the stream.
    pub(crate) fn into_stream(self, resources: &Resources) -> Stream {
        let (buffer, queue) = (self.incoming.into_buffer(), self.outgoing.into_queue());
        resources.put_space(Space { buffer, queue });
        self.stream
    }

    /// For another protocol: the stream, and what was read of it.
    pub(crate) fn into_read(self, resources: &Resources) -> (Stream, Bytes) {
        let read = Bytes::copy_from_slice(self.incoming.unparsed());
        (self.into_stream(resources), read)
    }

    /// Whether the peer's first bytes are `preface`; ready as soon as that is decided.
    pub(crate) fn poll_begins_with(&mut self, cx: &mut Context<'_>, preface: &[u8]) -> Poll<bool> {
        self.incoming.poll_begins_with(cx, &mut self.stream, preface)
    }

    /// For a tunnel: the stream, and the buffer with what was read beyond the last head.
    pub(crate) fn into_tunnel(self, resources: &Resources) -> (Stream, Buffer) {
        resources.put_queue(self.outgoing.into_queue());
        let mut buffer = self.incoming.into_buffer();
        buffer.release();
        (self.stream, buffer)
    }

    /// Where the next head is written; `encoder` frames the body behind it.
    fn start_message(&mut self, encoder: Encoder) -> &mut Vec<u8> {
        self.outgoing.start_message();
        self.outgoing.set_encoder(encoder);
        self.outgoing.queue()
    }
}

impl ClientEnd for Connection {
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>> {
        self.incoming.poll_request(cx, &mut self.stream, limits, head)
    }

    fn head_bytes(&self) -> &[u8] {
        self.incoming.head_bytes()
    }

    fn has_more(&self) -> bool {
        self.incoming.has_more()
    }

    fn is_secure(&self) -> bool {
        self.stream.secure().is_some()
    }

    fn client_subject(&self) -> Option<&str> {
        self.stream.secure().and_then(Secure::subject)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx)
    }

    fn is_watched(&self) -> bool {
        self.stream.is_registered()
    }

    fn watch(&mut self) {
        // Where it fails, the response finds out.
        let _ = self.stream.watch();
    }

    fn said(&self, front: Option<&Said>) -> Said {
        Said::of(&self.stream, front)
    }

    fn limit_body(&mut self, bytes: u64) {
        self.incoming.limit_body(bytes);
    }

    fn is_body_ended(&self) -> bool {
        self.incoming.is_body_ended()
    }

    fn is_replayable(&self) -> bool {
        self.incoming.is_replayable()
    }

    fn rewind(&mut self, body: BodyLength) -> bool {
        if let BodyLength::Known(length) = body {
            self.incoming.rewind(length);
        }
        true
    }

    fn discard_body(&mut self) -> bool {
        if self.incoming.is_replayable() {
            self.incoming.consume(self.incoming.payload().len());
        }
        self.incoming.is_body_ended()
    }

    fn write_interim(&mut self, head: &ResponseHead, bytes: &[u8]) {
        encode_interim(self.outgoing.queue(), head, bytes);
    }

    fn write_response(&mut self, response: OutgoingResponse<'_>) -> u64 {
        let encoder = response_encoder(&response);
        self.ends_by_close = response.head.body == BodyLength::Unknown && encoder == Encoder::Plain;
        let queue = self.start_message(encoder);
        let before = queue.len();
        encode_response(queue, &response);
        let written = queue.len() - before;
        if response.persistence == Persistence::Close {
            self.outgoing.close();
        }
        written as u64
    }

    fn write_reply(&mut self, reply: OutgoingReply<'_>) -> u64 {
        self.outgoing.retract();
        self.ends_by_close = false;
        let queue = self.start_message(Encoder::Plain);
        encode_reply(queue, &reply);
        let written = queue.len();
        if reply.persistence == Persistence::Close {
            self.outgoing.close();
            self.outgoing.finish();
        }
        written as u64
    }

    fn has_written(&self) -> bool {
        self.outgoing.has_written()
    }

    fn break_off(&mut self) {
        if self.ends_by_close {
            // Only a reset tells this client that the body is not whole.
            self.stream.reset_on_close();
        }
    }
}

impl ServerEnd for Connection {
    fn write_request(&mut self, request: OutgoingRequest<'_>) {
        let encoder = request_encoder(request.head);
        encode_request(self.start_message(encoder), &request);
    }

    fn has_written(&self) -> bool {
        self.outgoing.has_written()
    }

    fn is_flushed(&self) -> bool {
        self.outgoing.is_flushed() && self.stream.is_flushed()
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        self.incoming.poll_response(cx, &mut self.stream, limits, asked, head)
    }

    fn head_bytes(&self) -> &[u8] {
        self.incoming.head_bytes()
    }

    fn has_more(&self) -> bool {
        self.incoming.has_more()
    }

    fn is_body_ended(&self) -> bool {
        self.incoming.is_body_ended()
    }
}

impl Source for Connection {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        self.incoming.poll_payload(cx, &mut self.stream)
    }

    fn make_room(&mut self, resources: &Resources) {
        self.incoming.make_room(resources);
    }

    fn payload(&self) -> &[u8] {
        self.incoming.payload()
    }

    fn consume(&mut self, count: usize) {
        self.incoming.consume(count);
    }

    fn trailers(&self) -> &[u8] {
        self.incoming.trailers()
    }

    fn unread(&mut self) -> Option<(&mut Stream, u64)> {
        let left = self.incoming.unread().filter(|_| self.stream.can_splice())?;
        Some((&mut self.stream, left))
    }

    fn behind_payload(&mut self, cx: &mut Context<'_>) -> Behind {
        let behind = self.incoming.behind_payload();
        if behind > 0 && self.stream.can_splice() && self.stream.poll_read_ready(cx).is_ready() {
            Behind::Unread(behind)
        } else {
            Behind::Nothing
        }
    }

    fn was_read(&mut self, count: u64, is_ended: bool) -> Result<(), SourceError> {
        self.incoming.was_read(count, is_ended)
    }
}

impl Sink for Connection {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.poll_send(cx, &mut self.stream, payload, is_last, trailers)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(cx, &mut self.stream)
    }

    fn press(&mut self, payload: &[u8]) -> io::Result<Pressed> {
        self.outgoing.press(&mut self.stream, payload)
    }

    fn hold_back(&mut self, behind: Behind) -> bool {
        (self.stream.can_splice() || behind == Behind::Payload) && self.outgoing.hold_back(behind)
    }

    fn unframed(&mut self) -> Option<&mut Stream> {
        self.outgoing.is_unframed().then_some(&mut self.stream)
    }
}
