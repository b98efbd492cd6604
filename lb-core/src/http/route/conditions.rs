//! What a route asks of a request beside its path and its host.

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::subject::Subject;
use crate::http::path;

/// Conditions that must all hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// One of these; none: every method.
    pub(super) methods: Vec<Method>,
    pub(super) headers: Vec<(HeaderName, Test)>,
    /// It takes CONNECT, too.
    pub(super) takes_connect: bool,
    /// Keys are decoded.
    pub(super) query: Vec<(Box<[u8]>, Test)>,
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Exact(Box<[u8]>),
    Present,
    Regex(Regex),
}

impl Conditions {
    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        let method = |method: &Method| method.as_str().as_bytes() == subject.method;
        let header = |(name, test): &(HeaderName, Test)| {
            subject.fields.any(name.as_str(), &mut |value| test.passes(value))
        };
        let query = |(key, test): &(Box<[u8]>, Test)| {
            subject
                .query
                .is_some_and(|query| pairs(query).any(|(k, v)| is_decoded(k, key) && test.passes_encoded(v)))
        };
        (self.takes_connect || subject.method != b"CONNECT")
            && (self.methods.is_empty() || self.methods.iter().any(method))
            && self.headers.iter().all(header)
            && self.query.iter().all(query)
    }
}

impl Test {
    fn passes(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *value,
            Self::Present => true,
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// The same for a value that is to be decoded first. Only a long value with escapes that meets a regular
    /// expression needs memory for that.
    fn passes_encoded(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => is_decoded(value, wanted),
            Self::Regex(regex) if value.iter().any(|byte| matches!(byte, b'%' | b'+')) => {
                let mut room = [0; 1024];
                if value.len() > room.len() {
                    return regex.is_match(&decoded(value).collect::<Vec<_>>());
                }
                let length = room.iter_mut().zip(decoded(value)).map(|(to, byte)| *to = byte).count();
                regex.is_match(&room[..length])
            }
            _ => self.passes(value),
        }
    }
}

/// The bytes that a key or a value of a query stands for: escapes decoded, `+` a space, as forms write it
/// (URL Standard, application/x-www-form-urlencoded). A percent sign that begins no escape stands for itself.
pub(super) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let escape = if byte == b'%' { path::escape(after) } else { None };
        if let Some((escaped, after)) = escape {
            rest = after;
            return Some(escaped);
        }
        Some(if byte == b'+' { b' ' } else { byte })
    })
}

fn is_decoded(text: &[u8], wanted: &[u8]) -> bool {
    decoded(text).eq(wanted.iter().copied())
}

/// The pairs of a query; a key without `=` has an empty value.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(conditions: &Conditions, method: &str, query: Option<&str>, fields: &[(&str, &str)]) -> bool {
        conditions.hold(&Subject {
            path: b"/v1/x",
            host: b"",
            method: method.as_bytes(),
            query: query.map(str::as_bytes),
            fields: &fields,
        })
    }

    fn exact(value: &str) -> Test {
        Test::Exact(value.as_bytes().into())
    }

    fn regex(text: &str) -> Test {
        Test::Regex(Regex::new(text).expect("a valid expression"))
    }

    #[test]
    fn a_method_is_one_of_those_asked_for_in_the_same_case() {
        let none = Conditions::default();
        let some = Conditions { methods: vec![Method::GET, Method::HEAD], ..none.clone() };
        assert!(holds(&none, "BREW", None, &[]));
        let held: Vec<_> = ["GET", "HEAD", "POST", "get"]
            .into_iter()
            .filter(|method| holds(&some, method, None, &[]))
            .collect();
        assert_eq!(held, ["GET", "HEAD"]);
    }

    #[test]
    fn a_header_condition_holds_when_one_of_its_fields_passes() {
        let asking =
            |test| Conditions { headers: vec![(HeaderName::from_static("x-a"), test)], ..Default::default() };
        type Received = &'static [(&'static str, &'static str)];
        let cases: &[(Test, Received, bool)] = &[
            (exact("1"), &[("X-A", "1")], true),
            (exact("1"), &[("x-a", "0"), ("x-a", "1")], true),
            (exact("1"), &[("x-a", "11"), ("x-b", "1")], false),
            (exact("a"), &[("x-a", "A")], false),
            (exact(""), &[], false),
            (exact(""), &[("x-a", "")], true),
            (Test::Present, &[("x-a", "")], true),
            (Test::Present, &[("x-ab", "")], false),
            (regex("^[0-9]+$"), &[("x-a", "a"), ("x-a", "42")], true),
            (regex("^[0-9]+$"), &[("x-a", "4 2")], false),
        ];
        for (test, fields, want) in cases {
            assert_eq!(holds(&asking(test.clone()), "GET", None, fields), *want, "{test:?} {fields:?}");
        }
    }

    #[test]
    fn query_keys_and_values_are_compared_decoded() {
        let asking =
            |key: &str, test| Conditions { query: vec![(key.as_bytes().into(), test)], ..Default::default() };
        let long = format!("q=%61{}z", "a".repeat(2000));
        let cases: &[(&str, Test, Option<&str>, bool)] = &[
            ("debug", exact("1"), None, false),
            ("debug", exact("1"), Some(""), false),
            ("debug", exact("1"), Some("debug=1"), true),
            ("debug", exact("1"), Some("a&debug=0&debug=1&b"), true),
            ("debug", exact("1"), Some("%64ebug=%31"), true),
            ("debug", exact("1"), Some("debug=1=1"), false),
            ("debug", exact("1=1"), Some("debug=1=1"), true),
            ("debug", exact(""), Some("debug"), true),
            ("debug", exact(""), Some("debug="), true),
            ("debug", Test::Present, Some("x=debug"), false),
            ("debug", Test::Present, Some("&&debug&"), true),
            ("debug", Test::Present, Some("Debug=1"), false),
            ("", Test::Present, Some("&&"), false),
            ("a b", exact("c d"), Some("a+b=c%20d"), true),
            ("q", exact("+"), Some("q=%2B"), true),
            ("q", exact("50%"), Some("q=50%"), true),
            ("q", exact("%zz"), Some("q=%zz"), true),
            ("q", exact("é"), Some("q=%C3%A9"), true),
            ("q", regex("^1$"), Some("q=%31"), true),
            ("q", regex("^1$"), Some("q=11"), false),
            ("q", regex("^a+z$"), Some(&long), true),
            ("q", regex("^a+$"), Some(&long), false),
        ];
        for (key, test, query, want) in cases {
            assert_eq!(
                holds(&asking(key, test.clone()), "GET", *query, &[]),
                *want,
                "{key} {test:?} {query:?}"
            );
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let all = Conditions {
            takes_connect: false,
            methods: vec![Method::GET],
            headers: vec![(HeaderName::from_static("x-a"), Test::Present)],
            query: vec![(b"q"[..].into(), Test::Present)],
        };
        assert!(holds(&all, "GET", Some("q"), &[("x-a", "")]));
        assert!(!holds(&all, "PUT", Some("q"), &[("x-a", "")]));
        assert!(!holds(&all, "GET", None, &[("x-a", "")]));
        assert!(!holds(&all, "GET", Some("q"), &[]));
    }
}
