//! Calls on single sockets.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

/// Looks at what a socket has received and leaves it there (recv(2) with MSG_PEEK); 0 is the end of the stream.
pub(crate) fn peek(socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, space, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
}

/// Writes what a socket takes at once (send(2)); `WouldBlock` where that is nothing.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Writes what a socket takes at once; a rest that fills no segment waits for what is written next (send(2), MSG_MORE).
pub(crate) fn send_more(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

/// Takes a connection from a listening socket's queue (accept4(2)), not blocking, as the connection won't.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, client) =
        rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.ok_or(io::ErrorKind::NotConnected)?;
    Ok((socket.into(), client.try_into()?))
}

/// Lets a socket acknowledge late (tcp(7), TCP_QUICKACK off), the end of a handshake too.
pub(crate) fn hold_back_acknowledgements(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_quickack(socket, false)?)
}
