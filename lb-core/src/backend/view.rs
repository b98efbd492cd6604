//! Who may be picked right now: one immutable value that the roster publishes at each change and workers read.

use std::collections::HashMap;
use std::sync::Arc;

use super::policy::{Balancer, Members, PickInput};
use super::{Member, Policy, Position, Server};

/// The servers of a backend that are available, and the balancer over exactly them.
#[derive(Debug)]
pub struct View {
    /// Invariant: those that serve, then the backups that stand by.
    available: Box<[Member]>,
    servers: Box<[Arc<Server>]>,
    /// Absent when nobody serves.
    serving: Option<Tier>,
    /// Absent when nobody stands by.
    standby: Option<Tier>,
}

/// Members that are picked among, by the balancer over exactly them.
#[derive(Debug)]
struct Tier {
    /// The place of the first among those available.
    start: usize,
    /// How many come behind it.
    last: usize,
    balancer: Arc<dyn Balancer>,
}

/// What kept members from being picked.
#[derive(Debug, Clone, Copy, Default)]
struct PassedOver {
    /// At least one was excluded by the caller.
    excluded: bool,
    /// At least one was at its limit.
    full: bool,
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
    /// A view of those that serve and the backups that stand by, among all servers; the policy is asked only where
    /// there are any. Whoever did not serve `before` joins those who did.
    pub(super) fn new(
        (mut serving, standby): (Vec<Member>, Vec<Member>),
        servers: Vec<Arc<Server>>,
        policy: &dyn Policy,
        position: &Arc<Position>,
        before: Option<&Self>,
    ) -> Self {
        if let Some(before) = before {
            before.mark_joined(&mut serving, position.now());
        }
        let tier = |members: &[Member], start| {
            let balancer = || policy.balancer(&Members::new(members, position));
            let last = members.len().checked_sub(1)?;
            Some(Tier { start, last, balancer: balancer() })
        };
        Self {
            serving: tier(&serving, 0),
            standby: tier(&standby, serving.len()),
            available: serving.into_iter().chain(standby).collect(),
            servers: servers.into(),
        }
    }

    /// Every server that exists, available or not: whoever keeps something for each server, such as a pool or
    /// counters, keeps it for these.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// All that serve, in the order of the configuration.
    pub fn members(&self) -> &[Member] {
        self.serving.as_ref().map_or(&[], |tier| &self.available[..=tier.last])
    }

    /// All that may be picked: the [`members`](Self::members), then the backups that stand by for exchanges that
    /// these have failed.
    pub fn available(&self) -> &[Member] {
        &self.available
    }

    /// Asks the balancer for an index into [`members`](Self::members); `None` when there are none. Takes no slot.
    pub fn pick(&self, request: &PickInput<'_>) -> Option<usize> {
        Some(self.serving.as_ref()?.pick(request))
    }

    /// Picks one of [`available`](Self::available) that `may` serve (say: was not tried before) and is below its
    /// limit, and takes a slot there, which the caller gives back, best by [`Lease::entered`](super::Lease::entered).
    ///
    /// Backups that stand by are picked from where `may` excludes a member and the others are full.
    pub fn enter(&self, request: &PickInput<'_>, may: impl Fn(&Server) -> bool) -> Result<usize, Refused> {
        self.enter_where(request, |member| may(&member.server))
    }

    /// As [`enter`](Self::enter), but only a backup, and only where every primary is excluded or full.
    pub fn enter_backup(
        &self,
        request: &PickInput<'_>,
        may: impl Fn(&Server) -> bool,
    ) -> Result<usize, Refused> {
        let is_open = |member: &Member| !member.is_backup && may(&member.server) && member.is_open();
        if self.available.iter().any(is_open) {
            return Err(Refused::NoServer);
        }
        self.enter_where(request, |member| member.is_backup && may(&member.server))
    }

    /// Says of the next members when they joined these.
    fn mark_joined(&self, next: &mut [Member], now: usize) {
        let joined = |member: &Member| (Arc::as_ptr(&member.server), member.joined);
        let known: HashMap<_, _> = self.members().iter().map(joined).collect();
        if next.iter().any(|member| known.contains_key(&Arc::as_ptr(&member.server))) {
            for member in next {
                member.joined = known.get(&Arc::as_ptr(&member.server)).copied().unwrap_or(Some(now));
            }
        }
    }

    fn enter_where(&self, request: &PickInput<'_>, may: impl Fn(&Member) -> bool) -> Result<usize, Refused> {
        let mut passed = PassedOver::default();
        for tier in self.serving.iter().chain(&self.standby) {
            if let Some(at) = tier.enter(&self.available, request, &may, &mut passed) {
                return Ok(at);
            }
            if !passed.excluded {
                break;
            }
        }
        Err(if passed.full { Refused::Full } else { Refused::NoServer })
    }
}

impl Tier {
    /// A place among those available.
    fn pick(&self, request: &PickInput<'_>) -> usize {
        let picked = self.balancer.pick(request);
        debug_assert!(picked <= self.last, "a balancer picked outside its members");
        // A balancer from outside the crate that breaks its promise must not take a worker down.
        self.start + picked.min(self.last)
    }

    /// Takes a slot of a member; where there is none, notes why.
    ///
    /// The first pick nearly always holds. Where it is full or excluded, a second pick spreads what would have
    /// gone there over the others by the policy; after that the members are walked once.
    fn enter(
        &self,
        available: &[Member],
        request: &PickInput<'_>,
        may: &impl Fn(&Member) -> bool,
        passed: &mut PassedOver,
    ) -> Option<usize> {
        let mut enters = |index: usize| {
            let member = &available[index];
            if !may(member) {
                passed.excluded = true;
                return false;
            }
            let enters = member.server.try_enter(member.limit);
            passed.full |= !enters;
            enters
        };
        let first = self.pick(request);
        if enters(first) {
            return Some(first);
        }
        let second = self.pick(request);
        let walk = (second..=self.start + self.last).chain(self.start..second);
        walk.into_iter().find(|index| enters(*index))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::backend::policy::RoundRobin;
    use crate::backend::policy::tests::members;

    fn view(members: Vec<Member>) -> View {
        View::new((members, Vec::new()), Vec::new(), &RoundRobin, &Arc::default(), None)
    }

    /// Members, then one backup.
    fn with_backup(members: Vec<Member>) -> View {
        let address = crate::backend::ServerAddress::Tcp(([10, 0, 0, 2], 1).into());
        let spare = Arc::new(Server::new("shop", "spare", address));
        let backup = Member { is_backup: true, ..Member::new(spare, NonZeroU32::MIN) };
        View::new((members, vec![backup]), Vec::new(), &RoundRobin, &Arc::default(), None)
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

    #[test]
    fn a_backup_stands_by_for_what_the_members_have_failed() {
        let view = with_backup(members(&[1, 1]));
        let all_but = |tried: usize| {
            let view = &view;
            move |server: &Server| {
                !view.members()[..tried].iter().any(|member| std::ptr::eq(server, &*member.server))
            }
        };
        assert_eq!((view.members().len(), view.available().len()), (2, 3));
        assert_eq!(view.enter(&PickInput::default(), all_but(1)), Ok(1));
        assert_eq!(view.enter_backup(&PickInput::default(), all_but(1)), Err(Refused::NoServer));
        assert_eq!(view.enter(&PickInput::default(), all_but(2)), Ok(2));
        assert_eq!(view.enter_backup(&PickInput::default(), all_but(2)), Ok(2));
        assert_eq!(view.enter(&PickInput::default(), |_| false), Err(Refused::NoServer));
    }

    #[test]
    fn a_backup_is_no_way_around_a_queue() {
        let view = with_backup(limited(&[1, 1], 1));
        let [first, second] = [0, 1].map(|at| view.members()[at].server.clone());
        assert!(first.try_enter(None) && second.try_enter(None));
        assert_eq!(view.enter(&PickInput::default(), |_| true), Err(Refused::Full));
        let untried = |server: &Server| !std::ptr::eq(server, &*first);
        assert_eq!(view.enter(&PickInput::default(), untried), Ok(2), "but one of them has failed");
    }
}
