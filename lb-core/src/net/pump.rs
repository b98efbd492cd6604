//! The byte pump: moves bytes one way from stream to stream, by a lent buffer while they are few and by a lent pipe
//! and splice(2) when they are many.
//!
//! Small messages are cheaper by read and write (two system calls, no probing), bulk is cheaper by splice (no copy):
//! a pump starts with the buffer and changes to the pipe when a read fills it, or to a larger buffer where TLS is in the
//! way. It holds none while nothing arrives.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use super::resources::BUFFER_SIZE;
use super::socket::none_if_full;
use super::{Buffer, Fill, Resources, Stream};
use crate::sys::{Pipe, splice};

/// How much one splice asks for; a pipe may take more than its nominal size (see [`Pipe`]).
const SPLICE_BYTES: usize = 1024 * 1024;

/// How often one poll reads before it lets other connections of the worker have their turn.
const ROUNDS: usize = 8;

/// How much a gathering pump waits for. Of 64 KiB the gain was half, of 256 KiB no larger.
const GATHERED_BYTES: u64 = 128 * 1024;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pump {
    carrier: Carrier,
    is_bulk: bool,
    is_ended: bool,
    /// The sink holds back what was written before, for what the pump moves first.
    is_awaited: bool,
    /// It waits for many bytes at a time, to wake up less often.
    gathers: bool,
    /// How many the source waits for now; 0: any.
    low_water: u64,
    blocked: Blocked,
    moved: u64,
}

#[derive(Debug, Default)]
enum Carrier {
    #[default]
    None,
    Buffer(Buffer),
    Pipe {
        pipe: Pipe,
        /// Invariant: the bytes in the pipe; more are only read when it is 0, so that `WouldBlock` from the source
        /// can only mean that the source is empty.
        held: usize,
    },
}

/// What a pump that returned `Pending` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Blocked {
    #[default]
    Source,
    Sink,
}

/// Why a pump is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PumpEnd {
    /// The source has no more.
    Source,
    /// As many bytes as asked for have been moved.
    Limit,
}

/// Which side failed.
#[derive(Debug)]
pub(crate) enum PumpError {
    Source(io::Error),
    Sink(io::Error),
}

impl Pump {
    /// A pump that expects many bytes and so begins with the pipe.
    pub(crate) fn bulk() -> Self {
        Self { is_bulk: true, ..Self::default() }
    }

    /// Likewise, behind bytes that the sink was to hold back for it ([`Stream::poll_write_more`]).
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only a body has bytes before it"))]
    pub(crate) fn awaited() -> Self {
        Self { is_awaited: true, ..Self::bulk() }
    }

    /// Whether the source may gather bytes while it has none, up to [`GATHERED_BYTES`] or what is left: a tenth less CPU
    /// a gigabyte of 1 MiB bodies over loopback. Then who polls must bound the wait, by [`Pump::hurry`].
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "in a tunnel nobody knows what follows"))]
    pub(crate) fn gathering(self, gathers: bool) -> Self {
        Self { gathers, ..self }
    }

    /// Whether it waits for more than what the source may have.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "as what makes it so"))]
    pub(crate) fn is_gathering(&self) -> bool {
        self.low_water > 0 && self.blocked == Blocked::Source
    }

    /// Gathers no longer: the source is slow, and what it has is wanted now.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "as what makes it so"))]
    pub(crate) fn hurry(&mut self, from: &Stream) {
        self.gathers = false;
        self.wait_for(from, 0);
    }

    /// A pump that begins with bytes read earlier.
    pub(crate) fn with_read(read: Buffer, resources: &Resources) -> Self {
        let mut pump = Self { carrier: Carrier::Buffer(read), ..Self::default() };
        if matches!(&pump.carrier, Carrier::Buffer(buffer) if buffer.is_empty()) {
            pump.give_back(resources);
        }
        pump
    }

    /// Moves bytes until the source ends, `remaining` is used up, or a side blocks. `remaining` counts what has
    /// been read from the source.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        remaining: &mut u64,
        resources: &Resources,
    ) -> Poll<Result<PumpEnd, PumpError>> {
        for _ in 0..ROUNDS {
            self.blocked = Blocked::Sink;
            ready!(self.poll_empty(cx, to)).map_err(PumpError::Sink)?;
            if *remaining == 0 || self.is_ended {
                self.let_go(to);
                self.give_back(resources);
                self.wait_for(from, 0);
                return Poll::Ready(Ok(if self.is_ended { PumpEnd::Source } else { PumpEnd::Limit }));
            }
            self.blocked = Blocked::Source;
            match from.poll_read_ready(cx) {
                Poll::Ready(ready) => ready.map_err(PumpError::Source)?,
                Poll::Pending => {
                    self.let_go(to);
                    self.give_back(resources);
                    if self.gathers {
                        self.wait_for(from, GATHERED_BYTES.min(*remaining));
                    }
                    return Poll::Pending;
                }
            }
            let count = if self.is_bulk && from.can_splice() && to.can_splice() {
                self.splice_in(from, *remaining, resources)
            } else {
                match self.poll_fill(cx, from, *remaining, resources) {
                    Poll::Ready(filled) => filled,
                    Poll::Pending => continue,
                }
            };
            *remaining -= count.map_err(PumpError::Source)?;
        }
        // Both sides are quick: be fair to the others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes some of what the carrier holds to a socket that the event loop believes to be full; whether any went.
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "a tunnel is silent or not, whoever is slow")
    )]
    pub(crate) fn press(&mut self, to: &mut Stream) -> io::Result<bool> {
        let count = match &mut self.carrier {
            Carrier::None => return Ok(false),
            // What waits in TLS's buffer has left ours already.
            Carrier::Buffer(_) if !to.is_flushed() => return Ok(to.press(&[])? > 0),
            Carrier::Buffer(buffer) => {
                let count = to.press(buffer.filled())?;
                buffer.consume(count);
                count
            }
            Carrier::Pipe { pipe, held } => {
                let Some(socket) = to.socket().filter(|_| *held > 0) else { return Ok(false) };
                let count = none_if_full(splice(pipe.output(), socket, *held))?;
                *held -= count;
                count
            }
        };
        self.moved += count as u64;
        Ok(count > 0)
    }

    /// How many bytes the sink has taken.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    pub(crate) fn blocked(&self) -> Blocked {
        self.blocked
    }

    /// Writes out what the carrier holds.
    fn poll_empty(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::None => {}
            Carrier::Buffer(buffer) => {
                while !buffer.is_empty() {
                    let slices = &[IoSlice::new(buffer.filled())];
                    let count = if self.is_ended {
                        // With the end, which follows, in one segment.
                        ready!(to.poll_write_more(cx, slices))?
                    } else {
                        ready!(to.poll_write(cx, slices))?
                    };
                    buffer.consume(count);
                    self.moved += count as u64;
                }
            }
            Carrier::Pipe { pipe, held } => {
                while *held > 0 {
                    ready!(to.poll_write_ready(cx))?;
                    match to.try_io(Interest::WRITABLE, |fd| splice(pipe.output(), fd, *held)) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(count) => {
                            *held -= count;
                            self.moved += count as u64;
                            self.is_awaited = false;
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
        to.poll_flush(cx)
    }

    fn wait_for(&mut self, from: &Stream, bytes: u64) {
        if std::mem::replace(&mut self.low_water, bytes) != bytes {
            from.set_low_water(bytes);
        }
    }

    /// Nothing follows for now: the sink is to wait no longer.
    fn let_go(&mut self, to: &Stream) {
        if std::mem::take(&mut self.is_awaited) {
            to.push();
        }
    }

    /// Reads into the buffer; a read that fills it shows that a pipe is worth it.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        remaining: u64,
        resources: &Resources,
    ) -> Poll<io::Result<u64>> {
        if !matches!(self.carrier, Carrier::Buffer(_)) {
            let bulk = if self.is_bulk { resources.take_bulk_buffer() } else { None };
            self.carrier = Carrier::Buffer(bulk.unwrap_or_else(|| resources.take_buffer()));
        }
        let Carrier::Buffer(buffer) = &mut self.carrier else { return Poll::Ready(Ok(0)) };
        let limit = usize::try_from(remaining).unwrap_or(usize::MAX).min(buffer.capacity());
        // Seen before the read: a short one then leaves nothing.
        let is_ending = from.is_ending();
        match ready!(buffer.poll_fill(cx, from, limit))? {
            Fill::Bytes(count) => {
                self.is_bulk = count >= BUFFER_SIZE.min(buffer.capacity());
                self.is_ended = is_ending && count < limit;
                Poll::Ready(Ok(count as u64))
            }
            Fill::End | Fill::Full => {
                self.is_ended = true;
                Poll::Ready(Ok(0))
            }
        }
    }

    fn splice_in(&mut self, from: &mut Stream, remaining: u64, resources: &Resources) -> io::Result<u64> {
        if !matches!(self.carrier, Carrier::Pipe { .. }) {
            self.give_back(resources);
            let Ok(pipe) = resources.take_pipe() else {
                // Out of descriptors: the buffer does it, too.
                self.is_bulk = false;
                return Ok(0);
            };
            self.carrier = Carrier::Pipe { pipe, held: 0 };
        }
        let Carrier::Pipe { pipe, held } = &mut self.carrier else { return Ok(0) };
        let length = usize::try_from(remaining).unwrap_or(usize::MAX).min(SPLICE_BYTES);
        match from.try_io(Interest::READABLE, |fd| splice(fd, pipe.input(), length)) {
            Ok(0) => {
                self.is_ended = true;
                Ok(0)
            }
            Ok(count) => {
                *held = count;
                Ok(count as u64)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Returns an empty carrier to its pool. A carrier that still holds bytes is dropped with its pump.
    fn give_back(&mut self, resources: &Resources) {
        match std::mem::take(&mut self.carrier) {
            Carrier::Buffer(buffer) if buffer.is_empty() => resources.put_buffer(buffer),
            Carrier::Pipe { pipe, held: 0 } => resources.put_pipe(pipe),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::fd::AsFd;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (crate::net::Socket::Tcp(listener.accept().await.unwrap().0).into(), peer)
    }

    #[tokio::test]
    async fn what_the_sink_holds_back_goes_with_what_comes_and_waits_for_no_silent_source() {
        let ((mut from, mut server), (mut to, mut client)) = (pair().await, pair().await);
        let resources = Resources::new();
        for comes in [&b""[..], b"body"] {
            let head = b"head and first bytes";
            let written = poll_fn(|cx| to.poll_write_more(cx, &[IoSlice::new(head)])).await.unwrap();
            assert_eq!(written, head.len());
            server.write_all(comes).await.unwrap();
            if !comes.is_empty() {
                poll_fn(|cx| from.poll_read_ready(cx)).await.unwrap();
            }
            let mut pump = Pump::awaited();
            let mut remaining = 1_000_000;
            let polled =
                poll_fn(|cx| Poll::Ready(pump.poll(cx, &mut from, &mut to, &mut remaining, &resources)))
                    .await;
            assert!(polled.is_pending());
            assert_eq!((pump.moved(), pump.is_awaited), (comes.len() as u64, false));
            let mut read = vec![0; head.len() + comes.len()];
            client.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [&head[..], comes].concat());
        }
    }

    #[tokio::test]
    async fn the_last_bytes_wait_for_the_end_that_came_with_them() {
        let ((mut from, mut server), (mut to, mut client)) = (pair().await, pair().await);
        let resources = Resources::new();
        server.write_all(b"the last").await.unwrap();
        server.shutdown().await.unwrap();
        while !from.is_ending() {
            tokio::task::yield_now().await;
        }
        let mut pump = Pump::default();
        let mut unbounded = u64::MAX;
        let ended = poll_fn(|cx| pump.poll(cx, &mut from, &mut to, &mut unbounded, &resources)).await;
        assert!(matches!(ended, Ok(PumpEnd::Source)));
        assert_eq!(pump.moved(), 8);
        // For a fifth of a second.
        let seen = crate::sys::peek(client.as_fd(), &mut [0]);
        assert!(seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        poll_fn(|cx| to.poll_shutdown(cx)).await.unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"the last");
    }

    #[tokio::test]
    async fn a_gathering_pump_waits_for_many_bytes_or_what_is_left_until_it_is_told_to_hurry() {
        let ((mut from, mut server), (mut to, mut client)) = (pair().await, pair().await);
        let resources = Resources::new();
        let mut read = vec![0; 40_000];
        for (mut left, is_hurried) in [(80_000, false), (1_000_000, true)] {
            let mut pump = Pump::bulk().gathering(true);
            let mut poll = |pump: &mut Pump, cx: &mut Context<'_>| {
                pump.poll(cx, &mut from, &mut to, &mut left, &resources)
            };
            assert!(poll_fn(|cx| Poll::Ready(poll(&mut pump, cx))).await.is_pending());
            assert!(pump.is_gathering());
            server.write_all(&read).await.unwrap();
            // More turns of the event loop than would tell of them.
            for _ in 0..500 {
                tokio::task::yield_now().await;
            }
            assert!(poll_fn(|cx| Poll::Ready(poll(&mut pump, cx))).await.is_pending());
            assert_eq!(pump.moved(), 0);
            if is_hurried {
                pump.hurry(&from);
                assert!(!pump.is_gathering());
                let mut some = |cx: &mut Context<'_>| {
                    let polled = pump.poll(cx, &mut from, &mut to, &mut left, &resources);
                    if pump.moved() == 40_000 { Poll::Ready(polled.is_pending()) } else { Poll::Pending }
                };
                assert!(poll_fn(&mut some).await);
            } else {
                server.write_all(&read).await.unwrap();
                let ended = poll_fn(|cx| poll(&mut pump, cx)).await;
                assert!(matches!(ended, Ok(PumpEnd::Limit)));
                client.read_exact(&mut read).await.unwrap();
            }
            client.read_exact(&mut read).await.unwrap();
        }
        // Who reads next waits for one byte again.
        server.write_all(b"x").await.unwrap();
        poll_fn(|cx| from.poll_read_ready(cx)).await.unwrap();
    }
}
