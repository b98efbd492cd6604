//! One client connection that has at most one request in flight.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};

/// A connection that opens itself when it is needed.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    id: u64,
    socket: Option<TcpStream>,
    in_flight: Option<Exchange>,
    answered: u32,
}

/// A request on its way.
#[derive(Debug)]
struct Exchange {
    due: Duration,
    /// Invariant: the beginning of a response head, empty once the head is whole.
    head: Vec<u8>,
    response: Option<Head>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    status: u16,
    /// Head and body.
    length: u64,
    is_closing: bool,
}

/// What an event on the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    Answered { due: Duration, status: u16, bytes: u64 },
    Closed { in_request: bool },
}

impl Connection {
    pub(crate) fn new(address: SocketAddr, id: usize) -> Self {
        Self { address, id: id as u64, socket: None, in_flight: None, answered: 0 }
    }

    /// Connects if it is not connected.
    pub(crate) fn open(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        if self.socket.is_none() {
            let socket = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            epoll::add(epoll, &socket, EventData::new_u64(self.id), EventFlags::IN)?;
            self.socket = Some(socket);
            self.answered = 0;
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, request: &[u8], due: Duration) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        // A request is far below the smallest socket buffer: it goes out whole or not at all.
        socket.write_all(request)?;
        self.in_flight = Some(Exchange { due, head: Vec::new(), response: None, bytes: 0 });
        Ok(())
    }

    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Progress {
        let Some(socket) = &mut self.socket else { return Progress::Waiting };
        let read = match socket.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Waiting,
            Err(_) => 0,
        };
        let Some(exchange) = &mut self.in_flight else {
            // Between requests only the end can come; bytes would belong to no request.
            self.close();
            return Progress::Closed { in_request: false };
        };
        if read == 0 || exchange.take(&buffer[..read]).is_err() {
            self.close();
            return Progress::Closed { in_request: true };
        }
        match exchange.response {
            Some(head) if exchange.bytes >= head.length => {
                let answered =
                    Progress::Answered { due: exchange.due, status: head.status, bytes: exchange.bytes };
                self.in_flight = None;
                self.answered += 1;
                if head.is_closing {
                    self.close();
                }
                answered
            }
            _ => Progress::Waiting,
        }
    }

    pub(crate) fn close(&mut self) {
        self.socket = None;
        self.in_flight = None;
    }

    /// Requests answered on the present connection.
    pub(crate) fn answered(&self) -> u32 {
        self.answered
    }
}

impl Exchange {
    fn take(&mut self, bytes: &[u8]) -> Result<(), httparse::Error> {
        self.bytes += bytes.len() as u64;
        if self.response.is_some() {
            return Ok(());
        }
        // Nearly always the head is whole in one read and nothing is copied.
        if self.head.is_empty() {
            self.response = Head::parse(bytes)?;
            if self.response.is_none() {
                self.head.extend_from_slice(bytes);
            }
        } else {
            self.head.extend_from_slice(bytes);
            self.response = Head::parse(&self.head)?;
        }
        Ok(())
    }
}

impl Head {
    /// None while the head is not whole. The origins' responses have a Content-Length and a proxy
    /// keeps it: anything else is an error here.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, httparse::Error> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
        let field = |name: &str| {
            let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let body: u64 = field("content-length")
            .and_then(|value| value.parse().ok())
            .ok_or(httparse::Error::HeaderValue)?;
        let is_closing = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self { status: response.code.unwrap_or_default(), length: head as u64 + body, is_closing }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange { due: Duration::ZERO, head: Vec::new(), response: None, bytes: 0 }
    }

    #[test]
    fn a_response_is_counted_whole_however_it_arrives() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 1..response.len() {
            let mut exchange = exchange();
            exchange.take(&response[..cut]).unwrap();
            exchange.take(&response[cut..]).unwrap();
            let head = exchange.response.unwrap();
            assert_eq!((head.status, head.length, exchange.bytes), (200, 41, 41), "cut at {cut}");
        }
    }

    #[test]
    fn a_response_without_a_length_is_an_error() {
        assert!(exchange().take(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(exchange().take(b"SSH-2.0\r\n").is_err());
    }
}
