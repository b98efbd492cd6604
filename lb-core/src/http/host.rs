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

/// Whether it names a port.
pub(crate) fn has_port(authority: &[u8]) -> bool {
    split_port(authority).1.is_some_and(|port| !port.is_empty())
}

/// The host without its port, as routes compare it.
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    split_port(authority).0
}

/// Whether both name the same place under a scheme with this default port, which may be left out or empty (RFC 9113
/// section 8.3.1, RFC 3986 section 6.2.3).
pub(crate) fn is_same_authority(one: &[u8], other: &[u8], default_port: Option<u16>) -> bool {
    let port = |port: Option<&[u8]>| match port {
        None | Some([]) => default_port,
        Some(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
    };
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let ((host, one), (other_host, other)) = (split_port(one), split_port(other));
    host.eq_ignore_ascii_case(other_host) && port(one).is_some() && port(one) == port(other)
}

/// The port that `http` and `https` mean where none is named.
pub(crate) fn default_port(scheme: &[u8]) -> Option<u16> {
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(443)
    } else {
        scheme.eq_ignore_ascii_case(b"http").then_some(80)
    }
}

/// The port that a request for `authority` is for, in digits: where it names none, that of `scheme`.
pub(crate) fn port_of<'a>(authority: &'a [u8], scheme: &str) -> &'a [u8] {
    match split_port(authority).1 {
        Some(port) if !port.is_empty() && is_port(port) => port,
        _ if scheme == "https" => b"443",
        _ => b"80",
    }
}

fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    // A colon inside brackets belongs to an IPv6 address.
    let is_bracketed = authority.first() == Some(&b'[');
    let end = if is_bracketed { authority.iter().rposition(|byte| *byte == b']') } else { None };
    let after_brackets = end.map_or(0, |at| at + 1);
    // Not memchr, whose set-up costs more than most hosts are long.
    match authority[after_brackets..].iter().position(|byte| *byte == b':') {
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
    while let Some(at) = rest.iter().position(|byte| !IS_PLAIN[usize::from(*byte)]) {
        rest = match &rest[at..] {
            [b'%', first, second, tail @ ..] if first.is_ascii_hexdigit() && second.is_ascii_hexdigit() => {
                tail
            }
            _ => return false,
        };
    }
    true
}

/// The bytes of a registered name that stand for themselves.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        is_plain[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    is_plain
};

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
    fn a_default_port_may_be_left_out() {
        for (scheme, one, other, expected) in [
            ("https", "a", "A", true),
            ("https", "a:443", "a", true),
            ("https", "A:443", "a:", true),
            ("https", "a:0443", "a", true),
            ("https", "[::1]:443", "[::1]", true),
            ("HTTP", "a", "a:80", true),
            ("http", "a:8080", "a:8080", true),
            ("http", "a:443", "a", false),
            ("https", "a:80", "a", false),
            ("https", "a:443", "b", false),
            ("https", "a:8443", "a", false),
            ("https", "a:x", "a:y", false),
            ("", "a:443", "a", false),
            ("", "a:443", "a:443", true),
        ] {
            let default_port = default_port(scheme.as_bytes());
            let (one, other) = (one.as_bytes(), other.as_bytes());
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(
                    is_same_authority(one, other, default_port),
                    expected,
                    "{scheme}: {one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn ports_are_cut_off() {
        for (authority, host) in [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
    }

    #[test]
    fn a_port_is_that_of_the_scheme_where_none_is_named() {
        for (authority, scheme, port) in [
            ("a:8080", "http", "8080"),
            ("a", "http", "80"),
            ("a:", "https", "443"),
            ("", "https", "443"),
            ("[::1]", "http", "80"),
            ("[::1]:8443", "https", "8443"),
            ("a:8443, b:1", "https", "443"),
        ] {
            assert_eq!(port_of(authority.as_bytes(), scheme), port.as_bytes(), "{authority:?}");
        }
    }
}
