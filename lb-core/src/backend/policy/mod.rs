//! How a server is chosen: one file an algorithm.
//!
//! A [`Policy`] builds a [`Balancer`] for exactly the servers that are available, on the control plane and at each
//! change; a request only picks. So a pick never meets a server that is out, and looks for none.

mod alias;
mod least_connections;
mod p2c;
mod random;
mod round_robin;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

pub use least_connections::LeastConnections;
pub use p2c::PowerOfTwo;
pub use random::Random;
pub use round_robin::RoundRobin;

use super::{Member, Server};

/// A named way to choose, such as [`RoundRobin`].
pub trait Policy: fmt::Debug + Send + Sync {
    /// The name as in the configuration's `balance`.
    fn name(&self) -> &str;

    /// Builds what picks among exactly `members`. Called at each change, so it may sort, hash and allocate.
    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer>;

    /// Everything that its picks depend on, as text: where two policies say the same, a reload that replaces one by
    /// the other leaves the backend alone. Default `None`: it can't be told, and the backend is made anew.
    fn identity(&self) -> Option<String> {
        None
    }
}

/// Picks among a fixed set of servers; called once or twice a request, by all workers at once.
pub trait Balancer: fmt::Debug + Send + Sync {
    /// An index into the members it was built for. Must not allocate, block or fail.
    fn pick(&self, request: &PickInput<'_>) -> usize;
}

/// What a policy may choose by.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct PickInput<'a> {
    /// The client, where known.
    pub client: Option<IpAddr>,
    /// The request target as received; empty in mode `tcp`.
    pub uri: &'a [u8],
    /// What a keyed policy asked for, such as a field's value.
    pub key: Option<&'a [u8]>,
}

/// The servers a balancer is built for; at least one.
#[derive(Debug, Clone, Copy)]
pub struct Members<'a> {
    members: &'a [Member],
    position: &'a Arc<Position>,
}

/// A turn counter that all workers share, so that turns are exact over them, and that outlives rebuilds and reloads.
#[derive(Debug, Default)]
pub struct Position(CachePadded<AtomicUsize>);

/// The policies of this crate, for a configuration that names one by [`Policy::name`].
pub fn all() -> [Arc<dyn Policy>; 4] {
    [Arc::new(RoundRobin), Arc::new(LeastConnections), Arc::new(Random), Arc::new(PowerOfTwo)]
}

impl<'a> Members<'a> {
    /// Members for a balancer: what the roster passes, and a policy's tests may.
    ///
    /// # Panics
    ///
    /// When `members` is empty: there is nothing to pick.
    pub fn new(members: &'a [Member], position: &'a Arc<Position>) -> Self {
        assert!(!members.is_empty(), "a balancer is built for at least one server");
        Self { members, position }
    }

    /// The members, indexed as [`Balancer::pick`] answers.
    pub fn iter(&self) -> std::slice::Iter<'a, Member> {
        self.members.iter()
    }

    /// How many; never zero.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The weights; never zero.
    pub fn weights(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.weight.get()).collect()
    }

    /// The servers, for a balancer that looks at what is in flight.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        self.members.iter().map(|member| member.server.clone()).collect()
    }

    /// The backend's turn counter.
    pub fn position(&self) -> &'a Arc<Position> {
        self.position
    }
}

impl Position {
    /// The turn that will be taken next.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes the next turn.
    pub fn next(&self) -> usize {
        // Counter only; it wraps, which costs one cycle's exactness each 2^64 turns.
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer> {
        (**self).balancer(members)
    }

    fn identity(&self) -> Option<String> {
        (**self).identity()
    }
}

/// A server's load for its share, comparable with others' without dividing.
#[derive(Debug)]
struct Load {
    server: Arc<Server>,
    weight: u64,
}

impl Load {
    fn all(members: &Members<'_>) -> Box<[Self]> {
        let load =
            |member: &Member| Self { server: member.server.clone(), weight: member.weight.get().into() };
        members.iter().map(load).collect()
    }

    /// What is in flight now, and the weight to divide it by.
    fn read(&self) -> (u64, u64) {
        (self.server.in_flight().into(), self.weight)
    }
}

/// Whether the first has less in flight for its weight: both are below 2^32, so the products fit.
fn is_less((a, a_weight): (u64, u64), (b, b_weight): (u64, u64)) -> bool {
    a * b_weight < b * a_weight
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::backend::ServerAddress;

    #[test]
    fn policies_are_known_by_distinct_names() {
        let names = all().map(|policy| policy.name().to_owned());
        assert_eq!(names, ["round_robin", "least_connections", "random", "p2c"]);
    }

    proptest! {
        #[test]
        fn no_policy_picks_outside_its_members(
            weights in prop::collection::vec(1u32..=1000, 1..20),
            loads in prop::collection::vec(0u32..5, 20),
            seed: u64,
        ) {
            fastrand::seed(seed);
            let members = members(&weights);
            for (member, load) in members.iter().zip(&loads) {
                (0..*load).for_each(|_| assert!(member.server.try_enter(None)));
            }
            let position = Arc::new(Position(CachePadded::new(AtomicUsize::new(usize::MAX - 5))));
            for policy in all() {
                let balancer = policy.balancer(&Members::new(&members, &position));
                for _ in 0..50 {
                    prop_assert!(balancer.pick(&PickInput::default()) < members.len(), "{}", policy.name());
                }
            }
        }
    }

    pub(in crate::backend) fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(index, weight): (usize, &u32)| {
            let port = u16::try_from(index + 1).expect("tests have few members");
            let address = ServerAddress::Tcp(([10, 0, 0, 1], port).into());
            let server = Server::new("shop", format!("web{port}"), address);
            let weight = NonZeroU32::new(*weight).expect("members have a weight");
            Member::new(Arc::new(server), weight)
        };
        weights.iter().enumerate().map(member).collect()
    }
}
