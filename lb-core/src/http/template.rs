//! Texts with placeholders for what a request has: values of header fields and targets of redirects.
//!
//! A template is read once, when routes are built. A brace stands for itself when it is written twice, so that nothing in
//! braces is ever sent as it is by mistake.

use std::io::Write;
use std::net::IpAddr;

use super::host::{port_of, without_port};
use super::path::push_escape;
use crate::spelling::nearest;

/// A text whose placeholders are filled in for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Placeholder(Placeholder),
}

/// What stands in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placeholder {
    Client,
    ClientPort,
    Host,
    HostName,
    Method,
    Path,
    Port,
    Query,
    Scheme,
}

/// What a request offers to placeholders.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Variables<'a> {
    /// `{scheme}`: `http` or `https`.
    pub scheme: &'a str,
    /// `{method}`.
    pub method: &'a [u8],
    /// `{host}`, as received, with its port where it has one. `{host_name}` is without, and `{port}` is the port, where
    /// there is none that of the scheme.
    pub host: &'a [u8],
    /// `{path}`, as received.
    pub path: &'a [u8],
    /// Without `?`; `{query}` begins with it, and is empty where the request has none.
    pub query: Option<&'a [u8]>,
    /// `{client}`: the client's address, as the proxies that are trusted tell it.
    pub client: Option<IpAddr>,
    /// `{client_port}`: the port of the client's connection; empty where it is that of another proxy.
    pub client_port: Option<u16>,
}

/// What is wrong with a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A name in braces that means nothing.
    #[error("unknown placeholder `{{{0}}}`; {hint}", hint = hint(.0))]
    Placeholder(String),
    /// `{request_id}`.
    #[error("`{{request_id}}` has no value, since requests get no id yet; take it out")]
    RequestId,
    /// A brace without its other.
    #[error(
        "a brace in `{0}` is not closed or not opened; write placeholders as `{{path}}`, and a brace itself as `{{{{` or `}}}}`"
    )]
    Brace(String),
}

impl Template {
    /// # Errors
    /// When a brace is neither doubled nor around the name of a placeholder.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let braces = &rest[at..];
            if let Some(after) = ["{{", "}}"].iter().find_map(|double| braces.strip_prefix(double)) {
                plain.push_str(&braces[..1]);
                rest = after;
                continue;
            }
            let named = braces.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = named.ok_or_else(|| TemplateError::Brace(text.to_owned()))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Placeholder(Placeholder::parse(name)?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Placeholder(placeholder) => Some(*placeholder),
        })
    }

    /// The text, where that is all.
    pub(crate) fn text(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends it as the value of a header field. Its text was checked when it was parsed; of what a request has, control
    /// characters are encoded, whatever was checked before, so that none ends the line.
    pub(crate) fn push_value(&self, variables: &Variables<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Placeholder(placeholder) => {
                    let start = out.len();
                    placeholder.push(variables, out);
                    encode_controls(start, out);
                }
            }
        }
    }
}

impl Placeholder {
    const ALL: [(&'static str, Self); 9] = [
        ("client", Self::Client),
        ("client_port", Self::ClientPort),
        ("host", Self::Host),
        ("host_name", Self::HostName),
        ("method", Self::Method),
        ("path", Self::Path),
        ("port", Self::Port),
        ("query", Self::Query),
        ("scheme", Self::Scheme),
    ];

    fn parse(name: &str) -> Result<Self, TemplateError> {
        if name == "request_id" {
            return Err(TemplateError::RequestId);
        }
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, placeholder)| *placeholder).ok_or_else(|| TemplateError::Placeholder(name.to_owned()))
    }

    /// Appends what it stands for, as received.
    pub(crate) fn push(self, variables: &Variables<'_>, out: &mut Vec<u8>) {
        match self {
            // Infallible, here and below: writing to a Vec.
            Self::Client => variables.client.into_iter().for_each(|ip| drop(write!(out, "{ip}"))),
            Self::ClientPort => {
                variables.client_port.into_iter().for_each(|port| drop(write!(out, "{port}")))
            }
            Self::Host => out.extend_from_slice(variables.host),
            Self::HostName => out.extend_from_slice(without_port(variables.host)),
            Self::Method => out.extend_from_slice(variables.method),
            Self::Path => out.extend_from_slice(variables.path),
            Self::Port => out.extend_from_slice(port_of(variables.host, variables.scheme)),
            Self::Query => {
                if let Some(query) = variables.query {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
            Self::Scheme => out.extend_from_slice(variables.scheme.as_bytes()),
        }
    }
}

/// Encodes the control characters behind the first `start` bytes.
fn encode_controls(start: usize, out: &mut Vec<u8>) {
    if out[start..].iter().any(u8::is_ascii_control) {
        for byte in out.split_off(start) {
            if byte.is_ascii_control() { push_escape(out, byte) } else { out.push(byte) }
        }
    }
}

/// What to write in place of an unknown placeholder.
fn hint(name: &str) -> String {
    let known = || Placeholder::ALL.iter().map(|(known, _)| *known);
    match nearest(&name.to_ascii_lowercase(), known()) {
        Some(meant) => format!("did you mean `{{{meant}}}`?"),
        None => {
            let all: Vec<String> = known().map(|known| format!("{{{known}}}")).collect();
            format!("use one of {}, or write `{{{{` for a brace", all.join(", "))
        }
    }
}

impl Default for Variables<'_> {
    fn default() -> Self {
        Self {
            scheme: "http",
            method: b"GET",
            host: b"",
            path: b"/",
            query: None,
            client: None,
            client_port: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> Variables<'static> {
        Variables {
            scheme: "https",
            method: b"POST",
            host: b"shop.example:8443",
            path: b"//a%2fb/%7E",
            query: Some(b"c=d"),
            client: Some(IpAddr::from([10, 0, 0, 7])),
            client_port: Some(4711),
        }
    }

    fn value(text: &str, variables: &Variables<'_>) -> String {
        let mut out = b"x: ".to_vec();
        Template::parse(text).expect("a valid template").push_value(variables, &mut out);
        String::from_utf8_lossy(&out[3..]).into_owned()
    }

    #[test]
    fn placeholders_stand_for_what_the_request_has() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("{client}:{client_port}", "10.0.0.7:4711"),
            ("{scheme}://{host}{path}{query}", "https://shop.example:8443//a%2fb/%7E?c=d"),
            ("{host_name} {port} {method}", "shop.example 8443 POST"),
            ("{{client}} {{{method}}}", "{client} {POST}"),
            ("{{\"a\":{{}}}}", "{\"a\":{}}"),
            // A tab of the text stays, as it does in a value without placeholders.
            ("a\tb {method}", "a\tb POST"),
        ] {
            assert_eq!(value(text, &variables()), want, "{text}");
        }
        let bare = Variables { host: b"[::1]", query: None, client: None, client_port: None, ..variables() };
        assert_eq!(value("{host_name} {port}<{query}{client}{client_port}>", &bare), "[::1] 443<>");
    }

    #[test]
    fn what_is_no_placeholder_is_refused_with_what_to_write() {
        for (text, want) in [
            ("{clinet}", "unknown placeholder `{clinet}`; did you mean `{client}`?"),
            ("{Host}", "unknown placeholder `{Host}`; did you mean `{host}`?"),
            ("{hostname}", "unknown placeholder `{hostname}`; did you mean `{host_name}`?"),
            ("{uri}", "unknown placeholder `{uri}`; use one of {client}, {client_port}, {host}, "),
            ("{}", "unknown placeholder `{}`; use one of "),
            ("{request_id}", "`{request_id}` has no value, since requests get no id yet; take it out"),
            (
                "a{b",
                "a brace in `a{b` is not closed or not opened; write placeholders as `{path}`, and a brace itself as `{{` or `}}`",
            ),
            ("}", "a brace in `}` is not closed"),
            ("{{a}", "a brace in `{{a}` is not closed"),
        ] {
            let error = Template::parse(text).expect_err("no template").to_string();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_request_ends_the_line(path in any::<Vec<u8>>(), query in any::<Option<Vec<u8>>>(), host in any::<Vec<u8>>()) {
            let variables = Variables { path: &path, query: query.as_deref(), host: &host, method: &host, ..variables() };
            let mut out = Vec::new();
            let template = Template::parse("{host}{host_name}{port}{path}{query}{method}").expect("valid");
            template.push_value(&variables, &mut out);
            prop_assert!(!out.iter().any(u8::is_ascii_control));
        }

        #[test]
        fn any_text_can_be_written(text in any::<String>()) {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            let template = Template::parse(&doubled).expect("a valid template");
            prop_assert_eq!(template.text(), Some(&*text));
        }
    }
}
