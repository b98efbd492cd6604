//! A connection's stream as the `h2` crate reads and writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Fault, Frames};
use crate::net::Stream;

/// A stream with what was read of it before its protocol was known.
#[derive(Debug)]
pub(super) struct Io {
    /// Gives up its memory when it has been read.
    read: Bytes,
    /// Invariant: present until it is dropped.
    stream: Option<Stream>,
    /// A client's; servers are believed.
    frames: Option<Frames>,
    home: Home,
}

/// Where a stream comes back to when the `h2` crate lets go of it, and what has been seen of it until then.
#[derive(Clone, Debug, Default)]
pub(super) struct Home(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    stream: Mutex<Option<Stream>>,
    /// A stream's number, [`FLOOD`], or 0. Read by the task that reads the frames, so that nothing pairs with it.
    fault: AtomicU32,
}

const FLOOD: u32 = u32::MAX;

impl Home {
    pub(super) fn take(&self) -> Option<Stream> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the client has done wrong since this was last asked.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        match self.0.fault.load(Ordering::Relaxed) {
            0 => return None,
            FLOOD => Some(Fault::Flood),
            stream => Some(Fault::AfterEnd(stream)),
        }
        .inspect(|_| self.0.fault.store(0, Ordering::Relaxed))
    }

    fn note(&self, fault: Fault) {
        let fault = match fault {
            Fault::AfterEnd(stream) => stream,
            Fault::Flood => FLOOD,
        };
        self.0.fault.store(fault, Ordering::Relaxed);
    }
}

impl Io {
    /// To a server.
    pub(super) fn new(stream: Stream) -> Self {
        Self { read: Bytes::new(), stream: Some(stream), frames: None, home: Home::default() }
    }

    /// To a client, of whose bytes `read` was read already.
    pub(super) fn watched(mut stream: Stream, read: Bytes) -> Self {
        // Reading what the event loop does not know writes to all of the buffer, which takes memory that may never be
        // needed. An error comes again.
        let _unknown = stream.register();
        Self { read, stream: Some(stream), frames: Some(Frames::new()), home: Home::default() }
    }

    pub(super) fn home(&self) -> Home {
        self.home.clone()
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn received(&mut self, bytes: &[u8]) {
        if let Some(fault) = self.frames.as_mut().and_then(|frames| frames.received(bytes)) {
            self.home.note(fault);
        }
    }

    fn sent(&mut self, polled: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(count)), Some(frames)) = (polled, &mut self.frames) {
            frames.passed(*count);
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // Only where somebody waits for it.
        if Arc::strong_count(&self.home.0) > 1 {
            *self.home.0.stream.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            let before = buf.filled().len();
            let polled = AsyncRead::poll_read(Pin::new(self.stream()?), cx, buf);
            self.received(&buf.filled()[before..]);
            return polled;
        }
        let count = self.read.len().min(buf.remaining());
        let read = self.read.split_to(count);
        buf.put_slice(&read);
        self.received(&read);
        if self.read.is_empty() {
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.stream()?.poll_write(cx, slices);
        self.sent(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
