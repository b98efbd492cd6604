//! What a stream sends behind its head.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

use super::body::io_error;
use super::head::fields_of_lines;

/// A frame of so much payload fills a TLS record with its head of nine bytes. One of 16 KiB, the most that a peer has
/// to take (RFC 9113 section 4.2), would need a second record for nine bytes.
const FRAME: usize = 16 * 1024 - 9;

/// A body on its way out, in frames as large as the peer's window and our buffer allow.
#[derive(Debug)]
pub(super) struct Outbound {
    stream: SendStream<Bytes>,
    is_ended: bool,
}

impl Outbound {
    /// `is_ended`: the head was all.
    pub(super) fn new(stream: SendStream<Bytes>, is_ended: bool) -> Self {
        Self { stream, is_ended }
    }

    /// As [`Sink::poll_send`](crate::http::body::Sink::poll_send).
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_ended {
            // Nothing follows a head that ended the stream; what a server sends all the same is none of it.
            return Poll::Ready(Ok(payload.len()));
        }
        let count = if payload.is_empty() { 0 } else { ready!(self.poll_room(cx, payload.len()))? };
        let is_whole = is_last && count == payload.len();
        let has_trailers = is_whole && !trailers.is_empty();
        let ends_here = is_whole && !has_trailers;
        if count > 0 || ends_here {
            let mut frames = Bytes::copy_from_slice(&payload[..count]);
            while frames.len() > FRAME {
                self.stream.send_data(frames.split_to(FRAME), false).map_err(io_error)?;
            }
            self.stream.send_data(frames, ends_here).map_err(io_error)?;
        }
        if has_trailers {
            self.stream.send_trailers(fields_of_lines(trailers)).map_err(io_error)?;
        }
        self.is_ended = is_whole;
        Poll::Ready(Ok(count))
    }

    /// Everything is the connection's to write once it was sent; an error if the peer has given up the stream.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_ended {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match self.stream.poll_reset(cx) {
            Poll::Ready(reset) => Err(reset.map_or_else(io_error, |reason| io_error(reason.into()))),
            Poll::Pending => Ok(()),
        })
    }

    pub(super) fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }

    /// How much of `wanted` may be sent now, at least one byte.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.stream.reserve_capacity(wanted);
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(wanted.min(self.stream.capacity())))
    }
}
