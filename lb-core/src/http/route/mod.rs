//! Which requests go where.
//!
//! A [`Match`] says which requests a route takes, a [`Router`] files any values under their matches, and finding
//! one costs the same among ten routes and among a hundred thousand. Everything that sorts, compiles or
//! allocates is done when the router is built; a router never changes.

mod conditions;
mod error;
mod hosts;
mod matching;
mod prefixes;
mod redirect;
mod rewrite;
mod router;

pub use error::{RouteError, RouteProblem};
pub use matching::{Match, ValueMatch};
pub use redirect::{Place, Redirect, RedirectError};
pub use rewrite::Rewrite;
pub use router::{Fields, Router, Subject};

#[cfg(test)]
mod tests;
