//! Who asked, how and for what, told to the server: X-Forwarded-For, -Proto, -Host, -Port and -Prefix, and X-Real-IP.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::head::{Field, Known};
use super::host::port_of;

/// What the connection shows about a request's origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded<'a> {
    pub(crate) client: Option<IpAddr>,
    pub(crate) scheme: &'static str,
    pub(crate) host: &'a [u8],
    /// What of the path the server doesn't see, since it was stripped; empty: nothing.
    pub(crate) prefix: &'a [u8],
    /// The client is a proxy of ours: what it says is passed on and appended to.
    pub(crate) is_trusted: bool,
}

/// X-Real-IP, where the proxy tells it: the client, if it has an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealIp(pub(crate) Option<IpAddr>);

impl Forwarded<'_> {
    /// Whether a received field is left out, because [`Forwarded::write`] says it anew, or because nobody believes whom
    /// it comes from.
    pub(crate) fn drops(&self, known: Known) -> bool {
        match known {
            Known::XForwardedFor | Known::XForwardedAlike => true,
            Known::XForwardedPrefix => !self.is_trusted || !self.prefix.is_empty(),
            known => !self.is_trusted && known.is_forwarded(),
        }
    }

    /// Writes the fields that `is_told`. A trusted client's list is continued, in its order; everything else is the
    /// connection's word, not the client's.
    pub(crate) fn write(
        &self,
        queue: &mut Vec<u8>,
        fields: &[Field],
        bytes: &[u8],
        is_told: impl Fn(&[u8]) -> bool,
    ) {
        let received = |known| fields.iter().filter(move |field| self.is_trusted && field.known == known);
        let first = |known| received(known).map(|field| &bytes[field.value]).next();
        if is_told(b"x-forwarded-for") {
            queue.extend_from_slice(b"x-forwarded-for: ");
            for field in received(Known::XForwardedFor) {
                queue.extend_from_slice(&bytes[field.value]);
                queue.extend_from_slice(b", ");
            }
            match self.client {
                Some(client) => write_ip(queue, client),
                // RFC 7239 section 6.3: there is an origin, and it has no address.
                None => queue.extend_from_slice(b"unknown"),
            }
            queue.extend_from_slice(b"\r\n");
        }
        let mut tell = |name: &[u8], parts: [&[u8]; 2]| {
            if is_told(name) {
                for part in [name, b": ", parts[0], parts[1], b"\r\n"] {
                    queue.extend_from_slice(part);
                }
            }
        };
        let (proto, host) = (first(Known::XForwardedProto), first(Known::XForwardedHost));
        if proto.is_none() {
            tell(b"x-forwarded-proto", [self.scheme.as_bytes(), b""]);
        }
        if host.is_none() && !self.host.is_empty() {
            tell(b"x-forwarded-host", [self.host, b""]);
        }
        if received(Known::XForwardedPort).next().is_none() {
            // Of the host and by the scheme that the server is told.
            let scheme = if proto.is_some_and(is_https) { "https" } else { self.scheme };
            tell(b"x-forwarded-port", [port_of(host.unwrap_or(self.host), scheme), b""]);
        }
        if !self.prefix.is_empty() {
            // What a proxy in front stripped comes before.
            let outer = first(Known::XForwardedPrefix).unwrap_or_default();
            tell(b"x-forwarded-prefix", [outer.strip_suffix(b"/").unwrap_or(outer), self.prefix]);
        }
    }
}

impl RealIp {
    pub(crate) const NAME: &str = "x-real-ip";

    pub(crate) fn write(self, queue: &mut Vec<u8>) {
        if let Some(client) = self.0 {
            queue.extend_from_slice(b"x-real-ip: ");
            write_ip(queue, client);
            queue.extend_from_slice(b"\r\n");
        }
    }
}

/// Of several proxies the first speaks of the client.
fn is_https(proto: &[u8]) -> bool {
    let first = proto.split(|&byte| byte == b',').next().unwrap_or_default();
    first.trim_ascii().eq_ignore_ascii_case(b"https")
}

/// The client that a request comes from: who connected, or where that is a trusted proxy, whom it tells of last in
/// X-Forwarded-For, and so on until one is told of that is not trusted.
pub(crate) fn client_of(
    peer: Option<IpAddr>,
    trusted: &[IpNet],
    fields: &[Field],
    bytes: &[u8],
) -> Option<IpAddr> {
    let mut client = peer?;
    let lists = fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    for told in lists.flat_map(|field| bytes[field.value].rsplit(|&byte| byte == b',')) {
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        // Beyond what can't be read nobody is known.
        let Some(told) = read_ip(told) else { break };
        client = told;
    }
    Some(client)
}

/// An address as proxies write it, some with a port behind it.
fn read_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    text.parse::<IpAddr>().ok().or_else(bracketed).or_else(with_port).map(|ip| ip.to_canonical())
}

/// An address as text; an IPv4 one by hand, since `write!` costs some 700 instructions and every request has one.
fn write_ip(queue: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    queue.push(b'.');
                }
                queue.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        // Infallible: writing to a Vec.
        IpAddr::V6(ip) => drop(write!(queue, "{ip}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse_request;
    use crate::http::head::RequestHead;

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for text in ["0.0.0.0", "10.0.200.9", "255.255.255.255", "::1", "2001:db8::ff"] {
            let mut queue = Vec::new();
            write_ip(&mut queue, text.parse().unwrap());
            assert_eq!(String::from_utf8(queue).unwrap(), text);
        }
    }

    #[test]
    fn the_client_is_the_last_that_a_trusted_proxy_tells_of_and_does_not_trust() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, told, client) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7"], "192.0.2.7"),
            ("192.0.2.1", &["192.0.2.7"], "192.0.2.1"),
            ("10.0.0.1", &["6.6.6.6, 192.0.2.7 , 10.9.9.9"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6", "192.0.2.7", "10.9.9.9,fd00::1"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("fd00::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["", "192.0.2.7,"], "10.0.0.1"),
        ] {
            let fields: String = told.iter().map(|told| format!("X-Forwarded-For: {told}\r\n")).collect();
            let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
            let mut head = RequestHead::default();
            assert!(matches!(parse_request(&bytes, 16, &mut head), Ok(Some(_))));
            let found = client_of(Some(peer.parse().unwrap()), &trusted, &head.fields, &bytes);
            assert_eq!(found, Some(client.parse().unwrap()), "{peer} {told:?}");
        }
        assert_eq!(client_of(None, &trusted, &[], b""), None);
    }
}
