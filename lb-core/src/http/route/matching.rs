//! Which requests a route takes.

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::conditions::{Conditions, Test, decoded};
use super::error::{RouteProblem, last_line};
use super::hosts::HostPattern;
use super::regexes::PathRegex;
use crate::http::path::{PathError, normalise, normalise_written, push_spelled};

/// The conditions of a route; all must hold.
///
/// Paths are compared in the form of [`crate::http::path::normalise`], and what is asked for is brought into it
/// too. What is wrong with a condition is kept until a [`Router`](super::Router) is built.
#[derive(Clone, Debug)]
pub struct Match {
    pub(super) path: PathMatch,
    /// One of these; none: every host.
    pub(super) hosts: Vec<HostPattern>,
    pub(super) conditions: Conditions,
    pub(super) problems: Vec<RouteProblem>,
}

/// How a path is looked up.
#[derive(Clone, Debug)]
pub(super) enum PathMatch {
    Exact(Box<[u8]>),
    /// Without trailing slash; the root is empty.
    Prefix(Box<[u8]>),
    Begins(Box<[u8]>),
    Regex(PathRegex),
    Any,
}

/// What is asked of a header's or a query key's value.
///
/// A string is an exact value: `"1".into()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueMatch {
    /// This value, in the same letter case.
    Exact(String),
    /// Any value, the empty one too.
    Present,
    /// A value in which this regular expression finds something; `^` and `$` anchor it.
    Regex(String),
}

impl Match {
    /// Takes every path.
    pub fn any() -> Self {
        Self::new(PathMatch::Any)
    }

    /// Takes `path` and no other: `/exact` does not take `/exact/`.
    pub fn path(path: &str) -> Self {
        Self::of(path, PathMatch::Exact, normalise_written(path))
    }

    /// Takes paths that begin with the segments of `prefix`: `/admin` takes `/admin`, `/admin/` and `/admin/x`,
    /// not `/administrator`. A trailing slash makes no difference.
    pub fn prefix(prefix: &str) -> Self {
        let form =
            normalise_written(prefix).map(|form| form.strip_suffix(b"/").map(<[u8]>::to_vec).unwrap_or(form));
        Self::of(prefix, PathMatch::Prefix, form)
    }

    /// Takes paths that begin with these characters: `/adm` takes `/admin` and `/adm/x`.
    pub fn begins(text: &str) -> Self {
        let mut form = Vec::new();
        let result = match text.starts_with('/') {
            true => push_spelled(&mut form, text.as_bytes()),
            false => Err(PathError::NotAbsolute),
        };
        let mut made = Self::of(text, PathMatch::Begins, result.map(|()| form.clone()));
        // What follows the last slash may be cut anywhere: `/.` begins `/.well-known`.
        let whole = form.iter().rposition(|&byte| byte == b'/').map_or(&[][..], |slash| &form[..=slash]);
        if made.problems.is_empty() && normalise(whole, &mut Vec::new()) != Ok(whole) {
            made.problems.push(RouteProblem::NeverBegins(text.to_owned()));
        }
        made
    }

    /// Takes paths in which `regex` finds something; `^` and `$` anchor it. It sees the normalised path, which
    /// is ASCII: `é` is `%C3%A9`. The syntax is the `regex` crate's, whose time is linear in the path.
    pub fn regex(regex: &str) -> Self {
        match PathRegex::parse(regex) {
            Ok(parsed) => Self::new(PathMatch::Regex(parsed)),
            Err(reason) => {
                let problem = RouteProblem::Regex { text: regex.to_owned(), reason };
                Self { problems: vec![problem], ..Self::any() }
            }
        }
    }

    /// And has this host: a name, an address, or `*.example` for every name that ends in `.example`. Letter
    /// case, port and a trailing dot make no difference. Called again, it allows for one host more.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        match HostPattern::parse(host) {
            Some(pattern) if self.hosts.contains(&pattern) => {}
            Some(pattern) => self.hosts.push(pattern),
            None => self.problems.push(RouteProblem::Host(host.to_owned())),
        }
        self
    }

    /// And has this method. Called again, it allows for one method more.
    #[must_use]
    pub fn method(mut self, method: impl AsRef<str>) -> Self {
        let text = method.as_ref();
        let wrong_case = KNOWN_METHODS.iter().any(|known| *known != text && known.eq_ignore_ascii_case(text));
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if !wrong_case => self.conditions.methods.push(method),
            _ => self.problems.push(RouteProblem::Method(text.to_owned())),
        }
        self
    }

    /// And has a field called `name`, in any letter case, whose value passes. Of several fields of that name one
    /// is enough; a list in one field is one value.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<ValueMatch>) -> Self {
        let test = self.test(value.into(), |exact| exact.trim_matches([' ', '\t']).as_bytes().into());
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => self.conditions.headers.extend(test.map(|test| (name, test))),
            Err(_) => self.problems.push(RouteProblem::Header(name.to_owned())),
        }
        self
    }

    /// And has `key` in its query, with a value that passes; a key without `=` has an empty value, and of several
    /// one is enough. Escapes are decoded and `+` is a space, in the request, in `key` and in an exact value, so
    /// that these may be written as in a URI.
    #[must_use]
    pub fn query(mut self, key: &str, value: impl Into<ValueMatch>) -> Self {
        let test = self.test(value.into(), |exact| decoded(exact.as_bytes()).collect());
        self.conditions.query.extend(test.map(|test| (decoded(key.as_bytes()).collect(), test)));
        self
    }

    /// And takes CONNECT, too, which other routes don't. Such a request has neither path nor query, so that a route
    /// with a condition on them never takes it. It is a server's to decide where its tunnels lead: a backend of servers
    /// that open any is an open proxy.
    #[must_use]
    pub fn connect(mut self) -> Self {
        self.conditions.takes_connect = true;
        self
    }

    /// What is wrong with the conditions, in the order in which they were given.
    pub fn problems(&self) -> &[RouteProblem] {
        &self.problems
    }

    /// How many conditions there are beside the path's. Alternatives are one.
    pub(super) fn weight(&self) -> usize {
        let Conditions { methods, headers, query, takes_connect: _ } = &self.conditions;
        usize::from(!self.hosts.is_empty()) + usize::from(!methods.is_empty()) + headers.len() + query.len()
    }

    /// Whether it is to take CONNECT; then whether it can.
    pub(super) fn connects(&self) -> Option<bool> {
        let Conditions { methods, query, takes_connect, .. } = &self.conditions;
        let has_method = methods.is_empty() || methods.contains(&Method::CONNECT);
        let can = matches!(self.path, PathMatch::Any) && query.is_empty() && has_method;
        takes_connect.then_some(can)
    }

    fn new(path: PathMatch) -> Self {
        Self { path, hosts: Vec::new(), conditions: Conditions::default(), problems: Vec::new() }
    }

    fn of(text: &str, kind: impl FnOnce(Box<[u8]>) -> PathMatch, form: Result<Vec<u8>, PathError>) -> Self {
        match form {
            Ok(form) => Self::new(kind(form.into())),
            Err(problem) => {
                let problem = RouteProblem::Path { text: text.to_owned(), problem };
                Self { problems: vec![problem], ..Self::any() }
            }
        }
    }

    fn test(&mut self, value: ValueMatch, exact: impl FnOnce(&str) -> Box<[u8]>) -> Option<Test> {
        match value {
            ValueMatch::Exact(value) => Some(Test::Exact(exact(&value))),
            ValueMatch::Present => Some(Test::Present),
            ValueMatch::Regex(text) => self.compiled(&text).map(Test::Regex),
        }
    }

    fn compiled(&mut self, text: &str) -> Option<Regex> {
        match Regex::new(text) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason = last_line(&error);
                self.problems.push(RouteProblem::Regex { text: text.to_owned(), reason });
                None
            }
        }
    }
}

impl From<&str> for ValueMatch {
    fn from(value: &str) -> Self {
        Self::Exact(value.to_owned())
    }
}

impl From<String> for ValueMatch {
    fn from(value: String) -> Self {
        Self::Exact(value)
    }
}

/// RFC 9110 section 9.3 and RFC 5789.
const KNOWN_METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_condition_is_kept() {
        let path = |text: &str, problem| RouteProblem::Path { text: text.to_owned(), problem };
        let regex = |text: &str, reason: &str| RouteProblem::Regex {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let any = Match::any;
        let cases = [
            (Match::path("admin"), path("admin", PathError::NotAbsolute)),
            (Match::path(""), path("", PathError::NotAbsolute)),
            (Match::prefix("/../x"), path("/../x", PathError::EscapesRoot)),
            (Match::prefix("/a?b"), path("/a?b", PathError::Query)),
            (Match::begins("adm"), path("adm", PathError::NotAbsolute)),
            (Match::begins("/%4"), path("/%4", PathError::Escape)),
            (Match::begins("//x"), RouteProblem::NeverBegins("//x".into())),
            (Match::begins("/a/./"), RouteProblem::NeverBegins("/a/./".into())),
            (Match::begins("/a/%2e%2e/b"), RouteProblem::NeverBegins("/a/%2e%2e/b".into())),
            (Match::regex("^/(v"), regex("^/(v", "unclosed group")),
            (any().host("shop.example:80"), RouteProblem::Host("shop.example:80".into())),
            (any().method("get"), RouteProblem::Method("get".into())),
            (any().method("G T"), RouteProblem::Method("G T".into())),
            (any().header("a b", "1"), RouteProblem::Header("a b".into())),
            (any().header("a", ValueMatch::Regex("[".into())), regex("[", "unclosed character class")),
            (any().query("a", ValueMatch::Regex("a{9".into())), regex("a{9", "unclosed counted repetition")),
        ];
        for (made, problem) in cases {
            assert_eq!(made.problems(), [problem]);
        }
    }

    #[test]
    fn what_begins_a_path_may_end_in_the_middle_of_a_name() {
        for text in ["/", "/.", "/..", "/a/.", "/a/", "/a/.x/"] {
            assert_eq!(Match::begins(text).problems(), [], "{text}");
        }
    }

    #[test]
    fn alternatives_weigh_as_one_condition() {
        assert_eq!(Match::prefix("/a").weight(), 0);
        assert_eq!(Match::any().host("a").host("b").host("a").method("GET").method("HEAD").weight(), 2);
        assert_eq!(
            Match::any().header("a", "1").header("a", "2").query("q", ValueMatch::Present).weight(),
            3
        );
    }
}
