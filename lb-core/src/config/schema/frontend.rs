//! `[frontend.NAME]` and its tables but the routes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{FrontendTls, Route};
use crate::backend::Address;
use crate::config::diagnostics::{At, Place, quoted};
use crate::config::reader::{Keys, Miss, Read, Record, Value};
use crate::config::units::{Period, Size};
use crate::config::values::{Named, Parsed, Positive, Several, choice};
use crate::http::{self, FrontendTimeouts};
use crate::tcp;

/// `[frontend.NAME]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Frontend {
    pub(crate) listen: Several<Parsed<ListenAddress>>,
    pub(crate) listen_mode: Option<At<SocketMode>>,
    pub(crate) listen_owner: Option<At<Account>>,
    pub(crate) listen_group: Option<At<Account>>,
    pub(crate) mode: Mode,
    pub(crate) max_connections: usize,
    pub(crate) backend: Option<At<String>>,
    pub(crate) accept_proxy: At<bool>,
    pub(crate) trusted_proxies: Option<Several<Parsed<Network>>>,
    pub(crate) via: Option<At<String>>,
    pub(crate) http2: bool,
    pub(crate) tls: Option<At<FrontendTls>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    /// Left out of the serialised form: thousands, compared one by one.
    #[serde(skip)]
    pub(crate) routes: Option<At<Vec<At<Route>>>>,
}

impl Record for Frontend {
    const KIND: &'static str = "frontend";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        // Absence is reported; the other keys are read for their own problems.
        let listen = keys.need::<Several<_>>("listen");
        if let Some(value) = keys.value("listen").filter(|value| value.is_empty_list()) {
            value.wrong("`listen` is empty", "write `listen = \":80\"`");
        }
        let mode = keys.or("mode", Mode::default());
        let accept_proxy = keys.take("accept_proxy").unwrap_or_default();
        let mut timeouts = keys.or("timeouts", Timeouts::default());
        timeouts.idle.get_or_insert(mode.idle());
        if mode == Mode::Tcp {
            without_effect(keys, accept_proxy.value);
        }
        Ok(Self {
            listen: listen.map(|at| at.value).unwrap_or_default(),
            listen_mode: keys.take("listen_mode"),
            listen_owner: keys.take("listen_owner"),
            listen_group: keys.take("listen_group"),
            mode,
            max_connections: keys.or("max_connections", 0),
            backend: keys.take("backend"),
            accept_proxy,
            trusted_proxies: keys.take("trusted_proxies").map(|at| at.value),
            via: keys.take("via"),
            http2: keys.or("http2", true),
            tls: keys.take("tls"),
            timeouts,
            limits: keys.or("limits", Limits::default()),
            routes: keys.take("routes"),
        })
    }
}

/// Warns of keys that only mode http reads.
fn without_effect(keys: &mut Keys<'_>, accepts_proxy: bool) {
    let timeouts = keys.value("timeouts").and_then(|timeouts| timeouts.keys(Timeouts::KIND).ok());
    let of_timeouts = timeouts.map(|mut timeouts| ["body"].map(|key| (key, timeouts.value(key))));
    let of_frontend = ["http2", "limits", "trusted_proxies", "via"].map(|key| (key, keys.value(key)));
    // These say whose PROXY headers are taken, and how long one may take.
    let has_effect = |key: &str| accepts_proxy && (key == "head" || key == "trusted_proxies");
    for (key, value) in of_timeouts.into_iter().flatten().chain(of_frontend) {
        if let Some(value) = value.filter(|_| !has_effect(key)) {
            let what = format_args!("`{key}` has no effect in mode tcp");
            keys.problems().odd(value.place(), what, "remove it, or write `mode = \"http\"`");
        }
    }
}

/// What a frontend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    Http,
    Tcp,
}

impl Mode {
    /// How long a connection may be idle by default.
    fn idle(self) -> Positive {
        Positive::new(match self {
            Self::Http => FrontendTimeouts::default().idle,
            Self::Tcp => tcp::IDLE,
        })
    }
}

impl Read for Mode {
    const WANTED: (&'static str, &'static str) = ("a mode", "\"http\" or \"tcp\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "mode", &[("http", Self::Http), ("tcp", Self::Tcp)])
    }
}

/// `[frontend.NAME.timeouts]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Timeouts {
    pub(crate) head: Positive,
    /// Absent only until it is known what the mode has.
    pub(crate) idle: Option<Positive>,
    pub(crate) body: Positive,
    pub(crate) keepalive: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        let FrontendTimeouts { head, body, keepalive, .. } = FrontendTimeouts::default();
        Self {
            head: Positive::new(head),
            idle: None,
            body: Positive::new(body),
            keepalive: Period(keepalive),
        }
    }
}

impl Record for Timeouts {
    const KIND: &'static str = "timeouts";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            head: keys.or("head", default.head),
            idle: keys.take("idle").map(|at| at.value),
            body: keys.or("body", default.body),
            keepalive: keys.or("keepalive", default.keepalive),
        })
    }
}

/// `[frontend.NAME.limits]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Limits {
    pub(crate) head_bytes: At<Size>,
    pub(crate) headers: At<usize>,
    pub(crate) body_bytes: Size,
}

impl Default for Limits {
    fn default() -> Self {
        let nowhere = Place::default();
        let limits = http::Limits::default();
        // No usize is larger than a u64 where this runs; if one were, the limit would be the largest.
        let head_bytes = u64::try_from(limits.head_bytes).unwrap_or(u64::MAX);
        Self {
            head_bytes: At::new(Size(head_bytes), nowhere),
            headers: At::new(limits.headers, nowhere),
            body_bytes: Size(limits.body_bytes.unwrap_or(0)),
        }
    }
}

impl Record for Limits {
    const KIND: &'static str = "limits";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            head_bytes: keys.take("head_bytes").unwrap_or(default.head_bytes),
            headers: keys.take("headers").unwrap_or(default.headers),
            body_bytes: keys.or("body_bytes", default.body_bytes),
        })
    }
}

/// An address to listen on: `":80"`, `"0.0.0.0:80"`, `"[::]:80"`, `"localhost:80"`, `"unix:/run/lb.sock"` or
/// `"unix:@lb"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ListenAddress {
    Socket(SocketAddr),
    /// `":80"`: a port of every address of this machine, of IPv4 and of IPv6.
    Every(u16),
    /// A host name and port, looked up when the address is bound.
    Name(String),
    Unix(PathBuf),
    /// A name in the abstract namespace.
    Abstract(String),
}

/// The permission bits of a unix socket, written in octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketMode(pub(crate) u32);

impl Read for SocketMode {
    const WANTED: (&'static str, &'static str) = ("a mode in quotes, in octal digits", "\"0660\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let text = value.text()?;
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            let what = format_args!("{} is no mode of a socket", quoted(&text));
            value.wrong(what, "write the permission bits in octal digits, such as \"0660\"")
        })
    }
}

impl Serialize for SocketMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:04o}", self.0))
    }
}

/// A user or a group, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Account(pub(crate) String);

impl Read for Account {
    const WANTED: (&'static str, &'static str) = ("a name or a number", "\"www-data\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        match value.text() {
            Ok(name) => Ok(Self(name.into_owned())),
            Err(Miss::Type) => Ok(Self(u32::read(value)?.to_string())),
            Err(said) => Err(said),
        }
    }
}

impl Named for ListenAddress {
    const NAMED: (&'static str, &'static str) = ("an address to listen on", "\":80\" or \"127.0.0.1:80\"");
}

/// Why a text is no [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(
        "{0:?} is no address to listen on; write a port as \":80\", an IP address and a port as \"127.0.0.1:80\", \
         or \"unix:/run/lb.sock\""
    )]
    Unreadable(String),
    #[error("{0:?} has no port; write \"{1}:80\", for example")]
    NoPort(String, String),
    #[error("{0:?} has no brackets around its IPv6 address; write \"[{1}]:{2}\"")]
    Brackets(String, Ipv6Addr, u16),
    #[error("{0:?} has no usable path; write \"unix:/run/lb.sock\" or \"unix:@name\", at most 107 bytes")]
    Path(String),
}

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // unix(7): sun_path holds 108 bytes on Linux, the final NUL included.
            let is_usable = (1..=107).contains(&path.len()) && !path.contains('\0');
            return match path.strip_prefix('@') {
                Some(name) if is_usable && !name.is_empty() => Ok(Self::Abstract(name.to_owned())),
                None if is_usable => Ok(Self::Unix(path.into())),
                _ => Err(ListenError::Path(text.to_owned())),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            // A socket of IPv6 alone can't have an address of IPv4, however that is written (ipv6(7), IPV6_V6ONLY).
            return Ok(Self::Socket(SocketAddr::new(address.ip().to_canonical(), address.port())));
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        if let Some((host, port)) = parts
            && let Ok(host) = host.parse()
        {
            return Err(ListenError::Brackets(text.to_owned(), host, port));
        }
        match text.parse() {
            Ok(IpAddr::V4(_)) => return Err(ListenError::NoPort(text.to_owned(), text.to_owned())),
            Ok(IpAddr::V6(_)) => return Err(ListenError::NoPort(text.to_owned(), format!("[{text}]"))),
            Err(_) => {}
        }
        match parts {
            Some(("" | "*", port)) => Ok(Self::Every(port)),
            // Names are told by the same rules as servers' are.
            Some(_) if matches!(text.parse(), Ok(Address::Name { .. })) => Ok(Self::Name(text.to_owned())),
            _ => Err(ListenError::Unreadable(text.to_owned())),
        }
    }
}

/// A network, or a single address as the network of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl Named for Network {
    const NAMED: (&'static str, &'static str) = ("a network", "\"10.0.0.0/8\"");
}

/// Why a text is no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write an address and a prefix length, such as \"10.0.0.0/8\" or \"fd00::/8\"")]
pub(crate) struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| address()).map(Self).map_err(|_| NetworkError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read() {
        let socket = |text: &str| ListenAddress::Socket(text.parse().unwrap());
        for (text, expected) in [
            ("0.0.0.0:80", socket("0.0.0.0:80")),
            ("[::]:443", socket("[::]:443")),
            ("127.0.0.1:0", socket("127.0.0.1:0")),
            ("[::ffff:127.0.0.1]:80", socket("127.0.0.1:80")),
            (":80", ListenAddress::Every(80)),
            ("*:8080", ListenAddress::Every(8080)),
            ("localhost:80", ListenAddress::Name("localhost:80".into())),
            ("unix:/run/lb.sock", ListenAddress::Unix("/run/lb.sock".into())),
            ("unix:lb.sock", ListenAddress::Unix("lb.sock".into())),
            ("unix:@lb", ListenAddress::Abstract("lb".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_say_what_to_write() {
        for (text, expected) in [
            ("", "no address to listen on"),
            (":", "no address to listen on"),
            (":99999", "no address to listen on"),
            ("0.0.0.0", "\"0.0.0.0\" has no port; write \"0.0.0.0:80\""),
            ("::1", "\"::1\" has no port; write \"[::1]:80\""),
            ("::1:8350", "\"::1:8350\" has no brackets around its IPv6 address; write \"[::1]:8350\""),
            ("2001:db8::1", "\"2001:db8::1\" has no port; write \"[2001:db8::1]:80\""),
            ("0.0.0.300:80", "no address to listen on"),
            ("0.0.0.0:99999", "no address to listen on"),
            ("http://0.0.0.0:80", "no address to listen on"),
            ("unix:", "no usable path"),
            ("unix:@", "no usable path"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(error.contains("; "), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_network_may_be_one_address() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("fd00::/8", "fd00::/8"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().0.to_string(), expected);
        }
        assert!("10.0.0.0/33".parse::<Network>().is_err());
    }
}
