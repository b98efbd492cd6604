//! What a stream receives behind its head.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream};
use http::HeaderMap;

use crate::http::body::{Payload, SourceError};
use crate::http::h1::is_forbidden_trailer;

/// A body: one frame's payload at a time. What is taken of it is given back to the peer's window then, so that no
/// more waits in memory than the window allows.
#[derive(Debug)]
pub(super) struct Body {
    stream: RecvStream,
    frame: Bytes,
    /// Lines with CRLF, known at the end.
    trailers: Vec<u8>,
    is_ended: bool,
    /// How much more may come: `limits.body_bytes`.
    allowance: u64,
}

impl Body {
    pub(super) fn new(stream: RecvStream) -> Self {
        let is_ended = stream.is_end_stream();
        Self { stream, frame: Bytes::new(), trailers: Vec::new(), is_ended, allowance: u64::MAX }
    }

    pub(super) fn limit(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Whether all of it has been consumed.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended && self.frame.is_empty()
    }

    pub(super) fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        loop {
            if !self.frame.is_empty() {
                return Poll::Ready(Ok(Payload::Some { is_last: self.stream.is_end_stream() }));
            }
            if self.is_ended {
                return Poll::Ready(Ok(Payload::End));
            }
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(frame)) => {
                    let left = self.allowance.checked_sub(frame.len() as u64);
                    self.allowance = left.ok_or(SourceError::TooLarge)?;
                    self.frame = frame;
                }
                Some(Err(error)) => return Poll::Ready(Err(source_error(error))),
                None => {
                    if let Some(trailers) = ready!(self.stream.poll_trailers(cx)).map_err(source_error)? {
                        write_lines(&trailers, &mut self.trailers);
                    }
                    self.is_ended = true;
                }
            }
        }
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.frame
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.frame.advance(count);
        // It can fail only for more than was received.
        let _ = self.stream.flow_control().release_capacity(count);
        if self.frame.is_empty() {
            self.frame = Bytes::new();
            self.is_ended |= self.stream.is_end_stream();
        }
    }

    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }
}

/// What became of a stream, as the exchange understands it.
pub(super) fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

fn source_error(error: h2::Error) -> SourceError {
    // A length that was not kept, or trailers that are none: it is not the peer that took the message back.
    let is_malformed = !error.is_remote() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    if is_malformed { SourceError::Malformed } else { SourceError::Io(io_error(error)) }
}

fn write_lines(trailers: &HeaderMap, lines: &mut Vec<u8>) {
    for (name, value) in trailers.iter().filter(|(name, _)| !is_forbidden_trailer(name.as_str().as_bytes())) {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
}
