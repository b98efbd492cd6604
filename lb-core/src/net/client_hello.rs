//! A TLS ClientHello read without TLS: the name and the protocols that a client asks for, in clear text on the wire.
//!
//! RFC 8446 section 4.1.2, RFC 6066 section 3 (SNI), RFC 7301 section 3.1 (ALPN). The hello may come in any number
//! of segments and records. With an encrypted ClientHello (RFC 9849) the outer one is seen, as is meant there.

/// What a ClientHello asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The host name in lower case, without a dot at its end.
    pub(crate) server_name: Option<String>,
    pub(crate) protocols: Vec<Vec<u8>>,
}

/// The bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no ClientHello")]
pub(crate) struct NoHello;

/// A record's content type, and a handshake message's type.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 8446 section 5.1: a record's plaintext has at most so many bytes.
const LONGEST_RECORD: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const PROTOCOLS: u16 = 16;

impl ClientHello {
    /// Reads the hello at the front of `bytes`; `None` while it is not whole. Rejects as early as the first byte
    /// that can't be in one, so that a client that speaks something else does not wait for an answer in vain.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, NoHello> {
        let mut message = Vec::new();
        let mut rest = bytes;
        loop {
            let is_begun =
                |at: usize, holds: &dyn Fn(u8) -> bool| rest.get(at).is_none_or(|byte| holds(*byte));
            if !is_begun(0, &|kind| kind == HANDSHAKE) || !is_begun(1, &|major| major == 3) {
                return Err(NoHello);
            }
            let Some((header, behind)) = rest.split_at_checked(5) else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            if length == 0 || length > LONGEST_RECORD {
                return Err(NoHello);
            }
            message.extend_from_slice(&behind[..length.min(behind.len())]);
            if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
                return Err(NoHello);
            }
            if let [_, high, middle, low, body @ ..] = &message[..] {
                let expected = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                if let Some(body) = body.get(..expected) {
                    return Self::of_body(body).map(Some).ok_or(NoHello);
                }
            }
            let Some(next) = behind.get(length..) else { return Ok(None) };
            rest = next;
        }
    }

    fn of_body(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let _version_and_random = body.take(2 + 32)?;
        let _session = body.vector8()?;
        let _suites = body.vector16()?;
        let _compression = body.vector8()?;
        let mut hello = Self::default();
        if body.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = Reader(body.vector16()?);
        while !extensions.0.is_empty() {
            let (kind, content) = (extensions.u16()?, extensions.vector16()?);
            match kind {
                SERVER_NAME => hello.server_name = Some(server_name(content)?),
                PROTOCOLS => hello.protocols = protocols(content)?,
                _ => {}
            }
        }
        Some(hello)
    }
}

fn server_name(content: &[u8]) -> Option<String> {
    let mut names = Reader(Reader(content).vector16()?);
    // RFC 6066: one name of each type, and host names are the only type there is.
    let (kind, name) = (names.take(1)?, names.vector16()?);
    let is_name = |byte: &u8| byte.is_ascii_graphic();
    if kind != [0] || name.is_empty() || name.len() > 255 || !name.iter().all(is_name) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn protocols(content: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(Reader(content).vector16()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        protocols.push(list.vector8()?.to_vec());
    }
    Some(protocols)
}

/// Bytes in the encoding of TLS (RFC 8446 section 3.4).
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.take(1)?[0]);
        self.take(length)
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector16(content: &[u8]) -> Vec<u8> {
        [&u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector16(content)].concat()
    }

    fn sni(name: &str) -> Vec<u8> {
        extension(SERVER_NAME, &vector16(&[&[0][..], &vector16(name.as_bytes())].concat()))
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
        body.extend(vector16(extensions));
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |piece: &[u8]| [&[HANDSHAKE, 3, 1][..], &vector16(piece)].concat();
        message.chunks(size).flat_map(record).collect()
    }

    #[test]
    fn names_and_protocols_are_found_however_the_hello_is_cut() {
        let alpn = extension(PROTOCOLS, &vector16(b"\x02h2\x08http/1.1"));
        let message = message(&[extension(99, b"x"), sni("Shop.Example."), alpn].concat());
        let expected = ClientHello {
            server_name: Some("shop.example".to_owned()),
            protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        for size in [1, 3, 50, 10_000] {
            let bytes = records(&message, size);
            assert_eq!(ClientHello::parse(&bytes), Ok(Some(expected.clone())), "records of {size}");
            let behind = [&bytes[..], b"\x14\x03\x03"].concat();
            assert_eq!(ClientHello::parse(&behind), Ok(Some(expected.clone())));
            for cut in 0..bytes.len() {
                assert_eq!(ClientHello::parse(&bytes[..cut]), Ok(None), "{cut} bytes");
            }
        }
    }

    #[test]
    fn a_hello_may_ask_for_nothing() {
        assert_eq!(ClientHello::parse(&records(&message(&[]), 999)), Ok(Some(ClientHello::default())));
    }

    #[test]
    fn what_is_no_hello_is_known_at_once() {
        let server_hello = records(&[&[2][..], &message(&[])[1..]].concat(), 999);
        let cut_name = records(&message(&extension(SERVER_NAME, &[0, 9, 0])), 999);
        let two_types = records(&message(&extension(SERVER_NAME, &vector16(&[1, 0, 1, b'a']))), 999);
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x02",
            b"\x15\x03\x01\0\x02",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\xff\xff",
            &server_hello,
            &cut_name,
            &two_types,
            &records(&message(&sni("a b")), 999),
            &records(&message(&sni("")), 999),
            &records(&message(b"\0\0\xff"), 999),
        ] {
            assert_eq!(ClientHello::parse(bytes), Err(NoHello), "{}", bytes.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = ClientHello::parse(&bytes);
            let _ = ClientHello::parse(&records(&[&[CLIENT_HELLO, 0, 0, 150][..], &bytes].concat(), 64));
        }
    }
}
