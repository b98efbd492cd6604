//! What a connection reads: heads, then the body that each announces.

use std::task::{Context, Poll, ready};

use super::chunked::{Chunked, Sender};
use super::framing::Framing;
use super::parse;
use crate::http::body::{Payload, SourceError};
use crate::http::ends::{HeadError, HeadLimits};
use crate::http::head::{Asked, BodyLength, RequestHead, ResponseHead};
use crate::net::{Buffer, Fill, Resources, Stream};

/// The least space for a body behind its head: a head that fills the buffer would leave none, and a little more makes
/// a system call of each byte.
const BODY_SPACE: usize = 4 * 1024;

/// The reading half of an HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: Buffer,
    body: Body,
    /// How much of an incomplete head has been looked at already.
    scanned: usize,
    /// How much more payload may come: `limits.body_bytes`.
    allowance: u64,
}

/// Where in its body a message is.
#[derive(Debug)]
enum Body {
    /// `left` bytes, those in the buffer included.
    Length {
        left: u64,
    },
    /// `payload` decoded bytes lie at the front of the buffer.
    Chunked {
        decoder: Chunked,
        payload: usize,
        is_ended: bool,
        /// The head announced trailers. Others are thrown away: nobody behind us expects them (RFC 9110
        /// section 6.5.2).
        passes_trailers: bool,
    },
    UntilClose {
        is_ended: bool,
    },
}

impl Incoming {
    pub(crate) fn new(buffer: Buffer) -> Self {
        Self { buffer, body: Body::Length { left: 0 }, scanned: 0, allowance: u64::MAX }
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// The bytes of the head that was read last.
    pub(crate) fn head_bytes(&self) -> &[u8] {
        self.buffer.kept()
    }

    /// Whether bytes have arrived that no message has taken yet.
    pub(crate) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The bytes that no message has taken yet.
    pub(crate) fn unparsed(&self) -> &[u8] {
        self.buffer.filled()
    }

    /// Whether the first bytes are `preface`. A failing stream does not begin with it: who reads on meets the failure.
    pub(crate) fn poll_begins_with(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        preface: &[u8],
    ) -> Poll<bool> {
        loop {
            let filled = self.buffer.filled();
            let length = filled.len().min(preface.len());
            if filled[..length] != preface[..length] {
                return Poll::Ready(false);
            }
            if length == preface.len() {
                return Poll::Ready(true);
            }
            match ready!(self.buffer.poll_fill(cx, stream, usize::MAX)) {
                Ok(Fill::Bytes(_)) => {}
                Ok(Fill::End | Fill::Full) | Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Reads the next request's head.
    pub(crate) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>> {
        self.start_message();
        loop {
            self.skip_empty_lines();
            if self.is_worth_parsing()
                && let Some(length) = parse::request(self.buffer.filled(), limits.fields, head)?
            {
                if length > limits.bytes {
                    return Poll::Ready(Err(self.too_large(limits)));
                }
                self.take_head(length);
                self.body = match head.body {
                    BodyLength::None => Body::Length { left: 0 },
                    BodyLength::Known(left) => Body::Length { left },
                    BodyLength::Unknown => Body::chunked(Sender::Client, head.announces_trailers),
                };
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more_head(cx, stream, limits))?;
        }
    }

    /// Reads the next response's head.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        limits: HeadLimits,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        self.start_message();
        loop {
            if self.is_worth_parsing() {
                let parsed = parse::response(self.buffer.filled(), limits.fields, asked, head)?;
                if let Some((length, framing)) = parsed {
                    self.take_head(length);
                    self.body = match framing {
                        Framing::None | Framing::Denied => Body::Length { left: 0 },
                        Framing::Length(left) => Body::Length { left },
                        Framing::Chunked => Body::chunked(Sender::Server, head.announces_trailers),
                        Framing::UntilClose => Body::UntilClose { is_ended: false },
                    };
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(self.poll_more_head(cx, stream, limits))?;
        }
    }

    /// Bounds the body whose head was just read.
    pub(crate) fn limit_body(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Whether the body has been consumed to its end, so that the next message can begin.
    pub(crate) fn is_body_ended(&self) -> bool {
        match &self.body {
            Body::Length { left } => *left == 0,
            Body::Chunked { payload, is_ended, .. } => *is_ended && *payload == 0,
            Body::UntilClose { is_ended } => *is_ended && self.buffer.is_empty(),
        }
    }

    /// Whether the whole body lies in the buffer, so that it can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self.body, Body::Length { left } if left <= self.buffer.filled().len() as u64)
    }

    /// Makes a replayable body of `length` bytes whole again.
    pub(crate) fn rewind(&mut self, length: u64) {
        if let Body::Length { left } = &mut self.body {
            let consumed = usize::try_from(length - *left).unwrap_or(0);
            self.buffer.unconsume(consumed);
            *left = length;
        }
    }

    pub(crate) fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<Result<Payload, SourceError>> {
        loop {
            match &mut self.body {
                Body::Length { left: 0 } => return Poll::Ready(Ok(Payload::End)),
                Body::Length { left } if !self.buffer.is_empty() => {
                    let is_last = self.buffer.filled().len() as u64 >= *left;
                    return Poll::Ready(Ok(Payload::Some { is_last }));
                }
                Body::Chunked { payload: 1.., is_ended, .. } => {
                    return Poll::Ready(Ok(Payload::Some { is_last: *is_ended }));
                }
                Body::Chunked { is_ended: true, .. } => return Poll::Ready(Ok(Payload::End)),
                Body::Chunked { .. } if !self.buffer.is_empty() => {
                    self.decode_chunks()?;
                    continue;
                }
                Body::UntilClose { .. } if !self.buffer.is_empty() => {
                    return Poll::Ready(Ok(Payload::Some { is_last: false }));
                }
                Body::UntilClose { is_ended: true } => return Poll::Ready(Ok(Payload::End)),
                _ => {}
            }
            match ready!(self.buffer.poll_fill(cx, stream, usize::MAX))? {
                Fill::Bytes(_) => {}
                Fill::End | Fill::Full => match &mut self.body {
                    Body::UntilClose { is_ended } => *is_ended = true,
                    _ => return Poll::Ready(Err(SourceError::Truncated)),
                },
            }
        }
    }

    /// As [`Source::make_room`](crate::http::body::Source::make_room).
    pub(crate) fn make_room(&mut self, resources: &Resources) {
        let to_come = match &self.body {
            Body::Length { left } => *left,
            Body::Chunked { is_ended: true, .. } | Body::UntilClose { is_ended: true } => 0,
            Body::Chunked { .. } | Body::UntilClose { .. } => u64::MAX,
        };
        if self.buffer.is_empty() && to_come > self.buffer.capacity() as u64 {
            resources.fit(&mut self.buffer);
        }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        let filled = self.buffer.filled();
        let length = match &self.body {
            Body::Length { left } => usize::try_from(*left).unwrap_or(usize::MAX).min(filled.len()),
            Body::Chunked { payload, .. } => *payload,
            Body::UntilClose { .. } => filled.len(),
        };
        filled.get(..length).unwrap_or_default()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
        match &mut self.body {
            Body::Length { left } => *left -= count as u64,
            Body::Chunked { payload, .. } => *payload -= count,
            Body::UntilClose { .. } => {}
        }
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        match &self.body {
            Body::Chunked { decoder, passes_trailers: true, .. } => decoder.trailers(),
            _ => &[],
        }
    }

    /// How many bytes of the stream are body as they are, when none lies in the buffer.
    pub(crate) fn unread(&self) -> Option<u64> {
        match &self.body {
            _ if !self.buffer.is_empty() => None,
            Body::Length { left } => Some(*left),
            Body::UntilClose { is_ended } => Some(if *is_ended { 0 } else { u64::MAX }),
            Body::Chunked { .. } => None,
        }
    }

    /// Likewise, behind those that lie there.
    pub(crate) fn behind_payload(&self) -> u64 {
        match &self.body {
            Body::Length { left } => left.saturating_sub(self.buffer.filled().len() as u64),
            Body::UntilClose { is_ended: false } => u64::MAX,
            Body::UntilClose { .. } | Body::Chunked { .. } => 0,
        }
    }

    pub(crate) fn was_read(&mut self, count: u64, stream_is_ended: bool) -> Result<(), SourceError> {
        match &mut self.body {
            Body::Length { left } => {
                *left -= count;
                if stream_is_ended && *left > 0 { Err(SourceError::Truncated) } else { Ok(()) }
            }
            Body::UntilClose { is_ended } => {
                *is_ended |= stream_is_ended;
                Ok(())
            }
            Body::Chunked { .. } => Ok(()),
        }
    }

    fn start_message(&mut self) {
        if !self.buffer.kept().is_empty() {
            self.buffer.release();
        }
    }

    /// RFC 9112 section 2.2: empty lines before a request line are skipped.
    fn skip_empty_lines(&mut self) {
        while self.buffer.filled().starts_with(b"\r\n") {
            self.buffer.consume(2);
            self.scanned = 0;
        }
    }

    /// Whether parsing can lead to more than "not complete yet": so that a head sent byte by byte costs one look at
    /// each byte, not one at all of them.
    fn is_worth_parsing(&mut self) -> bool {
        let filled = self.buffer.filled();
        let scanned = std::mem::replace(&mut self.scanned, filled.len());
        if scanned == 0 {
            return !filled.is_empty();
        }
        let fresh = &filled[scanned.saturating_sub(3)..];
        memchr::memmem::find(fresh, b"\r\n\r\n").is_some()
            || memchr::memchr_iter(b'\n', fresh).any(|at| at > 0 && fresh[at - 1] != b'\r')
    }

    fn take_head(&mut self, length: usize) {
        self.buffer.keep(length);
        self.buffer.grow(length + BODY_SPACE);
        self.scanned = 0;
        self.allowance = u64::MAX;
    }

    fn poll_more_head(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        limits: HeadLimits,
    ) -> Poll<Result<(), HeadError>> {
        let length = self.buffer.filled().len();
        if length >= limits.bytes {
            return Poll::Ready(Err(self.too_large(limits)));
        }
        if length == self.buffer.capacity() {
            self.buffer.grow(limits.bytes);
        }
        match ready!(self.buffer.poll_fill(cx, stream, usize::MAX))? {
            Fill::Bytes(_) => Poll::Ready(Ok(())),
            Fill::End if length == 0 => Poll::Ready(Err(HeadError::Closed)),
            Fill::End => Poll::Ready(Err(HeadError::Truncated)),
            Fill::Full => Poll::Ready(Err(HeadError::TooLarge)),
        }
    }

    fn too_large(&self, limits: HeadLimits) -> HeadError {
        let filled = self.buffer.filled();
        let within = &filled[..filled.len().min(limits.bytes)];
        if memchr::memchr(b'\n', within).is_none() { HeadError::TargetTooLong } else { HeadError::TooLarge }
    }

    fn decode_chunks(&mut self) -> Result<(), SourceError> {
        let Body::Chunked { decoder, payload, is_ended, .. } = &mut self.body else { return Ok(()) };
        let decoded = decoder.decode(self.buffer.filled_mut()).map_err(|_| SourceError::Malformed)?;
        self.buffer
            .remove(decoded.skip + decoded.payload..decoded.consumed.max(decoded.skip + decoded.payload));
        self.buffer.consume(decoded.skip);
        *payload = decoded.payload;
        *is_ended = decoded.is_ended;
        self.allowance = self.allowance.checked_sub(decoded.payload as u64).ok_or(SourceError::TooLarge)?;
        Ok(())
    }
}

impl Body {
    fn chunked(sender: Sender, passes_trailers: bool) -> Self {
        Self::Chunked { decoder: Chunked::of(sender), payload: 0, is_ended: false, passes_trailers }
    }
}
