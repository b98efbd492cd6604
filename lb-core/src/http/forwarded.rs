//! X-Forwarded-For, -Proto and -Host: who asked, how and for what, told to the server.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::head::{Field, Known};

/// What the connection shows about a request's origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded<'a> {
    pub(crate) client: Option<IpAddr>,
    pub(crate) scheme: &'static str,
    pub(crate) host: &'a [u8],
    /// The client is a proxy of ours: what it says is passed on and appended to.
    pub(crate) is_trusted: bool,
}

impl Forwarded<'_> {
    /// Whether a received field is left out, because [`Forwarded::write`] says it anew.
    pub(crate) fn drops(&self, known: Known) -> bool {
        match known {
            Known::XForwardedFor | Known::XForwardedAlike => true,
            // What nobody believes is not said in the standard's words (RFC 7239 section 8.1), either.
            Known::XForwardedProto | Known::XForwardedHost | Known::Forwarded => !self.is_trusted,
            _ => false,
        }
    }

    /// Writes the fields. A trusted client's list is continued, in its order; everything else is the connection's
    /// word, not the client's.
    pub(crate) fn write(&self, queue: &mut Vec<u8>, fields: &[Field], bytes: &[u8]) {
        let has = |known| self.is_trusted && fields.iter().any(|field| field.known == known);
        queue.extend_from_slice(b"x-forwarded-for: ");
        if self.is_trusted {
            for field in fields.iter().filter(|field| field.known == Known::XForwardedFor) {
                queue.extend_from_slice(&bytes[field.value]);
                queue.extend_from_slice(b", ");
            }
        }
        match self.client {
            Some(client) => write_ip(queue, client),
            // RFC 7239 section 6.3: there is an origin, and it has no address.
            None => queue.extend_from_slice(b"unknown"),
        }
        if !has(Known::XForwardedProto) {
            queue.extend_from_slice(b"\r\nx-forwarded-proto: ");
            queue.extend_from_slice(self.scheme.as_bytes());
        }
        if !has(Known::XForwardedHost) && !self.host.is_empty() {
            queue.extend_from_slice(b"\r\nx-forwarded-host: ");
            queue.extend_from_slice(self.host);
        }
        queue.extend_from_slice(b"\r\n");
    }
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
