//! Which requests go where.
//!
//! A [`Route`] is what is written: a match and what happens then. Routes become a [`Router`] of [`Plan`]s, which
//! is what requests meet.
//!
//! A [`Match`] says which requests a route takes, a [`Router`] files any values under their matches, and finding
//! one costs the same among ten routes and among a hundred thousand. Everything that sorts, compiles or
//! allocates is done when the router is built; a router never changes.

mod action;
mod conditions;
mod error;
mod hosts;
mod matching;
mod plan;
mod prefixes;
mod redirect;
mod regexes;
mod rewrite;
mod router;
mod subject;

pub use action::{Action, FixedResponse, Respond, Split};
pub use error::{RouteError, RouteProblem};
pub use matching::{Match, ValueMatch};
pub use plan::{Plan, Route};
pub use redirect::{Redirect, RedirectError};
pub(crate) use regexes::Memories;
pub use rewrite::Rewrite;
pub use router::Router;
pub use subject::{Fields, Subject};

#[cfg(test)]
mod tests;
