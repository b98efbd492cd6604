//! A client's socket that the event loop does not know yet.
//!
//! A client's first bytes mostly arrive with its connection, and one that closes after the answer never has to be
//! waited for: it is served without registering its socket, by six system calls instead of eight (the two of
//! epoll_ctl(2) are left out).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

/// A socket of its own, non-blocking.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// None once the event loop has it.
    socket: Option<TcpStream>,
    was_read: bool,
}

impl Accepted {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket: Some(socket), was_read: false }
    }

    /// Whether a read is worth trying: bytes that come after the first ones have to be waited for.
    pub(super) fn is_unread(&self) -> bool {
        !self.was_read
    }

    pub(super) fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.was_read = true;
        self.socket()?.read(space)
    }

    pub(super) fn write(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.socket()?.write(one),
            _ => self.socket()?.write_vectored(slices),
        }
    }

    /// As [`write`](Self::write); what fills no segment waits for what comes next.
    pub(super) fn write_more(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        crate::sys::send_more(self.socket()?.as_fd(), slices)
    }

    pub(super) fn shut_down(&self) -> io::Result<()> {
        self.socket()?.shutdown(Shutdown::Write)
    }

    pub(super) fn socket(&self) -> io::Result<&TcpStream> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Makes the socket known to the event loop, which reports what has arrived since, too (epoll(7)).
    pub(super) fn register(&mut self) -> io::Result<tokio::net::TcpStream> {
        let socket = self.socket.take().ok_or(io::ErrorKind::NotConnected)?;
        tokio::net::TcpStream::from_std(socket)
    }
}
