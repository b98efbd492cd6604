//! Writing the header: who a client of ours is.

use std::net::{IpAddr, SocketAddr};

use super::{
    CLIENT_SSL, SIGNATURE_V2, Said, Stream, TLV_ALPN, TLV_AUTHORITY, TLV_SSL, TLV_SSL_CN, TLV_SSL_VERSION,
};

/// A common name that is longer is left out: X.520 has room for 64 characters. So is one with control characters, which
/// readers may cut short.
const LONGEST_NAME: usize = 512;

/// Who a client is, for a header that goes out. The default speaks for ourselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Introduction<'a> {
    pub(crate) client: Option<SocketAddr>,
    pub(crate) said: Option<&'a Said>,
}

/// How the client came by TLS; version 2 alone can say it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsIntroduction<'a> {
    pub(super) version: &'static str,
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) server_name: Option<&'a str>,
    /// It showed a certificate, which was verified.
    pub(super) has_certificate: bool,
    /// The common name of that.
    pub(super) common_name: Option<&'a str>,
}

impl Said {
    /// What is to be said of the connection `stream`, of which `front` is what the proxy in front said.
    pub(crate) fn of(stream: &Stream, front: Option<&Self>) -> Self {
        let tlvs = match (stream.secure(), front) {
            (Some(secure), _) => {
                let tls = TlsIntroduction {
                    version: secure.version(),
                    protocol: secure.protocol(),
                    server_name: secure.server_name(),
                    has_certificate: secure.subject().is_some(),
                    common_name: secure.common_name(),
                };
                tls.tlvs()
            }
            (None, Some(front)) => front.tlvs.clone(),
            (None, None) => Box::default(),
        };
        let destination = front.map_or_else(|| stream.local_addr(), |front| front.destination);
        Self { destination, tlvs }
    }
}

impl Introduction<'_> {
    /// The header of version 1.
    pub(crate) fn v1(&self) -> Vec<u8> {
        let line = match self.addresses() {
            Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
                format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
            }
            Some((from, to)) => {
                format!("PROXY TCP6 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
            }
            None => "PROXY UNKNOWN\r\n".to_owned(),
        };
        line.into_bytes()
    }

    /// The header of version 2.
    pub(crate) fn v2(&self) -> Vec<u8> {
        let mut header = SIGNATURE_V2.to_vec();
        // Without a source this connection is our own doing.
        header.push(if self.client.is_some() { 0x21 } else { 0x20 });
        let mut body = Vec::new();
        match self.addresses() {
            Some((SocketAddr::V4(from), SocketAddr::V4(to))) => {
                header.push(0x11);
                body.extend([from.ip().octets(), to.ip().octets()].as_flattened());
                body.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].as_flattened());
            }
            Some((from, to)) => {
                header.push(0x21);
                body.extend([mapped(from.ip()), mapped(to.ip())].as_flattened());
                body.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].as_flattened());
            }
            None => header.push(0x00),
        }
        body.extend_from_slice(self.said.map_or(&[], |said| &said.tlvs));
        header.extend(u16::try_from(body.len()).unwrap_or(0).to_be_bytes());
        header.extend(body);
        header
    }

    /// Both addresses, in one family.
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        let (from, to) = (canonical(self.client?), canonical(self.said?.destination?));
        let widened = |addr: SocketAddr| SocketAddr::new(mapped(addr.ip()).into(), addr.port());
        Some(if from.is_ipv4() == to.is_ipv4() { (from, to) } else { (widened(from), widened(to)) })
    }
}

impl TlsIntroduction<'_> {
    pub(super) fn tlvs(&self) -> Box<[u8]> {
        let mut body = Vec::new();
        if let Some(protocol) = self.protocol {
            tlv(&mut body, TLV_ALPN, protocol);
        }
        if let Some(name) = self.server_name {
            tlv(&mut body, TLV_AUTHORITY, name.as_bytes());
        }
        // Section 2.2.6: 2 and 4 for a certificate on this connection and in this session; then 0 if it
        // was verified.
        let mut ssl = vec![if self.has_certificate { CLIENT_SSL | 0x06 } else { CLIENT_SSL }];
        ssl.extend(u32::from(!self.has_certificate).to_be_bytes());
        tlv(&mut ssl, TLV_SSL_VERSION, self.version.as_bytes());
        let is_fit = |name: &&str| name.len() <= LONGEST_NAME && !name.contains(char::is_control);
        if let Some(name) = self.common_name.filter(is_fit) {
            tlv(&mut ssl, TLV_SSL_CN, name.as_bytes());
        }
        tlv(&mut body, TLV_SSL, &ssl);
        body.into()
    }
}

/// Every value that we make is a few hundred bytes at most.
fn tlv(into: &mut Vec<u8>, kind: u8, value: &[u8]) {
    into.push(kind);
    into.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
    into.extend_from_slice(value);
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}
