//! A byte stream of any kind that a connection can be made of.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::coop::unconstrained;

use super::secure::Secure;
use crate::sys::BoundListener;

/// A connection's byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Secure>),
}

impl Stream {
    /// Reads into `space`; `Ok(0)` is the end of the stream, if `space` isn't empty.
    ///
    /// A read that does not fill `space` also clears the readiness, so that in steady state one request costs one
    /// read and no second one that says "would block".
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(space);
        match self {
            Self::Tcp(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buf))?,
            Self::Unix(stream) => ready!(Pin::new(stream).poll_read(cx, &mut buf))?,
            Self::Tls(secure) => ready!(secure.poll_read(cx, &mut buf))?,
        }
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Looks at what [`poll_read`](Self::poll_read) would read, and leaves it there; `Ok(0)` is the end of the stream.
    /// Only for what is not TLS.
    pub(crate) fn poll_peek(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let Some(fd) = self.splice_fd() else {
                return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
            };
            match self.try_io(Interest::READABLE, || crate::sys::peek(fd, space)) {
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
        let written = match (self, slices) {
            // send(2) is cheaper than sendmsg(2) with one element.
            (Self::Tcp(stream), [one]) => ready!(Pin::new(stream).poll_write(cx, one))?,
            (Self::Tcp(stream), _) => ready!(Pin::new(stream).poll_write_vectored(cx, slices))?,
            (Self::Unix(stream), _) => ready!(Pin::new(stream).poll_write_vectored(cx, slices))?,
            (Self::Tls(secure), _) => ready!(secure.poll_write(cx, slices))?,
        };
        if written == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(written))
        }
    }

    /// Writes out what [`poll_write`](Self::poll_write) took and TLS has not sent yet. A bare socket has no such thing.
    #[inline]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(secure) => secure.poll_flush(cx),
        }
    }

    /// Whether nothing waits for [`poll_flush`](Self::poll_flush).
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Tls(secure) => secure.is_flushed(),
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(secure) => secure.poll_shutdown(cx),
        }
    }

    /// Ready when there is something to read: bytes, the end of the stream, or an error. No system call.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(secure) => secure.poll_read_ready(cx),
        }
    }

    /// Ready when a write may succeed. No system call.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tls(secure) => secure.socket().poll_write_ready(cx),
        }
    }

    /// The socket, where bytes may be moved past this process by splice(2).
    pub(crate) fn splice_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Tls(_) => None,
        }
    }

    /// Runs `io` on the socket, which must report `WouldBlock` for the readiness to be cleared.
    pub(crate) fn try_io(
        &self,
        interest: Interest,
        io: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, io),
            Self::Unix(stream) => stream.try_io(interest, io),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether nothing arrived on a connection that should be silent: no bytes, no end, no error.
    ///
    /// Mostly what the event loop already knows, without a system call. After a splice, which stops exactly at the
    /// end of a body, one read finds out.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        // Unconstrained: a task that has used up its budget would be told "pending" whatever has arrived.
        let read = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx, &mut [0]))));
        read.poll(&mut cx).is_pending()
    }

    /// Makes closing this stream a reset (RST), so that the peer can't take what it got for the whole.
    pub(crate) fn reset_on_close(&mut self) {
        match self {
            Self::Tcp(stream) => {
                // Without it the stream is closed instead: the missing last chunk or short length still tells.
                let socket = socket2::SockRef::from(&*stream);
                let _best_effort = socket.set_linger(Some(std::time::Duration::ZERO));
            }
            Self::Unix(_) => {}
            Self::Tls(secure) => secure.reset_on_close(),
        }
    }

    /// The protocol that the handshake agreed on by ALPN; `None` in clear text, or where nothing was agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.secure().and_then(Secure::protocol)
    }

    /// The TLS that protects it, if any does.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(secure) => Some(secure),
        }
    }
}

/// For TLS, whose bytes a stream carries.
impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(secure) => secure.poll_read(cx, buf),
        }
    }
}

/// Likewise.
impl AsyncWrite for Stream {
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), cx)
    }
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAddress {
    Socket(SocketAddr),
    /// A unix socket's peer has no address.
    Local,
}

impl ClientAddress {
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            // An IPv4 client of a dual-stack listener is the IPv4 client it is.
            Self::Socket(addr) => Some(addr.ip().to_canonical()),
            Self::Local => None,
        }
    }
}

impl ClientAddress {
    pub(crate) fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Socket(addr) => Some(addr),
            Self::Local => None,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => write!(f, "{addr}"),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// A listening socket in a worker's event loop.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Registers the socket with the current runtime.
    pub(crate) fn register(bound: BoundListener) -> io::Result<Self> {
        match bound {
            BoundListener::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            BoundListener::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    /// Takes the next connection from the kernel's queue.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, ClientAddress)>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((Stream::Tcp(stream), ClientAddress::Socket(addr))))
            }
            Self::Unix(listener) => {
                let (stream, _unnamed) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((Stream::Unix(stream), ClientAddress::Local)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::task::coop;

    use super::*;

    #[tokio::test]
    async fn silence_is_told_from_words_by_a_task_over_its_budget_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut stream = Stream::Tcp(stream);
        for is_silent in [true, false] {
            poll_fn(|cx| {
                while let Poll::Ready(progress) = coop::poll_proceed(cx) {
                    progress.made_progress();
                }
                assert!(!coop::has_budget_remaining());
                assert_eq!(stream.is_silent(), is_silent);
                Poll::Ready(())
            })
            .await;
            peer.write_all(b"x").await.unwrap();
            poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
        }
    }
}
