//! Where a server listens, as configuration writes it: `10.0.0.1:80`, `[::1]:80`, `web1:80`, `unix:/run/app.sock`.
//!
//! An [`Address`] that exists can be dialled or looked up; whether the name exists is discovery's to find out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Where a server listens, before names are resolved.
///
/// ```
/// use lb_core::backend::Address;
/// assert!(matches!("10.0.0.1:80".parse()?, Address::Socket(_)));
/// assert!(matches!("web1:80".parse()?, Address::Name { .. }));
/// assert!(matches!("unix:/run/app.sock".parse()?, Address::Unix(_)));
/// # Ok::<(), lb_core::backend::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A literal IP address and port.
    Socket(SocketAddr),
    /// A host name, looked up when the proxy starts and ever again.
    Name {
        /// The name as written, without the port.
        host: String,
        /// Never zero.
        port: u16,
    },
    /// The path of a Unix stream socket; one that begins with NUL is a name in the abstract namespace (unix(7)).
    Unix(PathBuf),
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing was given.
    #[error("address is empty; write \"host:port\" or \"unix:/path\"")]
    Empty,
    /// A URL where an address belongs.
    #[error("address {0:?} has a scheme; write only \"host:port\"")]
    Scheme(String),
    /// No `:port` at the end.
    #[error("address {0:?} has no port; write \"{0}:80\", for example")]
    NoPort(String),
    /// A port that is no number from 1 to 65535.
    #[error("address {0:?} has a bad port; ports are numbers from 1 to 65535")]
    BadPort(String),
    /// An IPv6 address without brackets.
    #[error("address {0:?} looks like IPv6; put brackets around it, as in \"[::1]:80\"")]
    Brackets(String),
    /// A host that is neither an IP address nor a name.
    #[error("address {0:?} has a bad host; use an IP address or a name of letters, digits, '-', '_' and '.'")]
    BadHost(String),
    /// `unix:` without a usable path.
    #[error("address {0:?} has no usable path; write \"unix:/run/app.sock\", at most 107 bytes")]
    BadPath(String),
}

impl From<std::convert::Infallible> for AddressError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(text, path);
        }
        if text.contains("://") {
            return Err(AddressError::Scheme(text.to_owned()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(AddressError::Brackets(text.to_owned()));
        }
        if text.starts_with('[') && text.ends_with(']') {
            return Err(AddressError::NoPort(text.to_owned()));
        }
        let port = port_number(port).ok_or_else(|| AddressError::BadPort(text.to_owned()))?;
        // The standard parser also knows IPv6 scopes such as [fe80::1%2]:80.
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(addr));
        }
        if host.contains(':') && host.parse::<IpAddr>().is_ok() {
            return Err(AddressError::Brackets(text.to_owned()));
        }
        if !is_host_name(host) {
            return Err(AddressError::BadHost(text.to_owned()));
        }
        Ok(Self::Name { host: host.to_owned(), port })
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Socket(addr)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => UnixName(path).fmt(f),
        }
    }
}

/// A Unix socket's address as configuration writes it: `unix:/run/app.sock`, or `unix:@app` of an abstract name.
pub(super) struct UnixName<'a>(pub(super) &'a Path);

impl fmt::Display for UnixName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_str().and_then(|path| path.strip_prefix('\0')) {
            Some(name) => write!(f, "unix:@{name}"),
            None => write!(f, "unix:{}", self.0.display()),
        }
    }
}

fn unix(text: &str, path: &str) -> Result<Address, AddressError> {
    // unix(7): sun_path holds 108 bytes on Linux, the final NUL included.
    let is_usable = !path.is_empty() && path != "@" && path.len() <= 107 && !path.contains('\0');
    if !is_usable {
        return Err(AddressError::BadPath(text.to_owned()));
    }
    Ok(Address::Unix(match path.strip_prefix('@') {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => PathBuf::from(path),
    }))
}

fn port_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}

/// RFC 1123 section 2.1 host names, and underscores, which Compose puts into service names.
/// A last label of digits only is refused (WHATWG URL, "ends in a number"): `10.0.0.300` is a typo, not a name.
fn is_host_name(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let ends_in_number =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(is_label) && !ends_in_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_addresses_and_back() {
        let name = |host: &str, port| Address::Name { host: host.into(), port };
        let cases = [
            ("10.0.0.1:80", Address::Socket("10.0.0.1:80".parse().unwrap())),
            ("[::1]:8080", Address::Socket("[::1]:8080".parse().unwrap())),
            ("web1:80", name("web1", 80)),
            ("shop_web-1.internal.:65535", name("shop_web-1.internal.", 65535)),
            ("localhost:1", name("localhost", 1)),
            ("unix:/run/app.sock", Address::Unix("/run/app.sock".into())),
            ("unix:@app", Address::Unix("\0app".into())),
        ];
        for (text, expected) in cases {
            let parsed: Address = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(parsed, expected, "{text}");
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn wrong_texts_say_what_to_do() {
        let long_path = format!("unix:/{}", "x".repeat(107));
        let long_label = format!("{}:80", "x".repeat(64));
        type Problem = fn(String) -> AddressError;
        let cases: [(&str, Problem); 17] = [
            ("http://web1:80", AddressError::Scheme),
            ("web1", AddressError::NoPort),
            ("10.0.0.1", AddressError::NoPort),
            ("[::1]", AddressError::NoPort),
            ("web1:", AddressError::BadPort),
            ("web1:0", AddressError::BadPort),
            ("web1:+80", AddressError::BadPort),
            ("web1:65536", AddressError::BadPort),
            ("web1:http", AddressError::BadPort),
            ("::1", AddressError::Brackets),
            ("fe80::1:80", AddressError::Brackets),
            (":80", AddressError::BadHost),
            ("we b:80", AddressError::BadHost),
            ("10.0.0.300:80", AddressError::BadHost),
            (&long_label, AddressError::BadHost),
            ("unix:", AddressError::BadPath),
            (&long_path, AddressError::BadPath),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Address>(), Err(expected(text.to_owned())), "{text}");
        }
        assert_eq!("".parse::<Address>(), Err(AddressError::Empty));
    }
}
