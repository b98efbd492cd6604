//! The floor: a program that moves bytes between two sockets and does nothing else. No parsing, no
//! limits, no timeouts, no metrics, no checks. What a proxy costs beyond it is what its duties
//! cost, and nearly all of the floor is the kernel's TCP.
//!
//! Each client has a server connection of its own, so where a proxy keeps its connections to
//! servers while clients come and go, this is no floor.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::net::SocketFlags;

use crate::error::Error;

/// Moves bytes between clients of one port and two servers in turn, until standard input closes.
pub(crate) fn run(listen: u16, servers: &[u16]) -> Result<(), Error> {
    let servers = servers.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect();
    Floor::bind(listen, servers).and_then(|mut floor| floor.serve()).map_err(Error::system("floor"))
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    servers: Vec<SocketAddr>,
    accepted: usize,
    /// By file descriptor: the cheapest table there is.
    ends: Vec<Option<End>>,
    /// Moves a whole response of 64 KiB at once, and 1 MiB in few steps.
    buffer: Vec<u8>,
}

/// One of two joined sockets.
struct End {
    socket: TcpStream,
    other: usize,
    /// What the socket did not take yet. While there is some, the other end is not read.
    unwritten: Vec<u8>,
    has_ended: bool,
}

fn index(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).unwrap_or_default()
}

impl Floor {
    fn bind(listen: u16, servers: Vec<SocketAddr>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen))?;
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, &listener, data(index(&listener)), EventFlags::IN)?;
        epoll::add(&epoll, io::stdin(), data(index(&io::stdin())), EventFlags::IN)?;
        Ok(Self { epoll, listener, servers, accepted: 0, ends: Vec::new(), buffer: vec![0; 256 * 1024] })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let id = usize::try_from(event.data.u64()).unwrap_or_default();
                if id == index(&io::stdin()) {
                    return Ok(());
                }
                if id == index(&self.listener) {
                    self.accept()?;
                } else {
                    self.advance(id, event.flags);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(client) = rustix::net::accept_with(&self.listener, flags) {
            let server = TcpStream::connect(self.servers[self.accepted % self.servers.len()])?;
            server.set_nonblocking(true)?;
            self.accepted += 1;
            self.join(TcpStream::from(client), server)?;
        }
        Ok(())
    }

    fn join(&mut self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        let ids = (index(&client), index(&server));
        for (socket, other) in [(client, ids.1), (server, ids.0)] {
            socket.set_nodelay(true)?;
            let id = index(&socket);
            epoll::add(&self.epoll, &socket, data(id), EventFlags::IN)?;
            if self.ends.len() <= id {
                self.ends.resize_with(id + 1, || None);
            }
            self.ends[id] = Some(End { socket, other, unwritten: Vec::new(), has_ended: false });
        }
        Ok(())
    }

    /// Both ends go when both have ended, or either failed.
    fn advance(&mut self, id: usize, flags: EventFlags) {
        let Some(mut end) = self.ends.get_mut(id).and_then(Option::take) else { return };
        let Some(mut other) = self.ends[end.other].take() else { return };
        let done = self.exchange(&mut end, &mut other, flags);
        let is_over =
            end.has_ended && other.has_ended && end.unwritten.is_empty() && other.unwritten.is_empty();
        if done.is_ok() && !is_over {
            let (this, that) = (other.other, end.other);
            self.ends[this] = Some(end);
            self.ends[that] = Some(other);
        }
    }

    fn exchange(&mut self, end: &mut End, other: &mut End, flags: EventFlags) -> io::Result<()> {
        if !end.unwritten.is_empty() {
            if !flags.contains(EventFlags::OUT) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let written = end.socket.write(&end.unwritten)?;
            end.unwritten.drain(..written);
            if end.unwritten.is_empty() {
                self.watch(end, EventFlags::IN)?;
                self.watch(other, EventFlags::IN)?;
            }
            return Ok(());
        }
        let read = end.socket.read(&mut self.buffer)?;
        if read == 0 {
            end.has_ended = true;
            self.watch(end, EventFlags::empty())?;
            return other.socket.shutdown(Shutdown::Write);
        }
        let written = match other.socket.write(&self.buffer[..read]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        if written < read {
            other.unwritten.extend_from_slice(&self.buffer[written..read]);
            self.watch(other, EventFlags::OUT)?;
            self.watch(end, EventFlags::empty())?;
        }
        Ok(())
    }

    fn watch(&self, end: &End, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, &end.socket, data(index(&end.socket)), interest)?)
    }
}

fn data(id: usize) -> EventData {
    EventData::new_u64(id as u64)
}
