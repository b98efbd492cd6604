//! A connection's stream as the `h2` crate reads and writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::sending::Sending;
use super::traffic::Fault;
use crate::net::Stream;

/// A connection's stream, for the `h2` crate.
///
/// That flushes behind each frame with payload. Here nothing is flushed but by [`Home::poll_flush`], by which the
/// connection's task writes at once what all its streams have sent meanwhile.
#[derive(Debug)]
pub(super) struct Io(Home);

/// The same stream for the connection's task, also when the `h2` crate has let go of it.
#[derive(Clone, Debug)]
pub(super) struct Home(Arc<Mutex<Wire>>);

#[derive(Debug)]
struct Wire {
    /// What was read before the protocol was known. Gives up its memory when it has been read.
    read: Bytes,
    /// Absent once it has been taken home.
    stream: Option<Stream>,
    /// A client's; servers are believed.
    frames: Option<Frames>,
    /// To a server.
    sending: Option<Sending>,
    /// What passes instead of what was read, from `given` on.
    rewritten: Vec<u8>,
    given: usize,
}

/// A connection keeps no more than that for what it may rewrite next.
const KEPT: usize = 1024;

impl Home {
    pub(super) fn take(&self) -> Option<Stream> {
        self.wire().stream.take()
    }

    /// What the client has done wrong since this was last asked.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        self.wire().frames.as_mut()?.take_fault()
    }

    /// Writes out what has gathered.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        ready!(wire.poll_drain(cx))?;
        wire.stream()?.poll_flush(cx)
    }

    /// Nobody waits for this lock: the connection's task alone takes it.
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Io {
    /// To a server. `has_stand_ins` is set before the first request that has to be rewritten.
    pub(super) fn new(stream: Stream, has_stand_ins: Arc<AtomicBool>) -> Self {
        Self::of(Bytes::new(), stream, None, Some(Sending::new(has_stand_ins)))
    }

    /// To a client, of whose bytes `read` was read already, and whose heads may have `head_bytes`.
    pub(super) fn watched(mut stream: Stream, read: Bytes, head_bytes: usize) -> Self {
        // Reading what the event loop does not know writes to all of the buffer, which takes memory that may never be
        // needed. An error comes again.
        let _unknown = stream.register();
        Self::of(read, stream, Some(Frames::of_client(head_bytes)), None)
    }

    fn of(read: Bytes, stream: Stream, frames: Option<Frames>, sending: Option<Sending>) -> Self {
        let wire = Wire { read, stream: Some(stream), frames, sending, rewritten: Vec::new(), given: 0 };
        Self(Home(Arc::new(Mutex::new(wire))))
    }

    pub(super) fn home(&self) -> Home {
        self.0.clone()
    }
}

impl Wire {
    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            self.give(buf);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx, buf))?;
            let read = buf.filled().len() - before;
            let Some(frames) = self.frames.as_mut().filter(|_| read > 0) else { return Poll::Ready(Ok(())) };
            let kept = frames.take(&buf.filled()[before..], &mut self.rewritten);
            buf.set_filled(before + kept);
        }
    }

    /// Reads what the other side has sent.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return AsyncRead::poll_read(Pin::new(self.stream()?), cx, buf);
        }
        let read = self.read.split_to(self.read.len().min(buf.remaining()));
        buf.put_slice(&read);
        if self.read.is_empty() {
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what was rewritten, as much of it as there is room for.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.rewritten[self.given..];
        let given = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..given]);
        self.given += given;
        if self.given == self.rewritten.len() {
            self.given = 0;
            self.rewritten.clear();
            self.rewritten.shrink_to(KEPT);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let (Some(sending), Some(stream)) = (&mut self.sending, &mut self.stream) {
            return sending.poll_write(stream, cx, slices);
        }
        let polled = self.stream()?.poll_gather(cx, slices);
        if let (Poll::Ready(Ok(count)), Some(frames)) = (&polled, &mut self.frames) {
            frames.sent(*count);
        }
        polled
    }

    /// Writes what was taken and had to be rewritten.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (&mut self.sending, &mut self.stream) {
            (Some(sending), Some(stream)) => sending.poll_drain(stream, cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.wire().poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.wire().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.wire();
        ready!(wire.poll_drain(cx))?;
        wire.stream()?.poll_shutdown(cx)
    }
}
