//! What a connection writes: a queued head, then its body in the framing that the head announced.

use std::io::{self, IoSlice, Write};
use std::task::{Context, Poll, ready};

use crate::http::body::{Behind, Pressed};
use crate::net::Stream;

/// The writing half of an HTTP/1 connection.
///
/// Heads and chunk framing are queued and leave with the payload behind them in one write; only small payload is
/// copied.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    queue: Vec<u8>,
    /// Invariant: `queue[..sent]` has been written.
    sent: usize,
    encoder: Encoder,
    /// Where the present message begins in the queue, behind interim heads.
    message_at: usize,
    has_written: bool,
    /// The next write is to wait for what comes behind it.
    holds_back: bool,
    /// Behind the message the connection ends, by close(2) or shutdown(2) in the same turn.
    closes: bool,
}

/// Payload up to this is copied behind the queued head; a kilobyte or two cost less to copy than a second buffer
/// costs the kernel.
const COPIED_PAYLOAD: usize = 2 * 1024;
const COPIED_QUEUE: usize = 16 * 1024;

/// How the payload is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// As it is: its length was announced, or the end of the connection ends it.
    #[default]
    Plain,
    /// In chunks; `left` bytes of the present one are still to come.
    Chunked { left: usize },
}

impl Outgoing {
    pub(crate) fn new(queue: Vec<u8>) -> Self {
        debug_assert!(queue.is_empty());
        Self { queue, ..Self::default() }
    }

    pub(crate) fn into_queue(self) -> Vec<u8> {
        self.queue
    }

    /// Where the next head is written to, to be sent with the payload behind it.
    pub(crate) fn queue(&mut self) -> &mut Vec<u8> {
        if self.sent == self.queue.len() {
            self.queue.clear();
            self.sent = 0;
        }
        &mut self.queue
    }

    /// Takes back a message of which nothing has been written.
    pub(crate) fn retract(&mut self) {
        if !self.has_written {
            self.queue.truncate(self.message_at.max(self.sent));
        }
    }

    pub(crate) fn set_encoder(&mut self, encoder: Encoder) {
        self.encoder = encoder;
    }

    /// Whether any byte has left since [`Outgoing::start_message`].
    pub(crate) fn has_written(&self) -> bool {
        self.has_written
    }

    pub(crate) fn start_message(&mut self) {
        self.message_at = self.queue().len();
        self.has_written = false;
        self.closes = false;
    }

    /// Says that the connection ends behind the message.
    pub(crate) fn close(&mut self) {
        self.closes = true;
    }

    /// The message is whole: what is written next is its last, and the connection's, if that ends. Then the last bytes
    /// and the end share a segment, which costs both sides a tenth less than two.
    pub(crate) fn finish(&mut self) {
        self.holds_back = self.closes;
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.sent == self.queue.len()
    }

    /// Whether the payload could be written past this half.
    pub(crate) fn is_unframed(&self) -> bool {
        self.encoder == Encoder::Plain && self.is_flushed()
    }

    /// As [`Sink::hold_back`](crate::http::body::Sink::hold_back).
    pub(crate) fn hold_back(&mut self, behind: Behind) -> bool {
        self.holds_back = match behind {
            Behind::Nothing => false,
            Behind::Payload => true,
            Behind::Unread(_) => self.encoder == Encoder::Plain,
        };
        self.holds_back
    }

    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_last {
            self.finish();
        }
        if self.is_worth_copying(payload) {
            self.queue_payload(payload, is_last, trailers);
            // What does not go now goes when the queue is flushed, at the latest behind the body's end.
            return match self.poll_flush(cx, stream) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => {
                    // It may be that nothing comes behind what is flushed later.
                    self.holds_back = false;
                    Poll::Ready(Ok(payload.len()))
                }
            };
        }
        match self.encoder {
            Encoder::Plain => self.poll_write(cx, stream, payload, &[]),
            Encoder::Chunked { left } => {
                if payload.is_empty() {
                    if is_last {
                        self.queue_last_chunk(trailers);
                    }
                    return Poll::Ready(Ok(0));
                }
                if left == 0 {
                    // Infallible: writing to a Vec.
                    let _ = write!(self.queue(), "{:x}\r\n", payload.len());
                    self.encoder = Encoder::Chunked { left: payload.len() };
                }
                self.poll_send_chunk(cx, stream, payload, is_last, trailers)
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            ready!(self.poll_write(cx, stream, &[], &[]))?;
        }
        stream.poll_flush(cx)
    }

    /// As [`Sink::press`](crate::http::body::Sink::press). One write, of the queue or else of `payload`.
    pub(crate) fn press(&mut self, stream: &mut Stream, payload: &[u8]) -> io::Result<Pressed> {
        self.holds_back = false;
        if !stream.is_flushed() {
            // What it will take of the payload then shows by itself.
            let has_written = stream.press(&[])? > 0;
            return Ok(Pressed { has_written, taken: 0 });
        }
        if !self.is_flushed() {
            let count = stream.press(&self.queue[self.sent..])?;
            self.sent += count;
            self.has_written |= count > 0;
            return Ok(Pressed { has_written: count > 0, taken: 0 });
        }
        let unframed = match self.encoder {
            Encoder::Plain => payload,
            Encoder::Chunked { left } => &payload[..payload.len().min(left)],
        };
        let taken = stream.press(unframed)?;
        if let Encoder::Chunked { left } = &mut self.encoder
            && taken > 0
        {
            *left -= taken;
            if *left == 0 {
                self.queue().extend_from_slice(b"\r\n");
            }
        }
        Ok(Pressed { has_written: taken > 0, taken })
    }

    /// Small payload joins the queue: one buffer for send(2) is cheaper than several for writev(2). Not when the
    /// peer doesn't read: the queue is bounded.
    fn is_worth_copying(&self, payload: &[u8]) -> bool {
        let is_at_chunk_start = matches!(self.encoder, Encoder::Plain | Encoder::Chunked { left: 0 });
        is_at_chunk_start && (1..=COPIED_PAYLOAD).contains(&payload.len()) && self.queue.len() <= COPIED_QUEUE
    }

    fn queue_payload(&mut self, payload: &[u8], is_last: bool, trailers: &[u8]) {
        let is_chunked = self.encoder != Encoder::Plain;
        let queue = self.queue();
        if is_chunked {
            // Infallible: writing to a Vec.
            let _ = write!(queue, "{:x}\r\n", payload.len());
        }
        queue.extend_from_slice(payload);
        if is_chunked {
            queue.extend_from_slice(b"\r\n");
            if is_last {
                self.queue_last_chunk(trailers);
            }
        }
    }

    fn poll_send_chunk(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Encoder::Chunked { left } = self.encoder else { return Poll::Ready(Ok(0)) };
        let payload = &payload[..payload.len().min(left)];
        // A chunk begun with less payload than there is now is not the last.
        let is_last = is_last && payload.len() == left;
        let ending: &[u8] = if is_last && trailers.is_empty() { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        let ending = if payload.len() == left { ending } else { &[] };
        let queued = self.queue.len() - self.sent;
        let written = ready!(self.poll_write_all_of(cx, stream, payload, ending))?;
        let Some(written) = written.checked_sub(queued) else { return Poll::Ready(Ok(0)) };
        let count = written.min(payload.len());
        self.encoder = Encoder::Chunked { left: left - count };
        if count == left {
            let queue = self.queue();
            queue.extend_from_slice(&ending[written - count..]);
            if is_last && !trailers.is_empty() {
                self.queue_last_chunk(trailers);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn queue_last_chunk(&mut self, trailers: &[u8]) {
        let queue = self.queue();
        queue.extend_from_slice(b"0\r\n");
        queue.extend_from_slice(trailers);
        queue.extend_from_slice(b"\r\n");
    }

    /// Writes the queue and as much of `payload` as goes; the count is the payload's.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        payload: &[u8],
        ending: &[u8],
    ) -> Poll<io::Result<usize>> {
        let queued = self.queue.len() - self.sent;
        let written = ready!(self.poll_write_all_of(cx, stream, payload, ending))?;
        Poll::Ready(Ok(written.saturating_sub(queued)))
    }

    /// One write of queue, payload and ending; the count is of all three.
    fn poll_write_all_of(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        payload: &[u8],
        ending: &[u8],
    ) -> Poll<io::Result<usize>> {
        let queued = &self.queue[self.sent..];
        let slices = [queued, payload, ending];
        let first = slices.iter().position(|slice| !slice.is_empty());
        let Some(first) = first else { return Poll::Ready(Ok(0)) };
        let last = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(first);
        let slices = slices.map(IoSlice::new);
        let slices = &slices[first..=last];
        let written = if self.holds_back {
            ready!(stream.poll_write_more(cx, slices))?
        } else {
            ready!(stream.poll_write(cx, slices))?
        };
        self.holds_back = false;
        self.has_written = true;
        self.sent = (self.sent + written).min(self.queue.len());
        Poll::Ready(Ok(written))
    }
}
