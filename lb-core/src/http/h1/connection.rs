//! One HTTP/1 connection, to a client or to a server.

use std::io;
use std::task::{Context, Poll};

use super::incoming::{HeadError, HeadLimits, Incoming};
use super::outgoing::{Encoder, Outgoing};
use crate::http::body::{Payload, Sink, Source, SourceError};
use crate::http::head::{RequestHead, ResponseHead};
use crate::net::{Buffer, Resources, Secure, Stream};

/// A stream with the two halves that give its bytes their meaning.
///
/// It exists while messages are exchanged; between them only the stream is kept and the memory goes back to the
/// worker.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Connection {
    /// Wraps a stream at the start of a message.
    pub(crate) fn new(stream: Stream, resources: &Resources) -> Self {
        Self {
            stream,
            incoming: Incoming::new(resources.take_buffer()),
            outgoing: Outgoing::new(resources.take_queue()),
        }
    }

    /// Gives the memory back and returns the stream.
    pub(crate) fn into_stream(self, resources: &Resources) -> Stream {
        resources.put_buffer(self.incoming.into_buffer());
        resources.put_queue(self.outgoing.into_queue());
        self.stream
    }

    /// For a tunnel: the stream, and the buffer with what was read beyond the last head.
    pub(crate) fn into_tunnel(self, resources: &Resources) -> (Stream, Buffer) {
        resources.put_queue(self.outgoing.into_queue());
        let mut buffer = self.incoming.into_buffer();
        buffer.release();
        (self.stream, buffer)
    }

    pub(crate) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>> {
        self.incoming.poll_request(cx, &mut self.stream, limits, head)
    }

    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        is_answer_to_head: bool,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        self.incoming.poll_response(cx, &mut self.stream, limits, is_answer_to_head, head)
    }

    /// Where the next head is written; `encoder` frames the body behind it.
    pub(crate) fn start_message(&mut self, encoder: Encoder) -> &mut Vec<u8> {
        self.outgoing.start_message();
        self.outgoing.set_encoder(encoder);
        self.outgoing.queue()
    }

    /// Queues an interim head before the message to come.
    pub(crate) fn queue(&mut self) -> &mut Vec<u8> {
        self.outgoing.queue()
    }

    /// Takes back what is queued and not yet written.
    pub(crate) fn retract(&mut self) {
        self.outgoing.retract();
    }

    pub(crate) fn head_bytes(&self) -> &[u8] {
        self.incoming.head_bytes()
    }

    pub(crate) fn has_written(&self) -> bool {
        self.outgoing.has_written()
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.outgoing.is_flushed() && self.stream.is_flushed()
    }

    /// The TLS that protects it, if any does.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.stream.secure()
    }

    /// The scheme of what is asked for over it.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure().is_some() { "https" } else { "http" }
    }

    pub(crate) fn has_more(&self) -> bool {
        self.incoming.has_more()
    }

    pub(crate) fn is_body_ended(&self) -> bool {
        self.incoming.is_body_ended()
    }

    pub(crate) fn is_replayable(&self) -> bool {
        self.incoming.is_replayable()
    }

    pub(crate) fn rewind(&mut self, length: u64) {
        self.incoming.rewind(length);
    }

    pub(crate) fn limit_body(&mut self, bytes: u64) {
        self.incoming.limit_body(bytes);
    }

    /// Throws away the body where all of it has arrived; false if some is still to come.
    pub(crate) fn discard_body(&mut self) -> bool {
        if self.incoming.is_replayable() {
            self.incoming.consume(self.incoming.payload().len());
        }
        self.incoming.is_body_ended()
    }

    /// Makes the close a reset, so that the peer knows that the message is broken.
    pub(crate) fn reset_on_close(&mut self) {
        self.stream.reset_on_close();
    }
}

impl Source for Connection {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        self.incoming.poll_payload(cx, &mut self.stream)
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
        self.stream.splice_fd()?;
        let left = self.incoming.unread()?;
        Some((&mut self.stream, left))
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

    fn unframed(&mut self) -> Option<&mut Stream> {
        (self.outgoing.is_unframed() && self.stream.splice_fd().is_some()).then_some(&mut self.stream)
    }
}
