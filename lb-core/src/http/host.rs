//! What may stand in `Host` and as a target's authority.

/// Whether `authority` is a host with an optional port (RFC 3986 section 3.2, without user information, which
/// RFC 9110 section 4.2.4 tells us not to believe). An empty host is refused: there is nothing to route by.
pub(crate) fn is_valid_authority(authority: &[u8]) -> bool {
    let (host, port) = split_port(authority);
    let is_host = match host {
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        _ => !host.is_empty() && is_registered_name(host),
    };
    is_host && port.is_none_or(is_port)
}

/// The host without its port, as routes compare it.
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    split_port(authority).0
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    // A colon inside brackets belongs to an IPv6 address.
    let after_brackets = memchr::memrchr(b']', authority).map_or(0, |at| at + 1);
    match memchr::memchr(b':', &authority[after_brackets..]) {
        Some(at) => (&authority[..after_brackets + at], Some(&authority[after_brackets + at + 1..])),
        None => (authority, None),
    }
}

/// An empty port means the scheme's own (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.is_empty()
        || (port.len() <= 5
            && port.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok()))
}

/// RFC 3986's reg-name: unreserved, percent-encoded, sub-delims, except the comma that joins two Host fields.
fn is_registered_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'%' if tail.len() >= 2 && tail[..2].iter().all(u8::is_ascii_hexdigit) => &tail[2..],
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';'
            | b'=' => tail,
            _ if first.is_ascii_alphanumeric() => tail,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (authority, expected) in [
            ("a", true),
            ("shop.example:8080", true),
            ("shop.example:", true),
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("[::1]", true),
            ("%41.example", true),
            ("", false),
            (":80", false),
            ("a:99999", false),
            ("a:-1", false),
            ("a:80:80", false),
            ("[::1", false),
            ("[zz]", false),
            ("[::1]x", false),
            ("a b", false),
            ("a,b", false),
            ("user@a", false),
            ("a/b", false),
            ("a%4", false),
            ("a\u{80}", false),
        ] {
            assert_eq!(is_valid_authority(authority.as_bytes()), expected, "{authority:?}");
        }
    }

    #[test]
    fn ports_are_cut_off() {
        for (authority, host) in [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
    }
}
