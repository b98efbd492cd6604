//! Where a worker's connections come from: a listening socket in its event loop, and who is at the other end.
//!
//! Binding is below ([`crate::sys`]); how many may be taken, and what they have to say first, is for who accepts.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;

use super::accepted::Accepted;
use super::socket::Socket;
use super::stream::Stream;
use crate::sys::{BoundListener, accept, refuse_new};

/// A listening socket in a worker's event loop.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(AsyncFd<std::net::TcpListener>),
    Unix(UnixListener),
}

impl Listener {
    /// Registers the socket with the current runtime.
    pub(crate) fn register(bound: BoundListener) -> io::Result<Self> {
        match bound {
            BoundListener::Tcp(listener) => wait_for_connections(listener).map(Self::Tcp),
            BoundListener::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    /// Takes the next connection from the kernel's queue.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, ClientAddress)>> {
        match self {
            Self::Tcp(listener) => loop {
                let mut ready = ready!(listener.poll_read_ready(cx))?;
                let Ok(accepted) = ready.try_io(|listener| accept(listener.as_fd())) else { continue };
                let (socket, addr) = accepted?;
                let stream = Socket::Accepted(Accepted::new(socket)).into();
                return Poll::Ready(Ok((stream, ClientAddress::Socket(addr))));
            },
            Self::Unix(listener) => {
                let (stream, _unnamed) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((Socket::Unix(stream).into(), ClientAddress::Local)))
            }
        }
    }

    /// Has it get no new connections, as far as the kernel can; those it has can still be accepted.
    pub(crate) fn refuse_new(&self) {
        match self {
            Self::Tcp(listener) => refuse_new(listener.as_fd()),
            // Nobody finds a file that is gone, as it is by now.
            Self::Unix(_) => {}
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that lie about their descriptor: std's doesn't"
)]
fn wait_for_connections(listener: std::net::TcpListener) -> io::Result<AsyncFd<std::net::TcpListener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
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
