//! What happens to a request that a route takes.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::error::RouteProblem;
use super::redirect::Redirect;
use crate::backend::Backend;

/// What a route does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Forwards to a server of this backend.
    Backend(Backend),
    /// Forwards to one of several backends by weight.
    Split(Split),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers itself.
    Respond(FixedResponse),
}

/// Backends that share the requests of a route by weight.
#[derive(Clone, Debug)]
pub struct Split {
    /// Invariant: not empty, each with the sum of the weights up to and with its own, strictly ascending.
    shares: Box<[(Backend, u64)]>,
    /// Invariant: has no divisor in common with the sum of all weights.
    stride: u64,
}

/// A response that a route gives by itself, as written by whoever configures it.
///
/// ```
/// use lb_core::http::route::{Respond, Route};
///
/// let closed = Route::any().respond(Respond::new(503).body("closed"));
/// assert!(closed.problems().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    status: u16,
    body: Bytes,
    content_type: String,
}

/// A valid [`Respond`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    status: StatusCode,
    body: Bytes,
    content_type: HeaderValue,
}

impl Split {
    /// None when no backend has a weight above zero. One without takes no request.
    pub(super) fn new(weighted: impl IntoIterator<Item = (Backend, u32)>) -> Option<Self> {
        let mut weighted: Vec<_> = weighted.into_iter().filter(|(_, weight)| *weight > 0).collect();
        let divisor = weighted.iter().fold(0, |divisor, (_, weight)| gcd(divisor, u64::from(*weight)));
        let mut sum = 0;
        let shares: Box<[_]> = weighted
            .drain(..)
            .map(|(backend, weight)| {
                sum += u64::from(weight) / divisor;
                (backend, sum)
            })
            .collect();
        // About the golden section of the cycle, which keeps a backend's turns apart.
        let stride = (sum / 100 * 62 + sum % 100 * 62 / 100..).find(|&stride| gcd(stride, sum) == 1)?;
        (!shares.is_empty()).then_some(Self { shares, stride })
    }

    /// The backend whose turn it is. Counting `turn` up gives each backend exactly its weight over each cycle
    /// (the sum of the weights, divided by what they have in common), spread over it; random turns give it on
    /// average. The count is the caller's, since callers don't share one cheaply.
    pub fn pick(&self, turn: u64) -> &Backend {
        &self.shares[self.pick_index(turn)].0
    }

    /// Likewise, as an index into [`backends`](Self::backends).
    pub fn pick_index(&self, turn: u64) -> usize {
        let cycle = self.cycle();
        let turn = u128::from(turn % cycle) * u128::from(self.stride) % u128::from(cycle);
        self.shares.partition_point(|(_, end)| u128::from(*end) <= turn)
    }

    /// After how many turns all weights are met.
    pub fn cycle(&self) -> u64 {
        self.shares.last().map_or(1, |(_, end)| *end)
    }

    /// The backends that have a weight, in the order given.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.shares.iter().map(|(backend, _)| backend)
    }
}

impl Respond {
    /// An empty response with this status, from 200 to 599.
    pub fn new(status: u16) -> Self {
        Self { status, body: Bytes::new(), content_type: "text/plain".into() }
    }

    /// With this body; by default empty.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// With this Content-Type; by default `text/plain`.
    #[must_use]
    pub fn content_type(self, content_type: impl Into<String>) -> Self {
        Self { content_type: content_type.into(), ..self }
    }

    pub(super) fn check(self) -> Result<FixedResponse, RouteProblem> {
        let Self { status: number, body, content_type } = self;
        let status = StatusCode::from_u16(number).ok().filter(|_| (200..600).contains(&number));
        let status = status.ok_or(RouteProblem::Status(number))?;
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
        if matches!(number, 204 | 205 | 304) && !body.is_empty() {
            return Err(RouteProblem::Body(number));
        }
        match HeaderValue::from_str(content_type.trim()) {
            Ok(content_type) if content_type.to_str().is_ok_and(|text| !text.is_empty()) => {
                Ok(FixedResponse { status, body, content_type })
            }
            _ => Err(RouteProblem::ContentType(content_type)),
        }
    }
}

impl FixedResponse {
    /// From 200 to 599.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Empty for a status that has no body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// What the body is; means nothing for an empty one.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backend(name: &str) -> Backend {
        Backend::builder(name).server("127.0.0.1:80").build().expect("a backend")
    }

    fn split(weights: &[u32]) -> Option<Split> {
        Split::new(weights.iter().enumerate().map(|(at, weight)| (backend(&at.to_string()), *weight)))
    }

    fn turns(split: &Split, turns: std::ops::Range<u64>) -> String {
        turns.map(|turn| split.pick(turn).name().to_string()).collect()
    }

    #[test]
    fn a_split_spreads_each_share_over_the_cycle() {
        let split = |weights| split(weights).expect("weights");
        assert_eq!(turns(&split(&[50, 50]), 0..6), "010101");
        assert_eq!(turns(&split(&[0, 7, 0]), 0..3), "111");
        assert_eq!(turns(&split(&[2, 1]), 0..6), "001001");
        let canary = turns(&split(&[90, 10]), 0..30);
        assert_eq!(canary.match_indices('1').count(), 3, "{canary}");
        assert!(!canary.contains("11"));
        assert_eq!(split(&[u32::MAX, u32::MAX - 1]).cycle(), 2 * u64::from(u32::MAX) - 1);
        assert_eq!(**split(&[u32::MAX, u32::MAX - 1]).pick(u64::MAX).name(), *"1");
    }

    #[test]
    fn a_split_needs_a_weight() {
        assert!(split(&[]).is_none());
        assert!(split(&[0, 0]).is_none());
    }

    #[test]
    fn a_fixed_response_is_a_final_one() {
        for status in [0, 100, 101, 199, 600, 999, 1000] {
            assert_eq!(Respond::new(status).check(), Err(RouteProblem::Status(status)));
        }
        for status in [204, 205, 304] {
            assert!(Respond::new(status).check().is_ok());
            assert_eq!(Respond::new(status).body("x").check(), Err(RouteProblem::Body(status)));
        }
        for text in ["", " ", "a\r\nb: c", "é"] {
            let refused = Err(RouteProblem::ContentType(text.into()));
            assert_eq!(Respond::new(200).content_type(text).check(), refused);
        }
        let made = Respond::new(503).body("closed").check().expect("valid");
        assert_eq!(
            (made.status().as_u16(), &made.body()[..], made.content_type().as_bytes()),
            (503, &b"closed"[..], &b"text/plain"[..])
        );
    }

    proptest! {
        #[test]
        fn a_split_is_exact_over_each_cycle(
            weights in prop::collection::vec(0_u32..30, 1..6).prop_filter("a weight", |weights| weights.iter().any(|weight| *weight > 0)),
            start in 0_u64..1000,
        ) {
            let split = split(&weights).expect("weights");
            let cycle = split.cycle();
            let times = u64::from(weights.iter().sum::<u32>()) / cycle;
            let mut counts = vec![0; weights.len()];
            for turn in start..start + cycle {
                counts[split.pick(turn).name().parse::<usize>().expect("a number")] += times;
            }
            prop_assert_eq!(counts, weights.into_iter().map(u64::from).collect::<Vec<_>>());
        }
    }
}
