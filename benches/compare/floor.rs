//! The floor: a program that moves bytes between two sockets and does nothing else. No parsing, no
//! limits, no timeouts, no metrics, no checks. What a proxy costs beyond it is what its duties
//! cost, and nearly all of the floor is the kernel's TCP. With `splice` the bytes go by a pipe and never
//! through its memory: the floor where many are moved.
//!
//! Each client has a server connection of its own, so where a proxy keeps its connections to
//! servers while clients come and go, this is no floor.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::net::SocketFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::error::Error;

/// As large as lb's and HAProxy's: smaller pipes lose much of what splicing gains, larger ones some.
const PIPE_BYTES: usize = 256 * 1024;

/// Moves bytes between clients of one port and two servers in turn, until standard input closes.
pub(crate) fn run(listen: u16, servers: &[u16], is_splicing: bool) -> Result<(), Error> {
    let servers = servers.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect();
    Floor::bind(listen, servers, is_splicing)
        .and_then(|mut floor| floor.serve())
        .map_err(Error::system("floor"))
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
    is_splicing: bool,
    /// Empty pipes: as many as have ever been full at once, and one.
    pipes: Vec<Pipe>,
}

/// One of two joined sockets.
struct End {
    socket: TcpStream,
    other: usize,
    /// What the socket did not take yet. While there is some, the other end is not read.
    unwritten: Unwritten,
    has_ended: bool,
}

enum Unwritten {
    None,
    Bytes(Vec<u8>),
    /// This many in a pipe.
    Piped(Pipe, usize),
}

struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
}

fn index(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).unwrap_or_default()
}

impl Floor {
    fn bind(listen: u16, servers: Vec<SocketAddr>, is_splicing: bool) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen))?;
        rustix::net::listen(&listener, 4096)?;
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, &listener, data(index(&listener)), EventFlags::IN)?;
        epoll::add(&epoll, io::stdin(), data(index(&io::stdin())), EventFlags::IN)?;
        let buffer = vec![0; 256 * 1024];
        Ok(Self {
            epoll,
            listener,
            servers,
            accepted: 0,
            ends: Vec::new(),
            buffer,
            is_splicing,
            pipes: Vec::new(),
        })
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
            self.ends[id] = Some(End { socket, other, unwritten: Unwritten::None, has_ended: false });
        }
        Ok(())
    }

    /// Both ends go when both have ended, or either failed.
    fn advance(&mut self, id: usize, flags: EventFlags) {
        let Some(mut end) = self.ends.get_mut(id).and_then(Option::take) else { return };
        let Some(mut other) = self.ends[end.other].take() else { return };
        let done = self.exchange(&mut end, &mut other, flags);
        let is_over = end.has_ended && other.has_ended && end.is_written() && other.is_written();
        if done.is_ok() && !is_over {
            let (this, that) = (other.other, end.other);
            self.ends[this] = Some(end);
            self.ends[that] = Some(other);
        }
    }

    fn exchange(&mut self, end: &mut End, other: &mut End, flags: EventFlags) -> io::Result<()> {
        if !end.is_written() {
            if !flags.contains(EventFlags::OUT) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.write_rest(end)?;
            if end.is_written() {
                self.watch(end, EventFlags::IN)?;
                self.watch(other, EventFlags::IN)?;
            }
            return Ok(());
        }
        let read = if self.is_splicing { self.splice(end, other)? } else { self.copy(end, other)? };
        if read == 0 {
            end.has_ended = true;
            self.watch(end, EventFlags::empty())?;
            return other.socket.shutdown(Shutdown::Write);
        }
        if !other.is_written() {
            self.watch(other, EventFlags::OUT)?;
            self.watch(end, EventFlags::empty())?;
        }
        Ok(())
    }

    /// Reads once and writes once; how much was read.
    fn copy(&mut self, from: &mut End, to: &mut End) -> io::Result<usize> {
        let read = from.socket.read(&mut self.buffer)?;
        let written = or_nothing(to.socket.write(&self.buffer[..read]))?;
        if written < read {
            to.unwritten = Unwritten::Bytes(self.buffer[written..read].to_vec());
        }
        Ok(read)
    }

    /// Likewise, through a pipe.
    fn splice(&mut self, from: &mut End, to: &mut End) -> io::Result<usize> {
        let pipe = self.pipes.pop().map_or_else(Pipe::new, Ok)?;
        let read = move_bytes(&from.socket, &pipe.input, 1024 * 1024)?;
        let written = if read == 0 { 0 } else { or_nothing(move_bytes(&pipe.output, &to.socket, read))? };
        if written < read {
            to.unwritten = Unwritten::Piped(pipe, read - written);
        } else {
            self.pipes.push(pipe);
        }
        Ok(read)
    }

    fn write_rest(&mut self, end: &mut End) -> io::Result<()> {
        end.unwritten = match std::mem::replace(&mut end.unwritten, Unwritten::None) {
            Unwritten::None => Unwritten::None,
            Unwritten::Bytes(mut bytes) => {
                bytes.drain(..or_nothing(end.socket.write(&bytes))?);
                if bytes.is_empty() { Unwritten::None } else { Unwritten::Bytes(bytes) }
            }
            Unwritten::Piped(pipe, held) => {
                let held = held - or_nothing(move_bytes(&pipe.output, &end.socket, held))?;
                if held > 0 {
                    Unwritten::Piped(pipe, held)
                } else {
                    self.pipes.push(pipe);
                    Unwritten::None
                }
            }
        };
        Ok(())
    }

    fn watch(&self, end: &End, interest: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, &end.socket, data(index(&end.socket)), interest)?)
    }
}

impl End {
    fn is_written(&self) -> bool {
        matches!(self.unwritten, Unwritten::None)
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&input, PIPE_BYTES)?;
        Ok(Self { output, input })
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

/// A socket that is full takes nothing now.
fn or_nothing(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

fn data(id: usize) -> EventData {
    EventData::new_u64(id as u64)
}
