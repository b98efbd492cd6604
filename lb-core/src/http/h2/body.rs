//! What a stream receives behind its head.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream};
use http::HeaderMap;

use super::pseudo::is_passed;
use crate::http::body::{Behind, Payload, SourceError};
use crate::http::h1::is_forbidden_trailer;

/// A body: one frame's payload at a time, and a look at the next. What is taken of it is given back to the peer's window
/// then, so that no more waits in memory than the window allows.
#[derive(Debug)]
pub(super) struct Body {
    stream: RecvStream,
    frame: Bytes,
    /// Looked at before its turn. Never empty.
    next: Option<Bytes>,
    /// Received and not given back to the peer's window.
    owed: usize,
    replay: Option<Replay>,
    /// Lines with CRLF, known at the end.
    trailers: Vec<u8>,
    is_ended: bool,
    /// How much more may come: `limits.body_bytes`.
    allowance: u64,
}

/// The beginning of a body, kept so that it can be sent again.
#[derive(Debug, Default)]
struct Replay {
    frames: Vec<Bytes>,
    bytes: usize,
    /// How many of the frames have been taken (again).
    taken: usize,
}

/// A frame below this costs more than it carries.
const TINY: usize = 1024;

/// A request that a server refuses is refused early: what it was sent by then is no more than this.
const MAX_REPLAY: usize = 16 * 1024;

impl Body {
    pub(super) fn new(stream: RecvStream) -> Self {
        let is_ended = stream.is_end_stream();
        Self {
            stream,
            frame: Bytes::new(),
            next: None,
            owed: 0,
            replay: None,
            trailers: Vec::new(),
            is_ended,
            allowance: u64::MAX,
        }
    }

    /// One that keeps its beginning, to be rewound.
    pub(super) fn replayable(stream: RecvStream) -> Self {
        Self { replay: Some(Replay::default()), ..Self::new(stream) }
    }

    /// Goes back to the beginning; false if that is lost.
    pub(super) fn rewind(&mut self) -> bool {
        match &mut self.replay {
            Some(replay) => {
                replay.taken = 0;
                self.frame = Bytes::new();
                true
            }
            None => false,
        }
    }

    pub(super) fn limit(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Of which any number of bytes may come, none of them twice.
    pub(super) fn unbounded(self) -> Self {
        Self { replay: None, allowance: u64::MAX, ..self }
    }

    /// Whether all of it has been consumed.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended && self.frame.is_empty() && !self.has_replay()
    }

    /// Whether nothing will be received any more.
    fn is_received(&self) -> bool {
        self.next.is_none() && self.stream.is_end_stream()
    }

    fn has_replay(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.taken < replay.frames.len())
    }

    fn keep(&mut self) {
        let Some(replay) = &mut self.replay else { return };
        replay.bytes += self.frame.len();
        if replay.bytes > MAX_REPLAY {
            self.replay = None;
        } else if !self.frame.is_empty() {
            replay.frames.push(self.frame.clone());
            replay.taken += 1;
        }
    }

    pub(super) fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        loop {
            if !self.frame.is_empty() {
                let is_last = self.is_received() && !self.has_replay();
                return Poll::Ready(Ok(Payload::Some { is_last }));
            }
            if let Some(replay) = &mut self.replay
                && let Some(frame) = replay.frames.get(replay.taken)
            {
                self.frame = frame.clone();
                replay.taken += 1;
                continue;
            }
            if self.is_ended {
                return Poll::Ready(Ok(Payload::End));
            }
            match ready!(self.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.account(&frame)?;
                    self.frame = self.gather(cx, frame)?;
                    self.keep();
                }
                Some(Err(error)) => return Poll::Ready(Err(source_error(error))),
                None => {
                    if let Some(trailers) = ready!(self.stream.poll_trailers(cx)).map_err(source_error)? {
                        if trailers.keys().any(|name| is_passed(name.as_str())) {
                            return Poll::Ready(Err(SourceError::Malformed));
                        }
                        write_lines(&trailers, &mut self.trailers);
                    }
                    self.is_ended = true;
                }
            }
        }
    }

    /// Ready when a body that there can't be has ended. The length that a 304 or an answer to HEAD has is not its own
    /// (RFC 9110 section 8.6); the `h2` crate takes an empty frame behind a 304 for a breach of it.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(self.poll_frame(cx)) {
            if !frame.is_empty() {
                break;
            }
        }
        self.is_ended = true;
        Poll::Ready(())
    }

    /// The next frame. An end or an error is told again to the next who asks.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        match self.next.take() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.stream.poll_data(cx),
        }
    }

    pub(super) fn behind_payload(&mut self, cx: &mut Context<'_>) -> Behind {
        if self.has_replay() {
            return Behind::Payload;
        }
        if let Poll::Ready(Some(Ok(frame))) = self.poll_frame(cx) {
            self.next = Some(frame).filter(|frame| !frame.is_empty());
        }
        if self.next.is_some() { Behind::Payload } else { Behind::Nothing }
    }

    /// Joins tiny frames that have come already: each would be one of its own on the other side, where the memory
    /// that it costs is counted against whoever sends it.
    fn gather(&mut self, cx: &mut Context<'_>, frame: Bytes) -> Result<Bytes, SourceError> {
        let mut gathered = None;
        while gathered.as_ref().map_or(frame.len(), Vec::len) < TINY {
            let Poll::Ready(Some(Ok(next))) = self.poll_frame(cx) else { break };
            self.account(&next)?;
            gathered.get_or_insert_with(|| frame.to_vec()).extend_from_slice(&next);
        }
        Ok(gathered.map_or(frame, Bytes::from))
    }

    /// A frame has come.
    fn account(&mut self, frame: &Bytes) -> Result<(), SourceError> {
        let left = self.allowance.checked_sub(frame.len() as u64);
        self.allowance = left.ok_or(SourceError::TooLarge)?;
        self.owed += frame.len();
        Ok(())
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.frame
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.frame.advance(count);
        // What is sent again has been given back.
        let release = count.min(self.owed);
        self.owed -= release;
        // It can fail only for more than was received.
        let _ = self.stream.flow_control().release_capacity(release);
        if self.frame.is_empty() {
            self.frame = Bytes::new();
            self.is_ended |= self.is_received();
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
