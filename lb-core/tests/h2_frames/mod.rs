//! A client of HTTP/2 that knows frames and nothing else: it sends whatever it is told to, whole or broken.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, reason = "a client that fails fails its test")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use lb_core::testkit::{Layer, PATIENCE};

/// What a client says first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
    pub(crate) const PADDED: u8 = 8;
    pub(crate) const PRIORITY: u8 = 32;
    /// A head that is whole, and all of its message.
    pub(crate) const ALL: u8 = END | END_HEADERS;
}

/// Settings (RFC 9113 section 6.5.2).
pub(crate) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
    pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub(crate) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Error codes (RFC 9113 section 7).
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL: u32 = 1;
    pub(crate) const FLOW_CONTROL: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION: u32 = 9;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What comes from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Frame(Frame),
    /// The connection has ended, under TLS with its notice.
    Closed,
    /// TLS ended without its notice, or inside a frame.
    Cut,
    /// Nothing for as long as anybody would wait.
    Silence,
}

/// One end of a connection.
pub(crate) struct Peer {
    io: Box<dyn Layer>,
    read: Vec<u8>,
    /// The proxy's settings.
    pub(crate) settings: Vec<(u16, u32)>,
    scheme: &'static str,
    /// What should have come in the middle of a case, and what came.
    pub(crate) fault: Option<String>,
}

impl Frame {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What a GOAWAY or RST_STREAM says.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    fn settings(&self) -> Vec<(u16, u32)> {
        let one = |six: &[u8]| {
            let id = u16::from_be_bytes(six[..2].try_into().unwrap());
            (id, u32::from_be_bytes(six[2..].try_into().unwrap()))
        };
        self.payload.chunks(6).map(one).collect()
    }
}

impl Peer {
    /// In clear text.
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(&stream.try_clone().unwrap(), stream, "http")
    }

    /// `io` is what bytes go through on their way to `socket`.
    pub(crate) fn over(socket: &TcpStream, io: impl Layer + 'static, scheme: &'static str) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { io: Box::new(io), read: Vec::new(), settings: Vec::new(), scheme, fault: None }
    }

    /// Says the preface and waits for the proxy's settings, and for its answer to ours.
    pub(crate) fn shake_hands(&mut self) {
        self.send(PREFACE);
        self.settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535)]);
        let (mut has_theirs, mut has_ack) = (false, false);
        while !(has_theirs && has_ack) {
            match self.next() {
                Event::Frame(frame) if frame.kind == kind::SETTINGS && frame.has(flag::ACK) => has_ack = true,
                Event::Frame(frame) if frame.kind == kind::SETTINGS => {
                    self.settings = frame.settings();
                    self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
                    has_theirs = true;
                }
                Event::Frame(_) => {}
                other => return self.complain("the proxy's settings", &other),
            }
        }
    }

    pub(crate) fn setting(&self, id: u16) -> Option<u32> {
        self.settings.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }

    // ------------------------------------------------------------ sending

    /// These bytes; a connection that is closed meanwhile shows where the next event is read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).and_then(|()| self.io.flush());
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// A request's head that is all of it.
    pub(crate) fn get(&mut self, stream: u32) {
        let block = self.head("GET", &[]);
        self.frame(kind::HEADERS, flag::ALL, stream, &block);
    }

    /// A request's head that a body follows.
    pub(crate) fn post(&mut self, stream: u32, more: &[(&str, &str)]) {
        let block = self.head("POST", more);
        self.frame(kind::HEADERS, flag::END_HEADERS, stream, &block);
    }

    pub(crate) fn headers(&mut self, stream: u32, flags: u8, block: &[u8]) {
        self.frame(kind::HEADERS, flags, stream, block);
    }

    pub(crate) fn continuation(&mut self, stream: u32, flags: u8, block: &[u8]) {
        self.frame(kind::CONTINUATION, flags, stream, block);
    }

    pub(crate) fn data(&mut self, stream: u32, flags: u8, bytes: &[u8]) {
        self.frame(kind::DATA, flags, stream, bytes);
    }

    pub(crate) fn priority(&mut self, stream: u32, on: u32, weight: u8) {
        self.frame(kind::PRIORITY, flag::NONE, stream, &[&on.to_be_bytes()[..], &[weight]].concat());
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, flag::NONE, stream, &code.to_be_bytes());
    }

    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) {
        let six = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<_> = settings.iter().flat_map(six).collect();
        self.frame(kind::SETTINGS, flag::NONE, 0, &payload);
    }

    pub(crate) fn ping(&mut self, flags: u8, payload: &[u8; 8]) {
        self.frame(kind::PING, flags, 0, payload);
    }

    pub(crate) fn goaway(&mut self, code: u32) {
        self.frame(kind::GOAWAY, flag::NONE, 0, &[0_u32.to_be_bytes(), code.to_be_bytes()].concat());
    }

    pub(crate) fn window(&mut self, stream: u32, more: u32) {
        self.frame(kind::WINDOW_UPDATE, flag::NONE, stream, &more.to_be_bytes());
    }

    /// The block of a request's head in order, with `more` behind it.
    pub(crate) fn head(&self, method: &str, more: &[(&str, &str)]) -> Vec<u8> {
        [block(&self.pseudo(method)), block(more)].concat()
    }

    /// The four fields that every request has.
    pub(crate) fn pseudo<'a>(&self, method: &'a str) -> [(&'static str, &'a str); 4] {
        [(":method", method), (":scheme", self.scheme), (":path", "/"), (":authority", "shop.example")]
    }

    // ------------------------------------------------------------ reading

    /// The next frame, or what there is instead.
    pub(crate) fn next(&mut self) -> Event {
        loop {
            if let Some(frame) = self.take_frame() {
                return Event::Frame(frame);
            }
            let mut piece = [0; 16 * 1024];
            match self.io.read(&mut piece) {
                Ok(0) if self.read.is_empty() => return Event::Closed,
                Ok(0) => return Event::Cut,
                Ok(count) => self.read.extend_from_slice(&piece[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Event::Closed,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Event::Silence,
                    _ => return Event::Cut,
                },
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        Some(Frame { kind, flags, stream, payload })
    }

    /// The next frame that is so; anything but a frame meanwhile is a fault.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            match self.next() {
                Event::Frame(frame) if is_so(&frame) => return Some(frame),
                Event::Frame(_) => {}
                other => {
                    self.complain(what, &other);
                    return None;
                }
            }
        }
    }

    /// Waits until the proxy has ended its side of the stream.
    pub(crate) fn until_ended(&mut self) {
        self.until("the end of the stream", |frame| {
            matches!(frame.kind, kind::DATA | kind::HEADERS) && frame.has(flag::END)
        });
    }

    /// Waits until the proxy has taken our settings.
    pub(crate) fn until_settled(&mut self) {
        self.until("an answer to our settings", |frame| frame.kind == kind::SETTINGS && frame.has(flag::ACK));
    }

    fn complain(&mut self, wanted: &str, got: &Event) {
        self.fault.get_or_insert_with(|| format!("{wanted} should have come, not {got:?}"));
    }
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK writes those that no table knows (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let one = |(name, value): &(&str, &str)| [&[0][..], &string(name), &string(value)].concat();
    fields.iter().flat_map(one).collect()
}

/// A string without Huffman's code (RFC 7541 section 5.2).
fn string(text: &str) -> Vec<u8> {
    [integer(7, 0, text.len()), text.as_bytes().to_vec()].concat()
}

/// An integer with a prefix of `bits`, the rest of whose first byte is `pattern` (RFC 7541 section 5.1).
pub(crate) fn integer(bits: u32, pattern: u8, value: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value).unwrap();
    let most = (1_usize << bits) - 1;
    let Some(mut left) = value.checked_sub(most) else { return vec![pattern | byte(value)] };
    let mut bytes = vec![pattern | byte(most)];
    while left >= 128 {
        bytes.push(0x80 | byte(left & 0x7f));
        left >>= 7;
    }
    bytes.push(byte(left));
    bytes
}
