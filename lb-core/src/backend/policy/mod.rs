//! How a server is chosen: one file an algorithm.
//!
//! A [`Policy`] builds a [`Balancer`] for exactly the servers that are available, on the control plane and at each
//! change; a request only picks. So a pick never meets a server that is out, and looks for none.

mod round_robin;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

pub use round_robin::RoundRobin;

use super::{Member, Server};

/// A named way to choose, such as [`RoundRobin`].
pub trait Policy: fmt::Debug + Send + Sync {
    /// The name as in the configuration's `balance`.
    fn name(&self) -> &str;

    /// Builds what picks among exactly `members`. Called at each change, so it may sort, hash and allocate.
    fn balancer(&self, members: &Members<'_>) -> Arc<dyn Balancer>;
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
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::backend::ServerAddress;

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
