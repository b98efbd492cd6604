//! One end of a connection, read strictly: what a proxy writes has to be canonical, not merely understandable.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{Message, PATIENCE};

/// A connection of a fake client or origin.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// What the bytes pass through on their way to the stream, if anything.
    layer: Option<Box<dyn Layer>>,
    /// Read and not yet taken.
    buffer: Vec<u8>,
    told: Option<Arc<Told>>,
}

/// A protocol between a stream and the bytes that are meant, such as TLS.
pub trait Layer: Read + Write + Send + fmt::Debug {}

impl<T: Read + Write + Send + fmt::Debug> Layer for T {}

/// Words from a test to an origin's scripts, each heard once.
#[derive(Debug, Default)]
pub(super) struct Told {
    words: Mutex<usize>,
    spoken: Condvar,
}

impl Told {
    pub(super) fn tell(&self) {
        *self.words.lock().unwrap() += 1;
        self.spoken.notify_one();
    }

    fn wait(&self) {
        let words = self.words.lock().unwrap();
        let (mut words, waited) =
            self.spoken.wait_timeout_while(words, PATIENCE, |words| *words == 0).unwrap();
        assert!(!waited.timed_out(), "a script that is never told to go on");
        *words -= 1;
    }
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        Self::new(stream)
    }
}

/// How a peer closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// In order, by the end of the stream.
    End,
    /// By a reset.
    Reset,
}

impl Wire {
    /// Connects to `address`.
    pub fn connect(address: &str) -> Self {
        Self::new(TcpStream::connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}")))
    }

    /// Another descriptor of the socket, for a layer that [`put_on`](Self::put_on) takes.
    pub fn socket(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Lets all that follows pass through `layer`, which owns another descriptor of the socket.
    pub fn put_on(&mut self, layer: impl Layer + 'static) {
        self.layer = Some(Box::new(layer));
    }

    pub(super) fn told_by(self, told: &Arc<Told>) -> Self {
        Self { told: Some(Arc::clone(told)), ..self }
    }

    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, layer: None, buffer: Vec::new(), told: None }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("sending");
        self
    }

    /// Sends bytes to a peer that may have closed.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.layer {
            Some(layer) => layer.write_all(bytes.as_ref()).and_then(|()| layer.flush()),
            None => self.stream.write_all(bytes.as_ref()),
        }
    }

    /// Sends bytes one at a time, each in a segment of its own, to a peer that may close meanwhile.
    pub fn send_byte_by_byte(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            if self.try_send([*byte]).is_err() {
                return;
            }
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> &mut Self {
        // A peer that has gone already needs no telling.
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Closes the connection by a reset.
    pub fn reset(self) {
        self.reset_on_close();
    }

    /// Makes the close that comes a reset.
    pub fn reset_on_close(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// In a script: waits for one call of [`Origin::tell`](super::Origin::tell).
    pub fn until_told(&self) {
        self.told.as_ref().expect("a wire of an origin").wait();
    }

    /// Waits for bytes or the end; whether it is the end.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().map_or_else(|error| is_reset(&error), |count| count == 0)
    }

    /// Bounds what the kernel buffers for this end, for a peer that is to notice that nobody reads.
    pub fn buffer_little(&mut self) {
        socket2::SockRef::from(&self.stream).set_recv_buffer_size(4096).unwrap();
    }

    /// Where the other end is.
    pub fn peer(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// Where this end is.
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Reads one response, interim ones too.
    ///
    /// # Panics
    /// When there is none, or it is not strictly right.
    pub fn response(&mut self) -> Message {
        self.message(Framing::Response).expect("a response, not the end of the connection")
    }

    /// Reads one response to a HEAD: it has no body, whatever it says.
    ///
    /// # Panics
    /// As [`response`](Self::response).
    pub fn response_to_head(&mut self) -> Message {
        self.message(Framing::Bodiless).expect("a response, not the end of the connection")
    }

    /// Reads one request; none when the peer has closed instead.
    ///
    /// # Panics
    /// When it is not strictly right, or cut off.
    pub fn request(&mut self) -> Option<Message> {
        self.message(Framing::Request)
    }

    /// Reads one request; none when the peer has closed before it, or within it.
    ///
    /// # Panics
    /// When it is not strictly right.
    pub fn whole_request(&mut self) -> Option<Message> {
        self.try_message(Framing::Request).unwrap_or_default()
    }

    /// Reads a head and leaves its body unread.
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn head(&mut self) -> Option<Message> {
        self.message(Framing::Bodiless)
    }

    /// Reads the body behind a request's head that [`head`](Self::head) read; none when the peer closes within it.
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn rest_of_request(&mut self, head: Message) -> Option<Message> {
        self.try_rest(head, Framing::Request).ok()
    }

    /// Reads the body behind a response's head that [`head`](Self::head) read; none when the peer closes within it.
    ///
    /// # Panics
    /// As [`response`](Self::response).
    pub fn rest_of_response(&mut self, head: Message) -> Option<Message> {
        self.try_rest(head, Framing::Response).ok()
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Panics
    /// When the peer closes before.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        self.try_exactly(length).expect("so many bytes")
    }

    /// Reads what there is until the peer closes, and how it does.
    pub fn until_closed(&mut self) -> (Vec<u8>, Closing) {
        loop {
            match self.fill() {
                Ok(0) => return (std::mem::take(&mut self.buffer), Closing::End),
                Ok(_) => {}
                Err(error) if is_reset(&error) => return (std::mem::take(&mut self.buffer), Closing::Reset),
                Err(error) => panic!("waiting for the peer to close: {error}"),
            }
        }
    }

    /// # Panics
    /// When the peer sends anything more, or does not close in order.
    pub fn expect_closed(&mut self) {
        let (rest, closing) = self.until_closed();
        assert_eq!((String::from_utf8_lossy(&rest).as_ref(), closing), ("", Closing::End));
    }

    /// Whether nothing has arrived that was not read; does not wait.
    pub fn is_silent(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        self.buffer.is_empty() && matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = vec![0; 64 * 1024];
        let count = match &mut self.layer {
            Some(layer) => layer.read(&mut piece)?,
            None => self.stream.read(&mut piece)?,
        };
        self.buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    fn message(&mut self, framing: Framing) -> Option<Message> {
        self.try_message(framing).expect("a whole message")
    }

    fn try_message(&mut self, framing: Framing) -> Result<Option<Message>, Cut> {
        if self.buffer.is_empty() && self.fill_some().is_err() {
            return Ok(None);
        }
        let start = self.line()?;
        let fields = self.fields()?;
        self.try_rest(Message { start, fields, ..Message::default() }, framing).map(Some)
    }

    fn try_rest(&mut self, mut message: Message, framing: Framing) -> Result<Message, Cut> {
        match self.body_of(&message, framing) {
            Body::None => {}
            Body::Length(length) => message.body = self.try_exactly(length)?,
            Body::Chunked => self.read_chunks(&mut message)?,
            Body::UntilClose => {
                let (body, closing) = self.until_closed();
                assert_eq!(closing, Closing::End, "a body that the end of the connection ends");
                message.body = body;
            }
        }
        Ok(message)
    }

    fn body_of(&self, message: &Message, framing: Framing) -> Body {
        let length = message.field("content-length");
        let coding = message.field("transfer-encoding");
        assert!(length.is_none() || coding.is_none(), "two framings: {message:?}");
        if framing == Framing::Bodiless {
            return Body::None;
        }
        if framing == Framing::Response && (message.status() < 200 || matches!(message.status(), 204 | 304)) {
            assert_eq!(coding, None, "a body where there is none: {message:?}");
            assert!(length.is_none() || message.status() == 304, "a length where there is none: {message:?}");
            return Body::None;
        }
        match (length, coding) {
            (Some(length), _) => Body::Length(length.parse().expect("a length")),
            (None, Some("chunked")) => Body::Chunked,
            (None, Some(other)) => panic!("transfer-encoding: {other}"),
            (None, None) if framing == Framing::Request => Body::None,
            (None, None) => Body::UntilClose,
        }
    }

    fn read_chunks(&mut self, message: &mut Message) -> Result<(), Cut> {
        loop {
            let size = self.line()?;
            let length =
                usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk's size: {size:?}"));
            assert_eq!(format!("{length:x}"), size, "a canonical chunk size");
            if length == 0 {
                message.trailers = self.fields()?;
                return Ok(());
            }
            message.body.extend(self.try_exactly(length)?);
            assert_eq!(self.try_exactly(2)?, b"\r\n", "the end of a chunk");
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, Cut> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) =
                line.split_once(": ").unwrap_or_else(|| panic!("a canonical field: {line:?}"));
            assert_eq!(value.trim_matches([' ', '\t']), value, "a canonical field: {line:?}");
            fields.push((name.to_owned(), value.to_owned()));
        }
    }

    /// A line, without its CRLF.
    fn line(&mut self) -> Result<String, Cut> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: String = self.buffer.drain(..=at).map(char::from).collect();
                let line =
                    line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a line that ends in CRLF: {line:?}"));
                assert!(!line.contains('\r'), "a bare CR: {line:?}");
                return Ok(line.to_owned());
            }
            self.fill_some()?;
        }
    }

    fn try_exactly(&mut self, length: usize) -> Result<Vec<u8>, Cut> {
        while self.buffer.len() < length {
            self.fill_some()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_some(&mut self) -> Result<(), Cut> {
        match self.fill() {
            Ok(0) => Err(Cut),
            Ok(_) => Ok(()),
            Err(error) if is_reset(&error) => Err(Cut),
            Err(error) => panic!("waiting for bytes: {error}"),
        }
    }
}

/// The connection ended where more had to come.
#[derive(Debug)]
struct Cut;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Request,
    Response,
    Bodiless,
}

#[derive(Debug)]
enum Body {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

pub(super) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
