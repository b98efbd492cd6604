//! X-Forwarded-For, -Proto and -Host: who asked, how and for what, told to the server.

use std::io::Write;
use std::net::IpAddr;

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

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for text in ["0.0.0.0", "10.0.200.9", "255.255.255.255", "::1", "2001:db8::ff"] {
            let mut queue = Vec::new();
            write_ip(&mut queue, text.parse().unwrap());
            assert_eq!(String::from_utf8(queue).unwrap(), text);
        }
    }
}
