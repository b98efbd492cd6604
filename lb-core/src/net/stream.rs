//! A byte stream of any kind that a connection can be made of.
//!
//! Who moves bytes knows no kind: what a kind can't do ([`Stream::can_splice`]) or has to do on top
//! ([`Stream::poll_flush`]) is asked of the stream. Where streams come from, and how long they may wait, is not known
//! here.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::task::coop::unconstrained;

use super::carried::Carried;
use super::secure::{Secure, Terms};
use super::socket::Socket;

/// A connection's byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Socket(Socket),
    Tls(Box<Secure>),
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "only HTTP/2 carries streams"))]
    Carried(Box<dyn Carried>),
}

impl From<Socket> for Stream {
    fn from(socket: Socket) -> Self {
        Self::Socket(socket)
    }
}

impl Stream {
    /// Reads into `space`; `Ok(0)` is the end of the stream, if `space` isn't empty.
    ///
    /// A read that does not fill `space` also clears the readiness, so that in steady state one request costs one
    /// read and no second one that says "would block".
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        ready!(self.poll_read_buf(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_read_buf(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read(cx, buf),
            Self::Tls(secure) => secure.poll_read(cx, buf),
            Self::Carried(carried) => carried.poll_read(cx, buf),
        }
    }

    /// Makes an accepted socket known to the event loop, if it isn't yet.
    pub(crate) fn register(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.register(),
            Self::Tls(_) | Self::Carried(_) => Ok(()),
        }
    }

    /// Looks at what [`poll_read`](Self::poll_read) would read, and leaves it there; `Ok(0)` is the end of the stream.
    /// Only for what is not TLS.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.try_io(Interest::READABLE, |fd| crate::sys::peek(fd, space)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return Poll::Ready(peeked),
            }
        }
    }

    /// Writes some bytes of `slices`, in order. Under TLS they may wait in a buffer until
    /// [`poll_flush`](Self::poll_flush).
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self {
            Self::Socket(socket) => ready!(socket.poll_write(cx, slices))?,
            Self::Tls(secure) => ready!(secure.poll_write(cx, slices))?,
            Self::Carried(carried) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                ready!(carried.poll_write(cx, first.map_or(&[], |slice| slice)))?
            }
        };
        if written == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(written))
        }
    }

    /// As [`poll_write`](Self::poll_write), with more to come at once, or the end: on a TCP socket what fills no segment
    /// waits for it, or for [`push`](Self::push), or a fifth of a second (tcp(7), of `TCP_CORK`). Under TLS it waits for
    /// the next write or [`poll_flush`](Self::poll_flush).
    pub(crate) fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_write_more(cx, slices),
            Self::Tls(_) | Self::Carried(_) => self.poll_gather(cx, slices),
        }
    }

    /// As [`poll_write`](Self::poll_write), with more to come before the next [`poll_flush`](Self::poll_flush): under
    /// TLS several writes share a system call.
    pub(crate) fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tls(secure) => secure.poll_gather(cx, slices),
            _ => self.poll_write(cx, slices),
        }
    }

    /// Has a TCP socket send what it holds back.
    pub(crate) fn push(&self) {
        if let Self::Socket(socket) = self {
            socket.push();
        }
    }

    /// Writes out what [`poll_write`](Self::poll_write) took and TLS has not sent yet. A bare socket has no such thing.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(_) => Poll::Ready(Ok(())),
            Self::Tls(secure) => secure.poll_flush(cx),
            Self::Carried(carried) => carried.poll_flush(cx),
        }
    }

    /// Whether nothing waits for [`poll_flush`](Self::poll_flush).
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Socket(_) | Self::Carried(_) => true,
            Self::Tls(secure) => secure.is_flushed(),
        }
    }

    /// Writes some of `bytes` without asking the event loop whether there is room; 0 where there is none. Under TLS it
    /// is what waits for [`poll_flush`](Self::poll_flush) that is written, and counted.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "as what calls it"))]
    pub(crate) fn press(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.press(bytes),
            Self::Tls(secure) => secure.press(),
            Self::Carried(_) => Ok(0),
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_shutdown(cx),
            Self::Tls(secure) => secure.poll_shutdown(cx),
            Self::Carried(carried) => carried.poll_shutdown(cx),
        }
    }

    /// Ready when a read is worth trying: there are bytes, the end of the stream, or an error, or only a read can tell.
    /// No system call, but the first wait for an accepted client registers it.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            Self::Tls(secure) => secure.poll_read_ready(cx),
            Self::Carried(carried) => carried.poll_read_ready(cx),
        }
    }

    /// Has a TCP socket count as readable when `bytes` are there, or the end; 0: when anything is. What can't be told so
    /// stays as it is.
    pub(crate) fn set_low_water(&self, bytes: u64) {
        if let Self::Socket(socket) = self {
            socket.set_low_water(bytes);
        }
    }

    /// Whether the event loop knows the socket: only then is a reset seen without reading.
    pub(crate) fn is_registered(&self) -> bool {
        !matches!(self, Self::Socket(Socket::Accepted(_)))
    }

    /// Makes an accepted socket known to the event loop, so that a reset is seen.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        self.register()?;
        // A new socket counts as readable until it is found not to be, and nothing wakes who waits for what is so.
        match self.try_io(Interest::READABLE, |fd| crate::sys::peek(fd, &mut [0])) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Ready when the connection was reset, or closed in both directions. A peer that only ended its own direction may
    /// still read. No system call: it is what the event loop has seen, if it knows the socket, unless bytes that
    /// nobody reads came before.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_registered() {
            return Poll::Pending;
        }
        // Its wake-up is what counts; what woke it is asked then.
        let _ = ready!(self.poll_read_ready(cx));
        if self.is_reset() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_reset(&self) -> bool {
        // Our own direction is only closed by us, or by a reset.
        self.seen().is_some_and(|ready| ready.is_write_closed())
    }

    /// Whether the event loop has seen the peer end its direction in order: the end is behind what can be read now. Of
    /// TLS only a read can tell.
    pub(crate) fn is_ending(&self) -> bool {
        let is_in_order =
            |ready: Ready| ready.is_read_closed() && !ready.is_write_closed() && !ready.is_error();
        self.secure().is_none() && self.seen().is_some_and(is_in_order)
    }

    /// What the event loop has seen of the socket, if there is one under the stream that it knows.
    fn seen(&self) -> Option<Ready> {
        self.below()?.seen()
    }

    /// Ready when a write may succeed. No system call.
    pub(crate) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_write_ready(cx),
            Self::Tls(secure) => secure.socket_mut().poll_write_ready(cx),
            Self::Carried(_) => Poll::Ready(Ok(())),
        }
    }

    /// The socket, unless something is laid over it.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => socket.fd(),
            Self::Tls(_) | Self::Carried(_) => None,
        }
    }

    /// Whether its bytes may be moved past this process by splice(2): those of TLS can't.
    pub(crate) fn can_splice(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// Runs `io` on the socket, which must report `WouldBlock` for the readiness to be cleared.
    pub(crate) fn try_io(
        &mut self,
        interest: Interest,
        io: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_io(interest, io),
            Self::Tls(_) | Self::Carried(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether nothing arrived on a connection that should be silent: no bytes, no end, no error.
    ///
    /// Mostly what the event loop already knows, without a system call. After a splice, which stops exactly at the
    /// end of a body, one read finds out.
    fn is_silent(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Unconstrained: a task that has used up its budget would be told "pending" whatever has arrived.
        let read = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx, &mut [0]))));
        read.poll(&mut cx).is_pending()
    }

    /// Whether a connection that was kept may serve again: it is silent, and would be begun by the same now.
    pub(crate) fn is_reusable(&mut self) -> bool {
        self.is_silent() && self.secure().and_then(Secure::terms).is_none_or(Terms::hold)
    }

    /// Makes closing this stream a reset (RST), so that the peer can't take what it got for the whole.
    pub(crate) fn reset_on_close(&mut self) {
        match self {
            Self::Socket(socket) => socket.reset_on_close(),
            Self::Tls(secure) => secure.reset_on_close(),
            Self::Carried(carried) => carried.reset(),
        }
    }

    /// Has the kernel ask a peer that has been silent for `after` whether it is still there. Zero: it doesn't ask.
    pub(crate) fn keep_alive(&self, after: Duration) {
        if let Some(socket) = self.below() {
            socket.keep_alive(after);
        }
    }

    /// The protocol that the handshake agreed on by ALPN; `None` in clear text, or where nothing was agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.secure().and_then(Secure::protocol)
    }

    /// Our own address; none for a unix socket. One system call.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.below()?.local_addr()
    }

    /// The TLS that protects it, if any does.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        match self {
            Self::Socket(_) | Self::Carried(_) => None,
            Self::Tls(secure) => Some(secure),
        }
    }

    /// The socket that is its own, under TLS or not.
    fn below(&self) -> Option<&Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Tls(secure) => Some(secure.socket()),
            Self::Carried(_) => None,
        }
    }
}

/// For who asks and waits: health's probes.
impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_read_buf(cx, buf)
    }
}

/// Likewise.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}

#[cfg(test)]
mod tests;
