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

use crate::sys::BoundListener;

/// A connection's byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
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
        }
        Poll::Ready(Ok(buf.filled().len()))
    }

    /// Writes some bytes of `slices`, in order.
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
        };
        if written == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(written))
        }
    }

    /// Ends our direction; the peer reads the end of the stream.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Ready when there is something to read: bytes, the end of the stream, or an error. No system call.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Ready when a write may succeed. No system call.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// The socket, where bytes may be moved past this process by splice(2).
    pub(crate) fn splice_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
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
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            // Without it the stream is closed instead: the missing last chunk or short length still tells.
            let _best_effort = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
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
