//! Which web pages may ask: none.
//!
//! A browser says for which page it asks (`Origin`), and by which name it came here (`Host`). A page of elsewhere has
//! another origin than the listener; a page that had its own name point here (DNS rebinding) has that name in both.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

/// A name by which the admin listener may be asked, beside its addresses and `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostName(String);

/// Why a text is no [`HostName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name; write it without scheme and port, such as \"lb.internal\"")]
pub(crate) struct HostNameError(String);

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    #[error("the request comes from a web page of another origin, {0:?}")]
    Origin(String),
    #[error("the admin listener is not known as {0:?}")]
    Host(String),
}

impl Foreign {
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Origin(_) => "ask from the admin listener's own page, or without a browser",
            Self::Host(_) => "ask by its address or as localhost, or add the name to `hosts` under [admin]",
        }
    }
}

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !text.is_empty() && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(HostNameError(text.to_owned()))
        }
    }
}

/// Refuses what a web page of elsewhere may have sent. Who sends neither field is no browser.
pub(super) fn check(fields: &HeaderMap, hosts: &[HostName]) -> Result<(), Foreign> {
    let mut named = fields.get_all(HOST).iter().map(text);
    let host = named.next();
    if let Some(wrong) = host.iter().copied().chain(named).find(|host| !is_known(without_port(host), hosts)) {
        return Err(Foreign::Host(wrong.to_owned()));
    }
    let is_own = |origin: &str| {
        let (scheme, authority) = origin.split_once("://").unwrap_or_default();
        let default = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let plain =
            |authority: &str| authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
        host.is_some_and(|host| plain(host) == plain(authority))
    };
    match fields.get_all(ORIGIN).iter().map(text).find(|origin| !is_own(origin)) {
        Some(foreign) => Err(Foreign::Origin(foreign.to_owned())),
        None => Ok(()),
    }
}

/// What is no text is no name either.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

fn is_known(host: &str, hosts: &[HostName]) -> bool {
    let is_v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
    is_v6
        || host.parse::<Ipv4Addr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.0.eq_ignore_ascii_case(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&str, &str)]) -> Result<(), Foreign> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        check(&map, &["lb.internal".parse().unwrap()])
    }

    #[test]
    fn known_hosts_and_the_own_origin_are_answered() {
        for fields in [
            &[][..],
            &[("host", "127.0.0.1:9090")],
            &[("host", "10.1.2.3")],
            &[("host", "[::1]:9090")],
            &[("host", "[fd00::1]")],
            &[("host", "localhost:9090")],
            &[("host", "LocalHost")],
            &[("host", "lb.internal:9090")],
            &[("host", "LB.internal")],
            &[("host", "127.0.0.1:9090"), ("origin", "http://127.0.0.1:9090")],
            &[("host", "lb.internal"), ("origin", "https://lb.internal")],
            &[("host", "lb.internal"), ("origin", "http://LB.internal:80")],
        ] {
            assert_eq!(asked(fields), Ok(()), "{fields:?}");
        }
    }

    #[test]
    fn foreign_hosts_and_origins_are_refused() {
        for (fields, host) in [
            (&[("host", "evil.example")][..], true),
            (&[("host", "evil.example:9090"), ("origin", "http://evil.example:9090")], true),
            (&[("host", "localhost.evil.example")], true),
            (&[("host", "127.0.0.1.evil.example")], true),
            (&[("host", "")], true),
            (&[("host", "127.0.0.1"), ("host", "evil.example")], true),
            (&[("host", "lb.internal@evil.example")], true),
            (&[("host", "::1")], true),
            (&[("host", "127.0.0.1:9090"), ("origin", "http://evil.example")], false),
            (&[("host", "127.0.0.1:9090"), ("origin", "http://127.0.0.1:9091")], false),
            (&[("host", "127.0.0.1:9090"), ("origin", "http://localhost:9090")], false),
            (&[("host", "127.0.0.1:9090"), ("origin", "null")], false),
            (&[("host", "127.0.0.1:9090"), ("origin", "")], false),
            (&[("host", "127.0.0.1"), ("origin", "file://")], false),
            (&[("origin", "http://127.0.0.1")], false),
        ] {
            let refused = asked(fields).unwrap_err();
            assert_eq!(matches!(refused, Foreign::Host(_)), host, "{fields:?}: {refused:?}");
        }
    }

    #[test]
    fn a_name_has_no_scheme_and_no_port() {
        for wrong in ["", "http://lb.internal", "lb.internal:9090", "lb internal", "*"] {
            assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
        }
    }
}
