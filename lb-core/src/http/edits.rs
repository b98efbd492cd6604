//! Changes that a route makes to the header fields of a request or a response.
//!
//! Edits are checked when they are made, so that applying them can't fail: names and values are valid fields
//! (RFC 9110 section 5), and none touches what frames a message or belongs to one connection, which is the
//! proxy's own to write. Applied in the order remove, set, add: a field that is both removed and added ends
//! up with the added values only.

use http::header::{self, HeaderName, HeaderValue};

use super::head::is_named;

/// An ordered list of field edits; by default none.
///
/// ```
/// use lb_core::http::edits::HeaderEdits;
///
/// let edits = HeaderEdits::new().set("X-Team", "shop")?.add("vary", "x-beta")?.remove("server")?;
/// assert!(edits.drops(b"Server"));
/// assert_eq!(edits.fields().next(), Some((&b"x-team"[..], &b"shop"[..])));
/// # Ok::<(), lb_core::http::edits::EditError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Invariant: a name is here at most once.
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
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
    /// # Errors
    /// When `name` or `value` is not valid, or the field is the proxy's own; see [`EditError`].
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, EditError> {
        let (name, value) = (editable(name)?, field_value(name, value)?);
        if name == header::HOST
            && (value.is_empty() || !value.as_bytes().iter().all(|&byte| is_host_byte(byte)))
        {
            return Err(EditError::HostValue(String::from_utf8_lossy(value.as_bytes()).into_owned()));
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
        self.add.push((not_host(editable(name)?)?, field_value(name, value)?));
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

    /// The fields to write after those received, names in lower case: first what is set, then what is added.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.set.iter().chain(&self.add).map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
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

/// Without the white space around it, which is no part of a value (RFC 9110 section 5.5).
fn field_value(name: &str, value: &str) -> Result<HeaderValue, EditError> {
    let value = value.trim_matches([' ', '\t']);
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| EditError::Value(name.to_owned()))
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
        kept.chain(edits.fields().map(|(name, value)| (text(name), text(value)))).collect()
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
            ["shop.example", "shop.example:8080", "[::1]:80"].into_iter().all(|value| set(value).is_ok())
        );
        for value in ["", "a b", "user@shop.example", "shop.example/x"] {
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
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_accepted_breaks_a_line(name in any::<String>(), value in any::<String>()) {
            let accepted = HeaderEdits::new().set(&name, &value).or_else(|_| HeaderEdits::new().set("x", &value));
            for (name, value) in accepted.iter().flat_map(HeaderEdits::fields) {
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
