//! A socket as a connection's bytes pass through it, with nothing laid over it.
//!
//! An accepted socket becomes one of the event loop by itself, the first time that it has to be waited for.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop::unconstrained;

use super::accepted::Accepted;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// The event loop does not know it yet.
    Accepted(Accepted),
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An `SO_LINGER` of no time: closing sends a reset (socket(7)).
const RESETS: Option<Duration> = Some(Duration::ZERO);

/// Between two questions to a silent peer, and how many go unanswered before it counts as gone.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
/// MAX_TCP_KEEPIDLE of the kernel.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(32_767);

impl Socket {
    /// As [`AsyncRead::poll_read`]. A read that does not fill `buf` also clears the readiness.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            return match self {
                Self::Accepted(accepted) => match accepted.read(buf.initialize_unfilled()) {
                    Ok(count) => {
                        buf.advance(count);
                        Poll::Ready(Ok(()))
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.register()?;
                        continue;
                    }
                    Err(error) => Poll::Ready(Err(error)),
                },
                Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
                Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            };
        }
    }

    /// Makes an accepted socket known to the event loop, if it isn't yet.
    pub(super) fn register(&mut self) -> io::Result<()> {
        if let Self::Accepted(accepted) = self {
            *self = Self::Tcp(accepted.register()?);
        }
        Ok(())
    }

    /// Writes some bytes of `slices`, in order.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            return match (&mut *self, slices) {
                (Self::Accepted(accepted), _) => match accepted.write(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.register()?;
                        continue;
                    }
                    written => Poll::Ready(written),
                },
                // send(2) is cheaper than sendmsg(2) with one element.
                (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
                (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
                (Self::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            };
        }
    }

    /// As [`poll_write`](Self::poll_write), with more to come at once, or the end: on TCP what fills no segment waits for
    /// it, or for [`push`](Self::push), or a fifth of a second (tcp(7), of `TCP_CORK`).
    pub(super) fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self {
                Self::Accepted(accepted) => match accepted.write_more(slices) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register()?,
                    written => return Poll::Ready(written),
                },
                Self::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    match stream.try_io(Interest::WRITABLE, || crate::sys::send_more(stream.as_fd(), slices))
                    {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        written => return Poll::Ready(written),
                    }
                }
                Self::Unix(_) => return self.poll_write(cx, slices),
            }
        }
    }

    /// Has a TCP socket send what it holds back: setting `TCP_NODELAY` does so, even where it is set (tcp(7)).
    pub(super) fn push(&self) {
        if let Self::Tcp(stream) = self {
            // Where it fails, the next write does.
            let _ = stream.set_nodelay(true);
        }
    }

    /// Writes some of `bytes` without asking the event loop whether there is room; 0 where there is none.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "as what calls it"))]
    pub(super) fn press(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.fd() {
            Some(socket) if !bytes.is_empty() => none_if_full(crate::sys::send(socket, bytes)),
            _ => Ok(0),
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Accepted(accepted) => Poll::Ready(accepted.shut_down()),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Ready when a read is worth trying. No system call, but the first wait for an accepted client registers it.
    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self, Self::Accepted(accepted) if !accepted.is_unread()) {
            self.register()?;
        }
        match self {
            Self::Accepted(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when a write may succeed. No system call.
    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // Nearly always: its buffer is empty. [`try_io`](Self::try_io) registers it otherwise.
            Self::Accepted(_) => Poll::Ready(Ok(())),
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Has a TCP socket count as readable when `bytes` are there, or the end; 0: when anything is. What can't be told so
    /// stays as it is.
    pub(super) fn set_low_water(&self, bytes: u64) {
        if let Self::Tcp(stream) = self {
            let _as_before = crate::sys::set_receive_low_water(stream.as_fd(), bytes);
        }
    }

    /// What the event loop has seen of it, if it knows it.
    pub(super) fn seen(&self) -> Option<Ready> {
        let mut cx = Context::from_waker(Waker::noop());
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        let seen = match self {
            Self::Accepted(_) => return None,
            Self::Tcp(stream) => pin!(unconstrained(stream.ready(interest))).poll(&mut cx),
            Self::Unix(stream) => pin!(unconstrained(stream.ready(interest))).poll(&mut cx),
        };
        match seen {
            Poll::Ready(seen) => seen.ok(),
            Poll::Pending => None,
        }
    }

    /// Its descriptor; none when registering it has failed.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Accepted(accepted) => accepted.socket().ok().map(AsFd::as_fd),
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
        }
    }

    /// Runs `io` on it, which must report `WouldBlock` for the readiness to be cleared.
    pub(super) fn try_io(
        &mut self,
        interest: Interest,
        io: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Accepted(accepted) => {
                let done = io(accepted.socket()?.as_fd());
                if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                    self.register()?;
                }
                done
            }
            Self::Tcp(stream) => stream.try_io(interest, || io(stream.as_fd())),
            Self::Unix(stream) => stream.try_io(interest, || io(stream.as_fd())),
        }
    }

    /// Makes closing it a reset (RST), so that the peer can't take what it got for the whole.
    pub(super) fn reset_on_close(&mut self) {
        // Without it the stream is closed instead: the missing last chunk or short length still tells.
        if let Some(socket) = self.tcp() {
            let _best_effort = socket.set_linger(RESETS);
        }
    }

    /// Has the kernel ask a peer that has been silent for `after` whether it is still there (tcp(7), SO_KEEPALIVE), so
    /// that one that vanished is noticed about a minute later. Zero: it doesn't ask.
    pub(super) fn keep_alive(&self, after: Duration) {
        let Some(socket) = self.tcp().filter(|_| !after.is_zero()) else { return };
        let keepalive = TcpKeepalive::new()
            .with_time(after.clamp(Duration::from_secs(1), LONGEST_KEEPALIVE))
            .with_interval(PROBE_INTERVAL)
            .with_retries(PROBES);
        // Without it the idle timeout still holds.
        let _best_effort = socket.set_tcp_keepalive(&keepalive);
    }

    /// Our own address; none for a unix socket. One system call.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Accepted(accepted) => accepted.socket().ok()?.local_addr().ok(),
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn tcp(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Accepted(accepted) => accepted.socket().ok().map(SockRef::from),
            Self::Tcp(stream) => Some(SockRef::from(stream)),
            Self::Unix(_) => None,
        }
    }
}

/// How much was written, 0 where the socket is full.
pub(super) fn none_if_full(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

/// For TLS, whose bytes a socket carries.
impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Self::poll_read(self.get_mut(), cx, buf)
    }
}

/// Likewise.
impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}
