//! Who may be picked right now: one immutable value that the roster publishes at each change and workers read.

use std::sync::Arc;

use super::policy::{Balancer, Members, PickInput};
use super::{Member, Policy, Position, Server};

/// The servers of a backend that are available, and the balancer over exactly them.
#[derive(Debug)]
pub struct View {
    members: Box<[Member]>,
    servers: Box<[Arc<Server>]>,
    /// Invariant: built for exactly `members`; absent when there are none.
    balancer: Option<Arc<dyn Balancer>>,
}

/// Why no server was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// None is available, or none that may be picked: the reason `no_server`.
    NoServer,
    /// All that may be picked are at their limits; one becomes free when an exchange ends.
    Full,
}

impl View {
    /// A view of these members among all servers; the policy is asked only when there are any.
    pub(super) fn new(
        members: Vec<Member>,
        servers: Vec<Arc<Server>>,
        policy: &dyn Policy,
        position: &Arc<Position>,
    ) -> Self {
        let balancer = (!members.is_empty()).then(|| policy.balancer(&Members::new(&members, position)));
        Self { members: members.into(), servers: servers.into(), balancer }
    }

    /// Every server that exists, available or not: whoever keeps something for each server, such as a pool or
    /// counters, keeps it for these.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// All that may be picked, in the order of the configuration.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Asks the balancer for an index into [`members`](Self::members); `None` when there are none. Takes no slot.
    pub fn pick(&self, request: &PickInput<'_>) -> Option<usize> {
        let picked = self.balancer.as_ref()?.pick(request);
        debug_assert!(picked < self.members.len(), "a balancer picked outside its members");
        // A balancer from outside the crate that breaks its promise must not take a worker down.
        Some(picked.min(self.members.len() - 1))
    }

    /// Picks a member that `may` serve (say: was not tried before) and is below its limit, and takes a slot there,
    /// which the caller gives back, best by [`Lease::entered`](super::Lease::entered).
    ///
    /// The first pick nearly always holds. Where it is full or excluded, a second pick spreads what would have
    /// gone there over the others by the policy; after that the members are walked once.
    pub fn enter(&self, request: &PickInput<'_>, may: impl Fn(&Server) -> bool) -> Result<usize, Refused> {
        let mut refused = Refused::NoServer;
        let mut enters = |index: usize| {
            let member = &self.members[index];
            if !may(&member.server) {
                return false;
            }
            refused = Refused::Full;
            member.server.try_enter(member.limit)
        };
        let Some(first) = self.pick(request) else { return Err(Refused::NoServer) };
        if enters(first) {
            return Ok(first);
        }
        let second = self.pick(request).unwrap_or(first);
        let walk = (second..self.members.len()).chain(0..second);
        walk.into_iter().find(|index| enters(*index)).ok_or(refused)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::backend::policy::RoundRobin;
    use crate::backend::policy::tests::members;

    fn view(members: Vec<Member>) -> View {
        View::new(members, Vec::new(), &RoundRobin, &Arc::default())
    }

    fn limited(weights: &[u32], limit: u32) -> Vec<Member> {
        let limit = NonZeroU32::new(limit);
        members(weights).into_iter().map(|member| Member { limit, ..member }).collect()
    }

    #[test]
    fn an_empty_view_refuses() {
        let view = view(Vec::new());
        assert_eq!(view.pick(&PickInput::default()), None);
        assert_eq!(view.enter(&PickInput::default(), |_| true), Err(Refused::NoServer));
    }

    #[test]
    fn full_members_are_passed_over_evenly() {
        let mut members = limited(&[1, 1, 1], 0);
        members[2].limit = NonZeroU32::new(1);
        let view = view(members);
        assert!(view.members()[2].server.try_enter(None));
        let mut entered = [0; 3];
        for _ in 0..30 {
            entered[view.enter(&PickInput::default(), |_| true).unwrap()] += 1;
        }
        assert_eq!(entered, [15, 15, 0]);
    }

    #[test]
    fn a_full_view_says_full_and_opens_again() {
        let view = view(limited(&[1, 1], 2));
        let mut taken: Vec<_> = (0..4).map(|_| view.enter(&PickInput::default(), |_| true)).collect();
        taken.sort_unstable_by_key(|result| result.ok());
        assert_eq!(taken, [Ok(0), Ok(0), Ok(1), Ok(1)]);
        assert_eq!(view.enter(&PickInput::default(), |_| true), Err(Refused::Full));
        view.members()[1].server.leave();
        assert_eq!(view.enter(&PickInput::default(), |_| true), Ok(1));
    }

    #[test]
    fn what_was_tried_is_not_entered_again() {
        let view = view(members(&[1, 1]));
        let tried = view.members()[0].server.clone();
        let may = |server: &Server| !std::ptr::eq(server, &*tried);
        for _ in 0..4 {
            assert_eq!(view.enter(&PickInput::default(), may), Ok(1));
        }
        assert_eq!(view.enter(&PickInput::default(), |_| false), Err(Refused::NoServer));
    }
}
