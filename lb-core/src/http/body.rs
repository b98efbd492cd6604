//! A body on its way from one end of an exchange to the other.
//!
//! The exchange moves bodies without knowing what protocol frames them: an end that is read from is a [`Source`], an
//! end that is written to is a [`Sink`], and [`Transfer`] joins the two. Where the source is a plain socket
//! and the bytes need no framing, they pass by the byte pump instead.

use std::io;
use std::task::{Context, Poll, ready};

use crate::net::{Blocked, Pump, PumpEnd, PumpError, Resources, Stream};

/// The end that a body is read from.
pub(crate) trait Source {
    /// Ready when there is payload to look at or the body has ended.
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>>;

    /// Takes as much memory as what comes needs. To be called before it is looked for.
    fn make_room(&mut self, _resources: &Resources) {}

    /// The payload that [`Source::poll_payload`] announced.
    fn payload(&self) -> &[u8];

    /// Forgets the first `count` bytes of the payload.
    fn consume(&mut self, count: usize);

    /// Field lines behind the body, each with CRLF; known at its end.
    fn trailers(&self) -> &[u8];

    /// The stream and how many bytes of it are this body's, when they need no decoding and none is in a buffer.
    fn unread(&mut self) -> Option<(&mut Stream, u64)> {
        None
    }

    /// What has arrived behind the payload.
    fn behind_payload(&mut self, _cx: &mut Context<'_>) -> Behind {
        Behind::Nothing
    }

    /// Tells that `count` bytes of [`Source::unread`] were read past it; `is_ended`: so was the stream's end.
    fn was_read(&mut self, _count: u64, _is_ended: bool) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The end that a body is written to.
pub(crate) trait Sink {
    /// Writes some of `payload`. `is_last`: nothing follows it, so that the end can go in the same write; `trailers`
    /// are then the field lines behind the body. An empty payload is never pending: the end is queued, to be flushed.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>>;

    /// Writes out what is queued.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes some of what waits, `payload` behind it, to a socket that the event loop believes to be full.
    fn press(&mut self, payload: &[u8]) -> io::Result<Pressed> {
        let _ = payload;
        Ok(Pressed::default())
    }

    /// Has the next payload wait for what is behind it, so that they share segments; false where it can't.
    fn hold_back(&mut self, _behind: Behind) -> bool {
        false
    }

    /// The stream, when payload needs no framing and nothing is queued before it.
    fn unframed(&mut self) -> Option<&mut Stream> {
        None
    }
}

/// What came of [`Sink::press`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pressed {
    /// Whether anything has left.
    pub(crate) has_written: bool,
    /// How much of the payload was taken.
    pub(crate) taken: usize,
}

/// What a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Some bytes; `is_last`: and no more will come.
    Some { is_last: bool },
    /// Nothing more.
    End,
}

/// What comes right behind a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing, or nothing yet.
    Nothing,
    /// More payload, once this is consumed.
    Payload,
    /// So many bytes that will be [`Source::unread`], of which some are there.
    Unread(u64),
}

/// Why a source failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("malformed body")]
    Malformed,
    #[error("body over the limit")]
    TooLarge,
    #[error("closed before the body's end")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Which end failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("source: {0}")]
    Source(SourceError),
    #[error("sink: {0}")]
    Sink(io::Error),
}

/// Bodies longer than this pass by the byte pump. Shorter ones are cheaper copied: a pipe costs two system calls more.
const PUMP_ABOVE: u64 = 16 * 1024;

/// One body's way from source to sink.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    pump: Option<Pump>,
    moved: u64,
    is_ended: bool,
    blocked: Blocked,
    gathers: bool,
}

impl Transfer {
    /// A transfer that may let a large body's bytes gather before it moves them. Who polls must bound the wait by
    /// [`Transfer::hurry`].
    pub(crate) fn gathering() -> Self {
        Self { gathers: true, ..Self::default() }
    }

    /// Moves the body until it has ended and is flushed, or a side blocks.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        sink: &mut impl Sink,
        resources: &Resources,
    ) -> Poll<Result<(), TransferError>> {
        while !self.is_ended {
            if let Some(pumped) = self.poll_pump(cx, source, sink, resources) {
                ready!(pumped)?;
                continue;
            }
            self.blocked = Blocked::Source;
            source.make_room(resources);
            match source.poll_payload(cx) {
                Poll::Ready(Ok(Payload::Some { is_last })) => {
                    ready!(self.poll_copy(cx, source, sink, is_last)).map_err(TransferError::Sink)?;
                }
                Poll::Ready(Ok(Payload::End)) => {
                    ready!(sink.poll_send(cx, &[], true, source.trailers())).map_err(TransferError::Sink)?;
                    self.is_ended = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(TransferError::Source(error))),
                Poll::Pending => {
                    // What came so far goes out: the rest may take its time.
                    self.blocked = Blocked::Sink;
                    ready!(sink.poll_flush(cx)).map_err(TransferError::Sink)?;
                    self.blocked = Blocked::Source;
                    return Poll::Pending;
                }
            }
        }
        self.blocked = Blocked::Sink;
        sink.poll_flush(cx).map_err(TransferError::Sink)
    }

    /// Whether it waits for more than what the source may have.
    pub(crate) fn is_gathering(&self) -> bool {
        self.pump.as_ref().is_some_and(Pump::is_gathering)
    }

    /// Gathers no longer, and takes what the source has.
    pub(crate) fn hurry(&mut self, source: &mut impl Source) {
        if let (Some(pump), Some((from, _))) = (&mut self.pump, source.unread()) {
            pump.hurry(from);
        }
    }

    /// For a sink that has taken nothing for long: writes some of what waits for it, and says whether it took any.
    ///
    /// The kernel tells of room only when a third of a socket's buffer is free, and that may be megabytes: a peer that
    /// reads slowly has perhaps read all the time.
    pub(crate) fn press(&mut self, source: &mut impl Source, sink: &mut impl Sink) -> io::Result<bool> {
        if let (Some(pump), Some(to)) = (&mut self.pump, sink.unframed())
            && pump.press(to)?
        {
            return Ok(true);
        }
        let pressed = sink.press(source.payload())?;
        source.consume(pressed.taken);
        self.moved += pressed.taken as u64;
        Ok(pressed.has_written)
    }

    /// Payload bytes that the sink has taken.
    pub(crate) fn moved(&self) -> u64 {
        self.moved + self.pump.as_ref().map_or(0, Pump::moved)
    }

    /// What a transfer that returned `Pending` waits for.
    pub(crate) fn blocked(&self) -> Blocked {
        self.blocked
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        sink: &mut impl Sink,
        is_last: bool,
    ) -> Poll<io::Result<()>> {
        self.blocked = Blocked::Sink;
        // Head and first bytes alone would be a short segment, and a segment costs more than a system call. 1 MiB bodies
        // over loopback, with BBR for congestion control: a quarter fewer a second.
        let behind = source.behind_payload(cx);
        match behind {
            Behind::Unread(length) if self.pump.is_none() && length > PUMP_ABOVE => {
                if sink.hold_back(behind) {
                    self.pump = Some(Pump::awaited().gathering(self.gathers));
                }
            }
            Behind::Payload => {
                sink.hold_back(behind);
            }
            Behind::Nothing | Behind::Unread(_) => {}
        }
        let payload = source.payload();
        let is_whole = payload.len();
        let count = ready!(sink.poll_send(cx, payload, is_last, source.trailers()))?;
        self.is_ended = is_last && count == is_whole;
        source.consume(count);
        self.moved += count as u64;
        Poll::Ready(Ok(()))
    }

    /// Passes bytes from stream to stream where that is possible and worth it; `None` where not.
    fn poll_pump(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
        sink: &mut impl Sink,
        resources: &Resources,
    ) -> Option<Poll<Result<(), TransferError>>> {
        let (from, length) = source.unread()?;
        let to = sink.unframed()?;
        if self.pump.is_none() && length <= PUMP_ABOVE {
            return None;
        }
        let gathers = self.gathers;
        let pump = self.pump.get_or_insert_with(|| Pump::bulk().gathering(gathers));
        let mut remaining = length;
        let polled = pump.poll(cx, from, to, &mut remaining, resources);
        self.blocked = pump.blocked();
        let is_source_ended = matches!(polled, Poll::Ready(Ok(PumpEnd::Source)));
        if let Err(error) = source.was_read(length - remaining, is_source_ended) {
            return Some(Poll::Ready(Err(TransferError::Source(error))));
        }
        Some(match polled {
            Poll::Ready(Ok(PumpEnd::Source | PumpEnd::Limit)) => {
                self.is_ended = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(PumpError::Source(error))) => {
                Poll::Ready(Err(TransferError::Source(error.into())))
            }
            Poll::Ready(Err(PumpError::Sink(error))) => Poll::Ready(Err(TransferError::Sink(error))),
            Poll::Pending => Poll::Pending,
        })
    }
}
