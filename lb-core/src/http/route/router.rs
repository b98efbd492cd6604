//! Finding the route of a request.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use rustc_hash::FxHashMap;

use super::conditions::Conditions;
use super::error::{RouteError, RouteProblem};
use super::hosts::{self, Candidates, HOST_BYTES};
use super::matching::{Match, PathMatch};
use super::prefixes::{Beginnings, SegmentTree};
use super::regexes::{Memories, Regexes, RegexesBuilder};
use super::subject::Subject;

/// Values filed under the requests they are for.
///
/// The most specific route wins: an exact path, then the longest prefix, then the longest beginning, then regular
/// expressions in the order given, then routes for every path. Among routes for the same path the one with more
/// conditions wins (alternative hosts or methods count as one, and a wildcard host as much as an exact one), then
/// the one given first. A route whose other conditions fail leaves the request to the next.
///
/// The cost of a look-up does not grow with the number of paths and hosts. Regular expressions are looked for all at
/// once, in one pass over the path. Routes that differ neither in path nor host but only in other conditions are tried
/// one after the other.
pub struct Router<T> {
    /// By rank: of two routes for the same path the one that is to win comes first.
    routes: Vec<(Conditions, T)>,
    exact: FxHashMap<Box<[u8]>, Candidates>,
    prefixes: SegmentTree,
    beginnings: Beginnings,
    regexes: Regexes,
    any: Candidates,
    /// Some route asks for a host.
    asks_host: bool,
    /// For those who don't bring their own.
    memories: Memories,
}

impl<T> Router<T> {
    /// Files all `routes`.
    ///
    /// # Errors
    /// All problems of all routes at once.
    pub fn build(routes: impl IntoIterator<Item = (Match, T)>) -> Result<Self, RouteError> {
        let mut routes: Vec<(Match, T)> = routes.into_iter().collect();
        let problems = routes.iter_mut().enumerate();
        let problems =
            problems.flat_map(|(at, (made, _))| made.problems.drain(..).map(move |problem| (at, problem)));
        if let Some(error) = RouteError::of(problems.collect()) {
            return Err(error);
        }
        let is_regex = |(made, _): &(Match, T)| matches!(made.path, PathMatch::Regex(_));
        let last_regex = routes.iter().rposition(is_regex).unwrap_or_default();
        // The sort is stable: what weighs the same stays in the order given, and so do regular expressions,
        // among which only the order counts.
        routes.sort_by_key(|(made, _)| match made.path {
            PathMatch::Regex(_) => Reverse(0),
            _ => Reverse(made.weight()),
        });
        Self::file(routes).map_err(|reason| RouteError::one(last_regex, RouteProblem::Regexes(reason)))
    }

    /// The same routes with other values.
    pub fn map<U>(self, mut value: impl FnMut(T) -> U) -> Router<U> {
        let Self { routes, exact, prefixes, beginnings, regexes, any, asks_host, memories } = self;
        let routes = routes.into_iter().map(|(conditions, former)| (conditions, value(former))).collect();
        Router { routes, exact, prefixes, beginnings, regexes, any, asks_host, memories }
    }

    /// The value of the route that takes the request, if any does.
    ///
    /// Allocates nothing, but for what regular expressions need on paths that are like none before, up to a bound, and
    /// for decoding a query value of more than a kilobyte that has escapes and meets a regular expression.
    pub fn find(&self, subject: &Subject<'_>) -> Option<&T> {
        self.find_with(subject, &self.memories)
    }

    /// Likewise, with memory of the caller's own: workers that each have some share nothing that changes.
    pub(crate) fn find_with(&self, subject: &Subject<'_>, memories: &Memories) -> Option<&T> {
        let mut room = [0; HOST_BYTES];
        let host = if self.asks_host { hosts::canonical(subject.host, &mut room) } else { &[] };
        let holds = |rank: usize| self.routes[rank].0.hold(subject);
        let first = |candidates: &Candidates| candidates.first(host, holds);
        let rank = (self.exact.get(subject.path).and_then(first))
            .or_else(|| self.prefixes.find(subject.path, first))
            .or_else(|| self.beginnings.find(subject.path, first))
            .or_else(|| self.regexes.find(subject.path, memories, first))
            .or_else(|| first(&self.any))?;
        Some(&self.routes[rank].1)
    }

    /// Memory for [`find_with`](Self::find_with).
    pub(crate) fn memories(&self) -> Memories {
        self.regexes.memories()
    }

    /// All values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|(_, value)| value)
    }

    /// # Errors
    /// Why the regular expressions don't compile together.
    fn file(routes: Vec<(Match, T)>) -> Result<Self, String> {
        let mut exact: FxHashMap<_, Candidates> = FxHashMap::default();
        let mut prefixes = SegmentTree::new();
        let mut beginnings: BTreeMap<_, Candidates> = BTreeMap::new();
        let (mut regexes, mut any) = (RegexesBuilder::default(), Candidates::default());
        let mut filed = Vec::with_capacity(routes.len());
        let mut asks_host = false;
        for (rank, (made, value)) in routes.into_iter().enumerate() {
            let candidates = match made.path {
                PathMatch::Exact(path) => exact.entry(path).or_default(),
                PathMatch::Prefix(prefix) => prefixes.entry(&prefix),
                PathMatch::Begins(text) => beginnings.entry(text).or_default(),
                PathMatch::Regex(regex) => regexes.entry(&regex, rank),
                PathMatch::Any => &mut any,
            };
            candidates.push(rank, &made.hosts);
            asks_host |= !made.hosts.is_empty();
            filed.push((made.conditions, value));
        }
        let (beginnings, regexes) = (Beginnings::new(beginnings), regexes.build()?);
        let memories = regexes.memories();
        Ok(Self { routes: filed, exact, prefixes, beginnings, regexes, any, asks_host, memories })
    }
}

impl<T> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes.len()).finish_non_exhaustive()
    }
}
