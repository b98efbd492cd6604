//! Changes that a route makes to the header fields of a request or a response.
//!
//! Edits are checked when they are made, so that applying them can't fail: names and values are valid fields
//! (RFC 9110 section 5), and none touches what frames a message or belongs to one connection, which is the
//! proxy's own to write. Applied in the order remove, set, add: a field that is both removed and added ends
//! up with the added values only.
//!
//! A value may have placeholders ([`super::template`]), which are filled in for each request.

use http::header::{self, HeaderName, HeaderValue};

use super::head::is_named;
use super::template::{Piece, Placeholder, Template, TemplateError, Variables};

/// An ordered list of field edits; by default none.
///
/// ```
/// use lb_core::http::edits::HeaderEdits;
///
/// let edits = HeaderEdits::new().set("X-Team", "shop")?.set("x-client", "{client}")?.remove("server")?;
/// assert!(edits.drops(b"Server") && edits.drops(b"x-client"));
/// assert!(HeaderEdits::new().set("x-client", "{clinet}").is_err());
/// # Ok::<(), lb_core::http::edits::EditError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Invariant: a name is here at most once.
    set: Vec<(HeaderName, FieldValue)>,
    add: Vec<(HeaderName, FieldValue)>,
    remove: Vec<HeaderName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FieldValue {
    Fixed(HeaderValue),
    /// Invariant: has a placeholder.
    Made(Template),
}

/// The values with placeholders of one [`HeaderEdits`], filled in for one request, in the order of its fields.
#[derive(Debug, Default)]
pub(crate) struct MadeValues {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// Edits with the values that were made for the request in question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestEdits<'a> {
    edits: &'a HeaderEdits,
    made: &'a MadeValues,
}

/// Why an edit is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The name is no field name.
    #[error("`{0}` is not a header name; use letters, digits and hyphens")]
    Name(String),
    /// The value holds what a field value may not.
    #[error("the value of `{0}` holds a line break or a control character; take it out")]
    Value(String),
    /// A brace in the value means nothing.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The field frames the message or belongs to one connection.
    #[error(
        "`{0}` frames the message or belongs to one connection, and the proxy writes it itself; leave it out"
    )]
    Reserved(String),
    /// A request has exactly one Host.
    #[error("`host` can't be added or removed, since a request has exactly one; use set")]
    Host,
    /// The value set for Host is not one.
    #[error("`{0}` is not a host; write a name or an address, with a port if need be")]
    HostValue(String),
}

impl HeaderEdits {
    /// No edits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces all fields called `name` by one with `value`. Of two values set for a name the later counts.
    ///
    /// In a value `{client}`, `{client_port}`, `{host}`, `{host_name}`, `{port}`, `{scheme}`, `{method}`, `{path}` and
    /// `{query}` stand for what the request has, as [`Variables`] tells; a brace itself is written twice. For Host there
    /// are `{host}`, `{host_name}` and `{port}`.
    ///
    /// # Errors
    /// When `name` or `value` is not valid, or the field is the proxy's own; see [`EditError`].
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, EditError> {
        let text = value;
        let (name, value) = (editable(name)?, FieldValue::parse(name, text)?);
        if name == header::HOST && !value.is_host() {
            return Err(EditError::HostValue(text.to_owned()));
        }
        match self.set.iter_mut().find(|(known, _)| *known == name) {
            Some((_, former)) => *former = value,
            None => self.set.push((name, value)),
        }
        Ok(self)
    }

    /// Appends a field, after those of the same name that are there.
    ///
    /// # Errors
    /// As [`HeaderEdits::set`]; Host can't be added.
    pub fn add(mut self, name: &str, value: &str) -> Result<Self, EditError> {
        self.add.push((not_host(editable(name)?)?, FieldValue::parse(name, value)?));
        Ok(self)
    }

    /// Removes all fields called `name`.
    ///
    /// # Errors
    /// When `name` is not valid, or the field is the proxy's own, or Host.
    pub fn remove(mut self, name: &str) -> Result<Self, EditError> {
        self.remove.push(not_host(editable(name)?)?);
        Ok(self)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether received fields of this name, in any letter case, are left out: it is removed, or set anew. So is one
    /// that has `_` for `-`, since some servers can't tell them apart.
    pub fn drops(&self, name: &[u8]) -> bool {
        let mut names = self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
        names.any(|edited| is_named(edited.as_str(), name))
    }

    /// Whether a value has to be made for each request.
    pub(crate) fn has_placeholders(&self) -> bool {
        self.set.iter().chain(&self.add).any(|(_, value)| matches!(value, FieldValue::Made(_)))
    }

    /// Makes the values that have placeholders.
    pub(crate) fn make(&self, variables: &Variables<'_>, made: &mut MadeValues) {
        made.bytes.clear();
        made.ends.clear();
        for (_, value) in self.set.iter().chain(&self.add) {
            if let FieldValue::Made(template) = value {
                template.push_value(variables, &mut made.bytes);
                made.ends.push(made.bytes.len());
            }
        }
    }

    /// With the values that [`make`](Self::make) made of it for a request.
    pub(crate) fn with<'a>(&'a self, made: &'a MadeValues) -> RequestEdits<'a> {
        RequestEdits { edits: self, made }
    }
}

impl<'a> RequestEdits<'a> {
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.edits.drops(name)
    }

    /// The fields to write after those received, names in lower case: first what is set, then what is added.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let (edits, made) = (self.edits, self.made);
        let mut values = made.ends.iter().scan(0, |start, &end| {
            let value = made.bytes.get(*start..end);
            *start = end;
            value
        });
        edits.set.iter().chain(&edits.add).map(move |(name, value)| {
            let value = match value {
                FieldValue::Fixed(value) => value.as_bytes(),
                FieldValue::Made(_) => values.next().unwrap_or_default(),
            };
            (name.as_str().as_bytes(), value)
        })
    }
}

impl FieldValue {
    /// Without the white space around it, which is no part of a value (RFC 9110 section 5.5).
    fn parse(name: &str, text: &str) -> Result<Self, EditError> {
        let template = Template::parse(text.trim_matches([' ', '\t']))?;
        let value = |text: &str| {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| EditError::Value(name.to_owned()))
        };
        if let Some(text) = template.text() {
            return value(text).map(Self::Fixed);
        }
        for piece in template.pieces() {
            if let Piece::Text(text) = piece {
                value(text)?;
            }
        }
        Ok(Self::Made(template))
    }

    /// Whether it is a host, whatever the request.
    fn is_host(&self) -> bool {
        let is_host_text = |text: &[u8]| text.iter().all(|&byte| is_host_byte(byte));
        match self {
            Self::Fixed(value) => !value.is_empty() && is_host_text(value.as_bytes()),
            Self::Made(template) => template.pieces().iter().all(|piece| match piece {
                Piece::Text(text) => is_host_text(text.as_bytes()),
                Piece::Placeholder(placeholder) => {
                    matches!(placeholder, Placeholder::Host | Placeholder::HostName | Placeholder::Port)
                }
            }),
        }
    }
}

/// Whether `byte` may stand in a host with its port (RFC 3986 section 3.2.2, without escapes and userinfo):
/// nothing in a string of them ends an authority or makes it another one.
pub(crate) fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
}

fn editable(name: &str) -> Result<HeaderName, EditError> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Name(name.to_owned()))?;
    if is_reserved(&parsed) {
        return Err(EditError::Reserved(parsed.as_str().to_owned()));
    }
    Ok(parsed)
}

/// Whether the proxy alone writes fields of this name.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str())
}

fn not_host(name: HeaderName) -> Result<HeaderName, EditError> {
    if name == header::HOST { Err(EditError::Host) } else { Ok(name) }
}

/// Framing (RFC 9112 section 6) and hop-by-hop fields (RFC 9110 section 7.6.1).
const RESERVED: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an exchange does with edits, at its plainest.
    fn apply(edits: &HeaderEdits, received: &[(&str, &str)]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kept = received.iter().filter(|(name, _)| !edits.drops(name.as_bytes()));
        let kept = kept.map(|&(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let mut made = MadeValues::default();
        let variables = Variables { host: b"shop.example:80", path: b"/a\r\nb", ..Variables::default() };
        edits.make(&variables, &mut made);
        kept.chain(edits.with(&made).fields().map(|(name, value)| (text(name), text(value)))).collect()
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn set_replaces_add_appends_remove_removes() -> Result<(), EditError> {
        let received = [("A", "1"), ("b", "2"), ("a", "3")];
        let new = HeaderEdits::new;
        let cases = [
            (new(), pairs(&[("a", "1"), ("b", "2"), ("a", "3")])),
            (new().set("A", "x")?, pairs(&[("b", "2"), ("a", "x")])),
            (new().set("a", "x")?.set("A", "y")?, pairs(&[("b", "2"), ("a", "y")])),
            (new().add("a", "x")?, pairs(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "x")])),
            (new().remove("A")?, pairs(&[("b", "2")])),
            (new().add("a", "x")?.remove("a")?, pairs(&[("b", "2"), ("a", "x")])),
            (new().add("a", "y")?.set("a", "x")?, pairs(&[("b", "2"), ("a", "x"), ("a", "y")])),
            (new().set("c", " spaced\t")?, pairs(&[("a", "1"), ("b", "2"), ("a", "3"), ("c", "spaced")])),
            (
                new().set("b", "{host_name}")?.set("a", "1")?.add("c", "<{path}>")?.add("c", "{{}}")?,
                pairs(&[("b", "shop.example"), ("a", "1"), ("c", "</a%0D%0Ab>"), ("c", "{}")]),
            ),
            (new().set("c", "")?.remove("b")?, pairs(&[("a", "1"), ("a", "3"), ("c", "")])),
        ];
        for (edits, want) in cases {
            assert_eq!(apply(&edits, &received), want, "{edits:?}");
        }
        Ok(())
    }

    #[test]
    fn framing_and_hop_by_hop_fields_are_refused() {
        let names = [
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "TE",
            "trailer",
            "Upgrade",
            "Keep-Alive",
            "proxy-connection",
        ];
        for name in names {
            let refused = Err(EditError::Reserved(name.to_ascii_lowercase()));
            assert_eq!(HeaderEdits::new().set(name, "1"), refused, "{name}");
            assert_eq!(HeaderEdits::new().add(name, "1"), refused, "{name}");
            assert_eq!(HeaderEdits::new().remove(name), refused, "{name}");
        }
    }

    #[test]
    fn host_may_be_set_to_a_host_and_nothing_else() {
        let set = |value| HeaderEdits::new().set("Host", value);
        assert!(
            ["shop.example", "shop.example:8080", "[::1]:80", "{host_name}:8080", "www.{host}"]
                .into_iter()
                .all(|value| set(value).is_ok())
        );
        for value in ["", "a b", "user@shop.example", "shop.example/x", "{path}", "{host}/x", "{client}"] {
            assert_eq!(set(value), Err(EditError::HostValue(value.to_owned())));
        }
        assert_eq!(HeaderEdits::new().add("host", "shop.example"), Err(EditError::Host));
        assert_eq!(HeaderEdits::new().remove("HOST"), Err(EditError::Host));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for name in ["", "a b", "a:", "a\r\nb", ":path", "é"] {
            assert_eq!(HeaderEdits::new().remove(name), Err(EditError::Name(name.to_owned())));
        }
        for value in ["a\r\nb: c", "a\nb", "\0", "\x7f"] {
            assert_eq!(HeaderEdits::new().add("x", value), Err(EditError::Value("x".to_owned())));
            let made = format!("{{client}}-{value}");
            assert_eq!(HeaderEdits::new().add("x", &made), Err(EditError::Value("x".to_owned())));
        }
        assert!(matches!(HeaderEdits::new().set("x", "{clinet}"), Err(EditError::Template(_))));
    }

    proptest! {
        #[test]
        fn nothing_that_is_accepted_breaks_a_line(name in any::<String>(), value in any::<String>()) {
            let accepted = HeaderEdits::new().set(&name, &value).or_else(|_| HeaderEdits::new().set("x", &value));
            let made = MadeValues::default();
            for (name, value) in accepted.iter().flat_map(|edits| edits.with(&made).fields()) {
                prop_assert!(name.iter().all(|&byte| byte.is_ascii_graphic() && byte != b':'));
                prop_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }

        #[test]
        fn a_set_field_is_there_once_whatever_was_received(
            received in prop::collection::vec(("[aAbB]", "[0-9]"), 0..8),
        ) {
            let received: Vec<_> = received.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let edits = HeaderEdits::new().set("a", "mine").expect("a valid edit");
            let all = apply(&edits, &received);
            let values: Vec<_> = all.iter().filter(|(name, _)| name == "a").map(|(_, value)| value).collect();
            prop_assert_eq!(values, vec!["mine"]);
            let others = received.iter().filter(|(name, _)| name.eq_ignore_ascii_case("b")).count();
            prop_assert_eq!(all.len(), 1 + others);
        }
    }
}
