//! The PROXY protocol's header, versions 1 and 2: who the client is, said by the proxy in front.
//!
//! By <https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>. The header stands before everything else on a
//! connection; it is read strictly, and what is not a header is refused and never guessed to be none (section 2:
//! "the receiver MUST be configured to only receive the protocol").
//!
//! Left out on purpose: datagrams, and the addresses of unix sockets, which say nothing about a client.

mod write;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Stream;

pub(crate) use write::Introduction;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// The proxy speaks for itself (a health check), or says nothing: the connection's own addresses count.
    Local,
    /// It speaks for a client.
    Proxied { source: SocketAddr, said: Said },
}

/// What is said of a client's connection beside who the client is: by the proxy in front, or by us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Where the client connected to.
    destination: Option<SocketAddr>,
    /// What version 2 says about the protocol, the name asked for and TLS, as it is written there.
    tlvs: Box<[u8]>,
}

impl Said {
    /// Whether the client came by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        let mut tlvs = &self.tlvs[..];
        while let Some(Ok((kind, value))) = next_tlv(&mut tlvs) {
            if kind == TLV_SSL {
                return value.first().is_some_and(|client| client & CLIENT_SSL != 0);
            }
        }
        false
    }
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("no PROXY protocol header")]
    Absent,
    #[error("malformed PROXY protocol header: {0}")]
    Malformed(&'static str),
    #[error("closed inside a PROXY protocol header")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Section 2.1: no header of version 1 is longer.
const LONGEST_V1: usize = 107;
const SIGNATURE_V1: &[u8] = b"PROXY ";
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 allows 64 KiB of TLVs; nobody sends a twentieth of it.
const LONGEST_V2: usize = 4096;

const TLV_ALPN: u8 = 0x01;
const TLV_AUTHORITY: u8 = 0x02;
const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;
/// Of the first byte of [`TLV_SSL`]: the client came by TLS (section 2.2.6).
const CLIENT_SSL: u8 = 0x01;
const TLV_SSL_VERSION: u8 = 0x21;
const TLV_SSL_CN: u8 = 0x22;

/// Reads the header off the front of `stream`, and not a byte more.
pub(crate) async fn receive(stream: &mut Stream) -> Result<ProxyHeader, ProxyHeaderError> {
    let mut read = Vec::with_capacity(LONGEST_V1);
    let mut space = [0; 512];
    loop {
        let room = (LONGEST_V2 - read.len()).min(space.len());
        let peeked = poll_fn(|cx| stream.poll_peek(cx, &mut space[..room])).await?;
        if peeked == 0 {
            return Err(if read.is_empty() { ProxyHeaderError::Absent } else { ProxyHeaderError::Truncated });
        }
        let before = read.len();
        read.extend_from_slice(&space[..peeked]);
        let parsed = parse(&read)?;
        // What is not the whole header yet is all header.
        let mut left = parsed.as_ref().map_or(peeked, |(_, length)| length - before);
        while left > 0 {
            match poll_fn(|cx| stream.poll_read(cx, &mut space[..left])).await? {
                0 => return Err(ProxyHeaderError::Truncated),
                count => left -= count,
            }
        }
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
    }
}

/// The header at the front of `bytes` and its length; `None` while it is not whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, expected)| byte == expected);
    if begins(SIGNATURE_V1) {
        parse_v1(bytes)
    } else if begins(SIGNATURE_V2) {
        parse_v2(bytes)
    } else {
        Err(ProxyHeaderError::Absent)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let within = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = within.iter().position(|byte| *byte == b'\r') else {
        return if within.len() == LONGEST_V1 { Err(Malformed("it is too long")) } else { Ok(None) };
    };
    match within.get(end + 1) {
        Some(b'\n') => {}
        Some(_) => return Err(Malformed("its line does not end with CRLF")),
        None if within.len() == LONGEST_V1 => return Err(Malformed("it is too long")),
        None => return Ok(None),
    }
    let line = within.get(SIGNATURE_V1.len()..end).ok_or(Malformed("it says nothing"))?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed("it is not ASCII"))?;
    let mut words = line.split(' ');
    let header = match words.next() {
        Some("UNKNOWN") => ProxyHeader::Local,
        Some("TCP4") => v1_addresses(words, |text| text.parse().ok().map(|ip: Ipv4Addr| ip.into()))?,
        Some("TCP6") => v1_addresses(words, |text| text.parse().ok().map(|ip: Ipv6Addr| ip.into()))?,
        _ => return Err(Malformed("its protocol is not TCP4, TCP6 or UNKNOWN")),
    };
    Ok(Some((header, end + 2)))
}

fn v1_addresses<'a>(
    mut words: impl Iterator<Item = &'a str>,
    ip: impl Fn(&str) -> Option<IpAddr>,
) -> Result<ProxyHeader, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let mut next = || words.next().unwrap_or_default();
    let (source, destination) = (ip(next()), ip(next()));
    let (source_port, destination_port) = (port(next()), port(next()));
    if words.next().is_some() {
        return Err(Malformed("it has more than addresses and ports"));
    }
    let address = |ip: Option<IpAddr>, port: Option<u16>| {
        let ip = ip.ok_or(Malformed("an address is none"))?;
        Ok::<_, ProxyHeaderError>(SocketAddr::new(ip, port.ok_or(Malformed("a port is none"))?))
    };
    let source = address(source, source_port)?;
    let destination = Some(address(destination, destination_port)?);
    let said = Said { destination, tlvs: Box::default() };
    Ok(ProxyHeader::Proxied { source, said })
}

/// Decimal digits alone, without leading zeros, up to 65535.
fn port(text: &str) -> Option<u16> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let Some((fixed, rest)) = bytes.split_at_checked(16) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 {
        return Err(Malformed("its version is not 2"));
    }
    if 16 + length > LONGEST_V2 {
        return Err(Malformed("it is too long"));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let addresses = match fixed[13] {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        // Section 2.2: 0x12, 0x22 and 0x32 are datagrams.
        _ => return Err(Malformed("its protocol is not TCP over IPv4 or IPv6, or a unix stream")),
    };
    let is_local = match fixed[12] & 0xf {
        0 => true,
        1 => false,
        _ => return Err(Malformed("its command is neither LOCAL nor PROXY")),
    };
    // Section 2.2: the addresses of a LOCAL header are to be ignored, whatever their number.
    let Some((addresses, tlvs)) = body.split_at_checked(if is_local { 0 } else { addresses }) else {
        return Err(Malformed("it is too short for its addresses"));
    };
    let tlvs = if is_local { Box::default() } else { check_tlvs(tlvs, &bytes[..16 + length])? };
    let proxied = |source: (IpAddr, u16), destination: (IpAddr, u16)| ProxyHeader::Proxied {
        source: source.into(),
        said: Said { destination: Some(destination.into()), tlvs },
    };
    let header = match addresses.len() {
        12 => proxied(
            (v4(addresses, 0).into(), u16_at(addresses, 8)),
            (v4(addresses, 4).into(), u16_at(addresses, 10)),
        ),
        36 => proxied(
            (v6(addresses, 0).into(), u16_at(addresses, 32)),
            (v6(addresses, 16).into(), u16_at(addresses, 34)),
        ),
        _ => ProxyHeader::Local,
    };
    Ok(Some((header, 16 + length)))
}

/// Each value must lie within the header, and the checksum, where there is one, must be right (section 2.2.3). Those
/// that are passed on.
fn check_tlvs(mut tlvs: &[u8], header: &[u8]) -> Result<Box<[u8]>, ProxyHeaderError> {
    use ProxyHeaderError::Malformed;
    let mut passed = Vec::new();
    loop {
        let before = tlvs;
        let Some(next) = next_tlv(&mut tlvs) else { return Ok(passed.into()) };
        let (kind, value) = next?;
        match kind {
            TLV_CRC32C => {
                let value: [u8; 4] =
                    value.try_into().map_err(|_| Malformed("its checksum has not 4 bytes"))?;
                let at = header.len() - tlvs.len() - 4;
                if crc32c(header, at..at + 4) != u32::from_be_bytes(value) {
                    return Err(Malformed("its checksum is wrong"));
                }
            }
            TLV_SSL => {
                // Section 2.2.6: what the client has, and whether its certificate was verified; then values again.
                let (_, mut parts) = value.split_at_checked(5).ok_or(Malformed("a value is cut off"))?;
                while let Some(part) = next_tlv(&mut parts) {
                    part?;
                }
            }
            _ => {}
        }
        if matches!(kind, TLV_ALPN | TLV_AUTHORITY | TLV_SSL) {
            passed.extend_from_slice(&before[..before.len() - tlvs.len()]);
        }
    }
}

/// Takes the first of `tlvs` off, its kind and its value; `None` at their end.
fn next_tlv<'a>(tlvs: &mut &'a [u8]) -> Option<Result<(u8, &'a [u8]), ProxyHeaderError>> {
    let cut_off = Some(Err(ProxyHeaderError::Malformed("a value is cut off")));
    let [kind, high, low, rest @ ..] = *tlvs else {
        return if tlvs.is_empty() { None } else { cut_off };
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let Some((value, behind)) = rest.split_at_checked(length) else { return cut_off };
    *tlvs = behind;
    Some(Ok((*kind, value)))
}

/// CRC32c (RFC 3720 appendix B.4), the bytes in `zero` taken as zeros.
fn crc32c(bytes: &[u8], zero: std::ops::Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        crc ^= u32::from(if zero.contains(&at) { 0 } else { *byte });
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn v4(bytes: &[u8], at: usize) -> Ipv4Addr {
    bytes
        .get(at..at + 4)
        .and_then(|ip| <[u8; 4]>::try_from(ip).ok())
        .map_or(Ipv4Addr::UNSPECIFIED, Into::into)
}

fn v6(bytes: &[u8], at: usize) -> Ipv6Addr {
    bytes
        .get(at..at + 16)
        .and_then(|ip| <[u8; 16]>::try_from(ip).ok())
        .map_or(Ipv6Addr::UNSPECIFIED, Into::into)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// For any bytes: a header lies within them, is found byte by byte as it is at once, and written anew says the same.
#[cfg(feature = "fuzz")]
pub(crate) fn property(bytes: &[u8]) {
    let Ok(Some((header, length))) = parse(bytes) else { return };
    for cut in 0..length {
        assert!(matches!(parse(&bytes[..cut]), Ok(None)), "a piece of a header is none");
    }
    let ProxyHeader::Proxied { source, said } = header else { return };
    let introduction = Introduction { client: Some(source), said: Some(&said) };
    let two = introduction.v2();
    let Ok(Some((ProxyHeader::Proxied { said: again, .. }, whole))) = parse(&two) else {
        panic!("what is written can't be read: {}", two.escape_ascii());
    };
    assert!(whole == two.len() && again.tlvs == said.tlvs, "what is written says something else");
    let one = introduction.v1();
    assert!(matches!(parse(&one), Ok(Some((_, whole))) if whole == one.len()));
}

#[cfg(test)]
mod tests;
