//! The origins: four HTTP/1.1 servers in one process on one thread, as cheap as they can be made,
//! because they share a core with the load. A response is prepared once and named by the last
//! segment of the path: `64k` and `1m` are bodies of these sizes, `chunks` is `1m` in chunks of
//! 16 KiB, `close` ends the connection, `inspect` is the request head as it arrived, everything else
//! is 128 bytes that begin with the origin's name.
//!
//! A request's body has a length, and is read and forgotten before the response. Level-triggered
//! epoll: one read, one write a request.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::net::sockopt::set_tcp_nodelay;

use crate::error::Error;

/// The origins in the order of their ports.
pub(crate) const NAMES: [&str; 4] = ["shop1", "shop2", "admin1", "admin2"];

/// Serves one origin on each port until standard input closes, that is until compare has ended,
/// however it ended.
pub(crate) fn run(ports: &[u16]) -> Result<(), Error> {
    let mut server = Server::bind(ports).map_err(Error::system("origins"))?;
    server.serve().map_err(Error::system("origins"))
}

struct Server {
    epoll: OwnedFd,
    listeners: HashMap<u64, (TcpListener, Rc<Responses>)>,
    connections: HashMap<u64, Connection>,
    buffer: Vec<u8>,
}

/// Everything is looked up by its file descriptor.
fn key(socket: &impl AsRawFd) -> u64 {
    u64::try_from(socket.as_raw_fd()).unwrap_or_default()
}

impl Server {
    fn bind(ports: &[u16]) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, io::stdin(), EventData::new_u64(key(&io::stdin())), EventFlags::IN)?;
        let mut listeners = HashMap::new();
        for (&port, name) in ports.iter().zip(NAMES) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            // Std's backlog is 128: too few for 256 clients in TCP mode at once. Listening again widens it.
            rustix::net::listen(&listener, 4096)?;
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, &listener, EventData::new_u64(key(&listener)), EventFlags::IN)?;
            listeners.insert(key(&listener), (listener, Rc::new(Responses::of(name))));
        }
        Ok(Self { epoll, listeners, connections: HashMap::new(), buffer: vec![0; 256 * 1024] })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                let socket = event.data.u64();
                if socket == key(&io::stdin()) {
                    return Ok(());
                }
                if self.listeners.contains_key(&socket) {
                    self.accept(socket);
                } else if let Some(connection) = self.connections.get_mut(&socket)
                    && !connection.advance(&self.epoll, &mut self.buffer)
                {
                    self.connections.remove(&socket);
                }
            }
        }
    }

    fn accept(&mut self, listener: u64) {
        let Some((listener, responses)) = self.listeners.get(&listener) else { return };
        while let Ok((socket, _)) = listener.accept() {
            let connection = Connection {
                responses: Rc::clone(responses),
                socket,
                received: Vec::new(),
                uploading: 0,
                pending: None,
                is_closing: false,
                interest: EventFlags::IN,
            };
            let id = key(&connection.socket);
            let ready = connection.socket.set_nonblocking(true).is_ok()
                && set_tcp_nodelay(&connection.socket, true).is_ok()
                && epoll::add(&self.epoll, &connection.socket, EventData::new_u64(id), EventFlags::IN)
                    .is_ok();
            if ready {
                self.connections.insert(id, connection);
            }
        }
    }
}

/// One client of one origin, usually a proxy.
struct Connection {
    socket: TcpStream,
    responses: Rc<Responses>,
    /// Invariant: empty, or the beginning of a request head without its end.
    received: Vec<u8>,
    /// How much of the request's body is still to come; its response waits in `pending`.
    uploading: usize,
    /// A response and how much of it is written; while there is one, nothing but the request's body is read.
    pending: Option<(Rc<[u8]>, usize)>,
    is_closing: bool,
    interest: EventFlags,
}

impl Connection {
    /// Goes on where the socket allows it; false when the connection has ended.
    fn advance(&mut self, epoll: &OwnedFd, buffer: &mut [u8]) -> bool {
        if self.pending.is_some() && self.uploading == 0 {
            return self.write(epoll) && self.answer(epoll);
        }
        match self.socket.read(buffer) {
            Ok(0) => false,
            Ok(read) => {
                let body = read.min(self.uploading);
                self.uploading -= body;
                self.received.extend_from_slice(&buffer[body..read]);
                self.uploading > 0 || self.write(epoll) && self.answer(epoll)
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn answer(&mut self, epoll: &OwnedFd) -> bool {
        while self.pending.is_none() && !self.received.is_empty() {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            let head = match request.parse(&self.received) {
                Ok(httparse::Status::Complete(head)) => head,
                Ok(httparse::Status::Partial) => return true,
                Err(_) => return false,
            };
            self.is_closing = request
                .headers
                .iter()
                .any(|f| f.name.eq_ignore_ascii_case("connection") && f.value.eq_ignore_ascii_case(b"close"));
            let path = request.path.unwrap_or_default();
            self.is_closing |= path.ends_with("/close");
            let response = self.responses.choose(path, &self.received[..head], self.is_closing);
            let length = request.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
            let body = length.and_then(|f| str::from_utf8(f.value).ok()?.parse().ok()).unwrap_or(0);
            let arrived = self.received.len().min(head + body);
            self.uploading = head + body - arrived;
            self.received.drain(..arrived);
            self.pending = Some((response, 0));
            if self.uploading == 0 && !self.write(epoll) {
                return false;
            }
        }
        true
    }

    fn write(&mut self, epoll: &OwnedFd) -> bool {
        let Some((response, written)) = &mut self.pending else { return true };
        while *written < response.len() {
            match self.socket.write(&response[*written..]) {
                Ok(more) => *written += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.watch(epoll, EventFlags::OUT);
                }
                Err(_) => return false,
            }
        }
        self.pending = None;
        !self.is_closing && self.watch(epoll, EventFlags::IN)
    }

    /// Waits for `interest`, by a system call only where it waited for something else.
    fn watch(&mut self, epoll: &OwnedFd, interest: EventFlags) -> bool {
        if self.interest == interest {
            return true;
        }
        self.interest = interest;
        epoll::modify(epoll, &self.socket, EventData::new_u64(key(&self.socket)), interest).is_ok()
    }
}

/// The responses of one origin, head and body in one piece.
struct Responses {
    small: Rc<[u8]>,
    small_closing: Rc<[u8]>,
    medium: Rc<[u8]>,
    large: Rc<[u8]>,
    chunked: Rc<[u8]>,
}

impl Responses {
    fn of(name: &str) -> Self {
        let body = |size: usize| {
            let mut body = format!("{name}\n").into_bytes();
            body.resize(size, b'.');
            body
        };
        Self {
            small: response(&body(128), ""),
            small_closing: response(&body(128), "connection: close\r\n"),
            medium: response(&body(64 * 1024), ""),
            large: response(&body(1024 * 1024), ""),
            chunked: chunked(&body(1024 * 1024)),
        }
    }

    fn choose(&self, path: &str, head: &[u8], is_closing: bool) -> Rc<[u8]> {
        match path.rsplit('/').next() {
            Some("64k") => Rc::clone(&self.medium),
            Some("1m") => Rc::clone(&self.large),
            Some("chunks") => Rc::clone(&self.chunked),
            Some("inspect") => response(head, ""),
            _ if is_closing => Rc::clone(&self.small_closing),
            _ => Rc::clone(&self.small),
        }
    }
}

fn response(body: &[u8], more_fields: &str) -> Rc<[u8]> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n{more_fields}\r\n"
    );
    [head.as_bytes(), body].concat().into()
}

fn chunked(body: &[u8]) -> Rc<[u8]> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut response = head.as_bytes().to_vec();
    for chunk in body.chunks(16 * 1024) {
        response.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        response.extend_from_slice(chunk);
        response.extend_from_slice(b"\r\n");
    }
    response.extend_from_slice(b"0\r\n\r\n");
    response.into()
}
