//! Chunked bodies, decoded in place (RFC 9112 section 7.1).
//!
//! The decoder is fed whatever a read brought, in pieces of any size, and keeps its state between them. It squeezes
//! the framing out of the buffer so that a read's payload lies in one piece: a flood of one-byte chunks leaves as
//! one chunk a read, and costs one pass over the bytes.

use crate::http::head::Known;

/// RFC 9112 section 7.1.1 has a recipient ignore extensions it doesn't know, and limit their length.
const MAX_EXTENSION_BYTES: usize = 1024;
/// All extensions of a body together may be so much longer than its payload: what carries nothing is no body.
const MAX_EXTENSIONS_EXCESS: u64 = 16 * 1024;
/// The trailer section is buffered until it is complete.
const MAX_TRAILER_BYTES: usize = 8 * 1024;
const MAX_TRAILER_FIELDS: usize = 64;

/// Decodes one chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    sender: Sender,
    /// How many bytes more the extensions came to than the payload.
    excess: u64,
    /// The trailer section's lines, `\r\n` included. Empty, and without memory, for nearly all bodies.
    trailers: Vec<u8>,
}

/// The body breaks the grammar of chunks or its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunk or trailer")]
pub(crate) struct BadChunk;

/// What a pass over a piece of the stream came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The payload lies at `skip..skip + payload`.
    pub(crate) skip: usize,
    pub(crate) payload: usize,
    /// How much of the piece was read; less than all of it only when the body has ended.
    pub(crate) consumed: usize,
    pub(crate) is_ended: bool,
}

/// Whose chunks they are. Some servers pad a size with blanks, which then stand before nothing. No grammar has them, and
/// a client that sends them may mean the proxy to see other chunks than its server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sender {
    #[default]
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk's size.
    Size {
        digits: u8,
        size: u64,
    },
    /// In blanks behind the size, which count as those of an extension.
    Blanks {
        size: u64,
        length: usize,
    },
    /// Between the size and its line end.
    Extension {
        size: u64,
        length: usize,
    },
    /// Behind the CR of the size line.
    SizeEnd {
        size: u64,
    },
    Payload {
        left: u64,
    },
    /// The CRLF behind a chunk's payload.
    PayloadCr,
    PayloadLf,
    /// In a line of the trailer section.
    Trailer {
        line: usize,
        after_cr: bool,
    },
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunked {
    pub(crate) fn of(sender: Sender) -> Self {
        Self { sender, ..Self::default() }
    }

    /// Decodes `piece` in place.
    pub(crate) fn decode(&mut self, piece: &mut [u8]) -> Result<Decoded, BadChunk> {
        let mut decoded = Decoded::default();
        let mut at = 0;
        while at < piece.len() && self.state != State::Ended {
            if let State::Payload { left } = self.state {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len() - at);
                if decoded.payload == 0 {
                    decoded.skip = at;
                } else {
                    piece.copy_within(at..at + count, decoded.skip + decoded.payload);
                }
                decoded.payload += count;
                at += count;
                let left = left - count as u64;
                self.state = if left == 0 { State::PayloadCr } else { State::Payload { left } };
            } else {
                self.step(piece[at])?;
                at += 1;
            }
        }
        decoded.consumed = at;
        decoded.is_ended = self.state == State::Ended;
        Ok(decoded)
    }

    /// The trailer section's lines, each with its CRLF, once the body has ended; only fields that may stand there.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                // 15 digits can't overflow and name an exabyte.
                if digits == 15 {
                    return Err(BadChunk);
                }
                State::Size { digits: digits + 1, size: size << 4 | u64::from(hex_value(byte)) }
            }
            (State::Size { digits: 1.., size }, b'\r') => State::SizeEnd { size },
            (State::Size { digits: 1.., size }, b';') => State::Extension { size, length: 0 },
            // RFC 9112 section 7.1.1: a recipient must take blanks before an extension ("BWS").
            (State::Size { digits: 1.., size }, b'\t' | b' ') => {
                State::Blanks { size, length: self.lengthen(0)? }
            }
            (State::Blanks { size, length }, b'\t' | b' ') => {
                State::Blanks { size, length: self.lengthen(length)? }
            }
            (State::Blanks { size, length }, b';') => State::Extension { size, length },
            (State::Blanks { size, .. }, b'\r') if self.sender == Sender::Server => State::SizeEnd { size },
            (State::Extension { size, .. }, b'\r') => State::SizeEnd { size },
            (State::Extension { size, length }, b'\t' | b' '..=b'~' | 0x80..) => {
                State::Extension { size, length: self.lengthen(length)? }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailer { line: 0, after_cr: false },
            (State::SizeEnd { size }, b'\n') => {
                self.excess = self.excess.saturating_sub(size);
                State::Payload { left: size }
            }
            (State::PayloadCr, b'\r') => State::PayloadLf,
            (State::PayloadLf, b'\n') => State::default(),
            (State::Trailer { line, after_cr: true }, b'\n') => return self.end_trailer_line(line),
            (State::Trailer { after_cr: true, .. }, _) | (State::Trailer { .. }, b'\n' | 0) => {
                return Err(BadChunk);
            }
            (State::Trailer { line, .. }, b'\r') => State::Trailer { line, after_cr: true },
            (State::Trailer { line, .. }, _) if self.trailers.len() < MAX_TRAILER_BYTES => {
                self.trailers.push(byte);
                State::Trailer { line: line + 1, after_cr: false }
            }
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    /// One byte more of an extension that had `length`.
    fn lengthen(&mut self, length: usize) -> Result<usize, BadChunk> {
        if length == MAX_EXTENSION_BYTES || self.excess >= MAX_EXTENSIONS_EXCESS {
            return Err(BadChunk);
        }
        self.excess += 1;
        Ok(length + 1)
    }

    fn end_trailer_line(&mut self, line: usize) -> Result<(), BadChunk> {
        if line > 0 {
            self.trailers.extend_from_slice(b"\r\n");
            self.state = State::Trailer { line: 0, after_cr: false };
            return Ok(());
        }
        if !self.trailers.is_empty() {
            self.canonicalise_trailers()?;
        }
        self.state = State::Ended;
        Ok(())
    }

    /// Refuses what is no field or may not be a trailer, and writes the rest as `name: value`.
    fn canonicalise_trailers(&mut self) -> Result<(), BadChunk> {
        self.trailers.extend_from_slice(b"\r\n");
        let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
        let parsed = httparse::parse_headers(&self.trailers, &mut fields).map_err(|_| BadChunk)?;
        let httparse::Status::Complete((_, fields)) = parsed else { return Err(BadChunk) };
        let mut lines = Vec::with_capacity(self.trailers.len());
        for field in fields {
            if is_forbidden_trailer(field.name.as_bytes()) {
                return Err(BadChunk);
            }
            lines.extend_from_slice(field.name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(field.value);
            lines.extend_from_slice(b"\r\n");
        }
        self.trailers = lines;
        Ok(())
    }
}

/// Fields for framing, routing, request modifiers and authentication mean nothing after the body, except to a
/// recipient that merges them into the head (RFC 9110 section 6.5.1).
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const MODIFIERS: [&[u8]; 8] = [
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"proxy-authorization",
        b"range",
        b"set-cookie",
    ];
    !matches!(Known::of(name), Known::Other | Known::CdnLoop | Known::Date | Known::Via)
        || MODIFIERS.iter().any(|modifier| name.eq_ignore_ascii_case(modifier))
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a client's `body` in pieces of `size` bytes: the payload, the trailers, and what is left behind the body.
    fn decode(body: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), BadChunk> {
        decode_of(Sender::Client, body, size)
    }

    fn decode_of(sender: Sender, body: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>, Vec<u8>), BadChunk> {
        let mut decoder = Chunked::of(sender);
        let (mut payload, mut rest) = (Vec::new(), Vec::new());
        let mut is_ended = false;
        for piece in body.chunks(size) {
            let mut piece = piece.to_vec();
            if is_ended {
                rest.extend(piece);
                continue;
            }
            let decoded = decoder.decode(&mut piece)?;
            payload.extend_from_slice(&piece[decoded.skip..decoded.skip + decoded.payload]);
            rest.extend_from_slice(&piece[decoded.consumed..]);
            is_ended = decoded.is_ended;
        }
        if is_ended { Ok((payload, decoder.trailers().to_vec(), rest)) } else { Err(BadChunk) }
    }

    #[test]
    fn the_same_however_it_is_split() {
        for (body, payload, trailers, rest) in [
            ("0\r\n\r\n", "", "", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", "", ""),
            ("1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\n\r\nGET /", "abcd", "", "GET /"),
            ("00005;a=b;c=\"x;y\"\r\nhello\r\n0;z\r\n\r\n", "hello", "", ""),
            ("5 ;a\r\nhello\r\n0 \t ; b = c\r\n\r\n", "hello", "", ""),
            ("A\r\n0123456789\r\n0\r\nx-sum:  1 \r\ny:2\r\n\r\n!", "0123456789", "x-sum: 1\r\ny: 2\r\n", "!"),
        ] {
            for size in 1..=body.len() {
                let decoded = decode(body.as_bytes(), size);
                let expected = (payload.into(), trailers.into(), rest.into());
                assert_eq!(decoded, Ok(expected), "{body:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn extensions_may_not_outgrow_the_payload() {
        let body = |payload: &str, extension: usize, chunks: usize| {
            let chunk = format!("{:x};{}\r\n{payload}\r\n", payload.len(), "x".repeat(extension));
            format!("{}0\r\n\r\n", chunk.repeat(chunks)).into_bytes()
        };
        // As those that sign each chunk do.
        let signed = body(&"a".repeat(1000), 85, 100);
        assert_eq!(decode(&signed, 4096).map(|(payload, ..)| payload.len()), Ok(100_000));
        assert_eq!(decode(&body("a", 1, 100_000), 4096).map(|(payload, ..)| payload.len()), Ok(100_000));
        // Each of 1,024 bytes takes 1,023 of the 16 KiB.
        assert!(decode(&body("a", MAX_EXTENSION_BYTES, 16), 4096).is_ok());
        assert_eq!(decode(&body("a", MAX_EXTENSION_BYTES, 17), 4096), Err(BadChunk));
        assert_eq!(decode(&body("a", MAX_EXTENSION_BYTES, 17), 1), Err(BadChunk));
    }

    #[test]
    fn blanks_behind_a_size_are_taken_from_servers_alone() {
        let padded = b"5  \t\r\nhello\r\n0 \r\n\r\n";
        for size in 1..=padded.len() {
            assert_eq!(decode(padded, size), Err(BadChunk), "in pieces of {size}");
            let decoded = decode_of(Sender::Server, padded, size).map(|(payload, ..)| payload);
            assert_eq!(decoded, Ok(b"hello".to_vec()), "in pieces of {size}");
        }
        for broken in ["5 5\r\nhello", "5 \nhello", "5 x\r\nhello", " 5\r\nhello", "5 \rhello"] {
            let whole = format!("{broken}\r\n0\r\n\r\n");
            assert_eq!(decode_of(Sender::Server, whole.as_bytes(), 4096), Err(BadChunk), "{broken:?}");
        }
        for (blanks, is_taken) in [(MAX_EXTENSION_BYTES, true), (MAX_EXTENSION_BYTES + 1, false)] {
            let long = format!("1{}\r\na\r\n0\r\n\r\n", " ".repeat(blanks));
            assert_eq!(decode_of(Sender::Server, long.as_bytes(), 4096).is_ok(), is_taken, "{blanks}");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        let long_extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_EXTENSION_BYTES + 1));
        let long_trailers = format!("0\r\na: {}\r\n\r\n", "x".repeat(MAX_TRAILER_BYTES));
        for body in [
            "\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-1\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "5;\u{0}\r\nhello\r\n0\r\n\r\n",
            "1000000000000000\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "0\r\nHost: x\r\n\r\n",
            "0\r\nAuthorization: x\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
            &long_extension,
            &long_trailers,
        ] {
            for size in [1, 3, body.len()] {
                assert_eq!(decode(body.as_bytes(), size), Err(BadChunk), "{body:?} in pieces of {size}");
            }
        }
    }
}
