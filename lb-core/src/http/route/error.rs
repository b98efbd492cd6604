//! What can be wrong with routes.

use std::fmt;

use super::redirect::RedirectError;
use crate::http::path::PathError;

/// Everything that is wrong with the routes a router was to be built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// Invariant: not empty.
    problems: Vec<(usize, RouteProblem)>,
}

/// One mistake in a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteProblem {
    /// The text of a path condition is no path.
    #[error("`{text}`: {problem}")]
    Path {
        /// As written.
        text: String,
        /// What is wrong with it.
        problem: PathError,
    },
    /// No normalised path begins so.
    #[error(
        "no path begins with `{0}` once slashes are merged and dot segments resolved; write it without them"
    )]
    NeverBegins(String),
    /// A regular expression does not compile.
    #[error("the regular expression `{text}` does not compile: {reason}")]
    Regex {
        /// As written.
        text: String,
        /// What the compiler says, in one line.
        reason: String,
    },
    /// The regular expressions of all routes do not compile together.
    #[error(
        "the regular expressions on paths do not compile together: {0}; use path_prefix where it does, or fewer of them"
    )]
    Regexes(String),
    /// A host condition is neither a host nor a wildcard before one.
    #[error("`{0}` is no host to match; write a name, an address or `*.NAME`, without a port, in ASCII")]
    Host(String),
    /// A method condition is no method, or a known one in the wrong case.
    #[error("`{0}` is no method; methods are case-sensitive, as in `GET`")]
    Method(String),
    /// A header condition's name is no field name.
    #[error("`{0}` is not a header name; use letters, digits and hyphens")]
    Header(String),
    /// The prefix to strip or to replace, or what replaces it, is no path.
    #[error("can't rewrite with `{text}`: {problem}")]
    Rewrite {
        /// As written.
        text: String,
        /// What is wrong with it.
        problem: PathError,
    },
    /// More than one rewrite.
    #[error("a route rewrites once; keep one of strip_prefix and replace_prefix")]
    SecondRewrite,
    /// No action.
    #[error("the route does nothing; give it a backend, a split, a redirect or a response")]
    NoAction,
    /// More than one action.
    #[error("a route does one thing; keep one of backend, split, redirect and respond")]
    SecondAction,
    /// Nothing to split over.
    #[error("no backend of the split has a weight; give one a weight above zero")]
    NoWeight,
    /// The redirect's status or target is not valid.
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    /// A fixed response's status is no final one.
    #[error("{0} is no status to respond with; use one from 200 to 599")]
    Status(u16),
    /// A body with a status that can't have one (RFC 9110 section 6.4.1).
    #[error("a response with status {0} has no body; leave it out or use another status")]
    Body(u16),
    /// A fixed response's content type is no field value.
    #[error("`{0}` is no content type; write one like `text/plain`")]
    ContentType(String),
    /// CONNECT is allowed where it can't come.
    #[error(
        "the route never takes a CONNECT, which has neither path nor query; leave out the conditions on them, and let `method` allow it"
    )]
    NeverConnects,
    /// What is set is never used: nothing goes to a server.
    #[error("{0} has no effect, because this route forwards nothing; take it out")]
    NoEffect(&'static str),
}

/// What an error of the regex crates says in the end: a syntax error is a drawing of several lines.
pub(super) fn last_line(error: &dyn fmt::Display) -> String {
    let drawing = error.to_string();
    let reason = drawing.lines().last().unwrap_or_default();
    reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
}

impl RouteError {
    /// None when there is nothing wrong.
    pub(super) fn of(problems: Vec<(usize, RouteProblem)>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    pub(super) fn one(route: usize, problem: RouteProblem) -> Self {
        Self { problems: vec![(route, problem)] }
    }

    /// All problems, each with the position of its route among those given, from 0.
    pub fn problems(&self) -> &[(usize, RouteProblem)] {
        &self.problems
    }
}

impl fmt::Display for RouteError {
    /// Counts routes from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (route, problem)) in self.problems.iter().enumerate() {
            let separator = if number > 0 { "; " } else { "" };
            write!(f, "{separator}route {}: {problem}", route + 1)?;
        }
        Ok(())
    }
}

impl std::error::Error for RouteError {}
