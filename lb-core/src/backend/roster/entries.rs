//! The facts about a backend's servers, and who is available by them. Plain values: no lock, no clock.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use super::super::ejection::Ejection;
use super::super::tally::{Health, Tally};
use super::super::{
    Address, Backend, HealthCheck, Member, Passive, Server, ServerAddress, ServerSpec, ServerState,
};
use super::events::{CheckOutcome, Flip, FlipKind, Operator, Resolved};

/// One group for each server spec of the backend, in its order.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) groups: Vec<Group>,
}

/// A server spec with the servers it has become: one for a literal address, any number for a name.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) spec: ServerSpec,
    pub(super) operator: Operator,
    /// Why the name doesn't resolve, as long as it doesn't.
    pub(super) unresolved: Option<String>,
    /// The absolute name whose addresses the entries are, if the name was completed to one.
    pub(super) absolute_name: Option<Arc<str>>,
    /// In the order of their addresses, so that turns don't follow a resolver's shuffling.
    pub(super) entries: Vec<Entry>,
}

/// One server and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) server: Arc<Server>,
    pub(super) tally: Tally,
    /// Invariant: while it is set, the server's failure count is watched.
    pub(super) ejection: Option<Ejection>,
    pub(super) last_check: Option<CheckOutcome>,
    /// Its address left the name; it is kept while something is in flight to it.
    pub(super) is_gone: bool,
}

impl Entries {
    pub(super) fn new(backend: &Backend) -> Self {
        let group = |spec: &ServerSpec| {
            let address = match &spec.address {
                Address::Socket(addr) => Some(ServerAddress::Tcp(*addr)),
                Address::Unix(path) => Some(ServerAddress::Unix(path.as_path().into())),
                Address::Name { .. } => None,
            };
            let entry = |address| {
                let server = Server::new(backend.name().clone(), spec.name.as_str(), address);
                Entry::new(server, backend.health())
            };
            let entries = address.map(entry).into_iter().collect();
            let (unresolved, absolute_name) = (None, None);
            Group { spec: spec.clone(), operator: Operator::Ready, unresolved, absolute_name, entries }
        };
        Self { groups: backend.servers().iter().map(group).collect() }
    }

    pub(super) fn resolved(
        &mut self,
        backend: &Backend,
        spec: &str,
        absolute_name: Option<&str>,
        addrs: &[SocketAddr],
    ) -> Resolved {
        self.forget_drained();
        let Some(group) = self.group(spec) else { return Resolved::default() };
        if addrs.is_empty() || !matches!(group.spec.address, Address::Name { .. }) {
            return Resolved::default();
        }
        group.unresolved = None;
        group.absolute_name = absolute_name.map(Arc::from);
        let mut resolved = Resolved::default();
        // By sets: a name may have thousands of addresses.
        let listed: HashSet<_> = addrs.iter().collect();
        let mut known = HashSet::new();
        for entry in &mut group.entries {
            let ServerAddress::Tcp(addr) = entry.server.address() else { continue };
            known.insert(*addr);
            let is_listed = listed.contains(addr);
            if entry.is_gone == is_listed {
                entry.is_gone = !is_listed;
                let list = if is_listed { &mut resolved.added } else { &mut resolved.gone };
                list.push(entry.server.clone());
            }
        }
        for addr in addrs {
            if known.insert(*addr) {
                let address = ServerAddress::Tcp(*addr);
                let name = format!("{spec}/{addr}");
                let entry = Entry::new(Server::new(backend.name().clone(), name, address), backend.health());
                resolved.added.push(entry.server.clone());
                group.entries.push(entry);
            }
        }
        group.entries.sort_by(|a, b| a.server.address().cmp(b.server.address()));
        resolved
    }

    pub(super) fn unresolved(&mut self, spec: &str, reason: &str) {
        if let Some(group) = self.group(spec) {
            group.unresolved = Some(reason.to_owned());
        }
    }

    /// Whether there is such a spec, and whether that changed anything.
    pub(super) fn set_operator(&mut self, spec: &str, wanted: Operator) -> (bool, bool) {
        let Some(group) = self.group(spec) else { return (false, false) };
        let before = std::mem::replace(&mut group.operator, wanted);
        (true, before != wanted)
    }

    /// Leaves the server out, unless no other one stands. What arrives while it is out changes nothing.
    pub(super) fn eject(&mut self, server: &Server, passive: Passive, now: Instant) -> Option<Flip> {
        if !self.can_spare(server) {
            return None;
        }
        let entry = self.find(server)?;
        let ejection = match entry.ejection {
            Some(ejection) if ejection.is_trial => ejection.again(passive, now),
            Some(_) => return None,
            // Another worker's success may have come between the count and the lock.
            None if server.failures() < passive.failures => return None,
            None => Ejection::first(passive, now),
        };
        server.failure_count().watch();
        entry.ejection = Some(ejection);
        let reason = format!("{} connects in a row failed", server.failures());
        Some(entry.flip(FlipKind::Ejected(ejection.until - now), reason))
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<Flip> {
        let expires = |entry: &mut Entry| {
            let is_over = entry.ejection.as_mut().is_some_and(|ejection| ejection.expire(now));
            is_over.then(|| entry.flip(FlipKind::Trial, String::from("ejection is over")))
        };
        self.groups.iter_mut().flat_map(|group| &mut group.entries).filter_map(expires).collect()
    }

    pub(super) fn forget_drained(&mut self) {
        for group in &mut self.groups {
            group.entries.retain(|entry| !entry.is_drained());
        }
    }

    pub(super) fn find(&mut self, server: &Server) -> Option<&mut Entry> {
        let entries = self.groups.iter_mut().flat_map(|group| &mut group.entries);
        entries.into_iter().find(|entry| std::ptr::eq(&*entry.server, server))
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let ejections = self.iter().filter_map(|entry| entry.ejection);
        ejections.filter(|ejection| !ejection.is_trial).map(|ejection| ejection.until).min()
    }

    /// All but the drained.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.groups.iter().flat_map(|group| &group.entries).filter(|entry| !entry.is_drained())
    }

    pub(super) fn servers(&self) -> Vec<Arc<Server>> {
        self.iter().map(|entry| entry.server.clone()).collect()
    }

    pub(super) fn addresses(&self, spec: &str) -> Vec<SocketAddr> {
        let group = self.groups.iter().find(|group| group.spec.name == spec);
        let listed = group.into_iter().flat_map(|group| &group.entries).filter(|entry| !entry.is_gone);
        let addr = |entry: &Entry| match entry.server.address() {
            ServerAddress::Tcp(addr) => Some(*addr),
            ServerAddress::Unix(_) => None,
        };
        listed.filter_map(addr).collect()
    }

    pub(super) fn absolute_name(&self, spec: &str) -> Option<Arc<str>> {
        self.groups.iter().find(|group| group.spec.name == spec)?.absolute_name.clone()
    }

    pub(super) fn to_check(&self) -> impl Iterator<Item = &Entry> {
        let groups = self.groups.iter().filter(|group| group.operator != Operator::Maintenance);
        groups.flat_map(|group| &group.entries).filter(|entry| !entry.is_gone)
    }

    /// Who serves and who stands by, by the rules that [`Roster`](super::Roster) states.
    pub(super) fn available(&self) -> (Vec<Member>, Vec<Member>) {
        let eligible = self.eligible();
        let stands = |backup: bool| {
            eligible.iter().any(|(group, entry)| group.spec.backup == backup && entry.ejection.is_none())
        };
        let (primary_stands, backup_stands) = (stands(false), stands(true));
        let nobody_stands = !primary_stands && !backup_stands;
        let has_primary = eligible.iter().any(|(group, _)| !group.spec.backup);
        let may_serve = |(_, entry): &&(&Group, &Entry)| {
            nobody_stands || entry.ejection.is_none_or(|ejection| ejection.is_trial)
        };
        let primaries_alone = if nobody_stands { has_primary } else { primary_stands };
        let member = |(group, entry): &(&Group, &Entry)| {
            let is_trial = entry.ejection.is_some() && !nobody_stands;
            let limit = if is_trial { Some(NonZeroU32::MIN) } else { group.spec.max_connections };
            let weight = NonZeroU32::new(group.spec.weight)?;
            Some(Member { limit, is_backup: group.spec.backup, ..Member::new(entry.server.clone(), weight) })
        };
        let members = eligible.iter().filter(may_serve).filter_map(member);
        members.partition(|member| !member.is_backup || !primaries_alone)
    }

    /// Who could serve but for ejections.
    fn eligible(&self) -> Vec<(&Group, &Entry)> {
        let all =
            || self.groups.iter().flat_map(|group| group.entries.iter().map(move |entry| (group, entry)));
        let ready = || all().filter(|(group, entry)| group.takes_traffic() && !entry.is_gone);
        let has_result = ready().any(|(_, entry)| entry.tally.health() != Health::Unknown);
        let is_healthy = |entry: &Entry| match entry.tally.health() {
            Health::Up => true,
            Health::Unknown => !has_result,
            Health::Down => false,
        };
        ready().filter(|(_, entry)| is_healthy(entry)).collect()
    }

    /// Whether leaving it out makes a difference and leaves another one standing.
    fn can_spare(&self, server: &Server) -> bool {
        let eligible = self.eligible();
        let is_it = |entry: &Entry| std::ptr::eq(&*entry.server, server);
        let another_stands = eligible.iter().any(|(_, entry)| entry.ejection.is_none() && !is_it(entry));
        another_stands && eligible.iter().any(|(_, entry)| is_it(entry))
    }

    fn group(&mut self, spec: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.spec.name == spec)
    }
}

impl Group {
    fn takes_traffic(&self) -> bool {
        self.operator == Operator::Ready && self.spec.weight > 0
    }

    pub(super) fn state(&self, entry: Option<&Entry>) -> ServerState {
        match (self.operator, entry) {
            (Operator::Maintenance, _) => ServerState::Maintenance,
            (Operator::Drain, _) => ServerState::Drain,
            (_, None) => ServerState::Unresolved,
            (_, Some(entry)) if entry.is_gone || self.spec.weight == 0 => ServerState::Drain,
            (_, Some(entry)) => match entry.tally.health() {
                Health::Unknown => ServerState::Unknown,
                Health::Up => ServerState::Up,
                Health::Down => ServerState::Down,
            },
        }
    }
}

impl Entry {
    pub(super) fn new(server: Server, check: Option<&HealthCheck>) -> Self {
        let tally = Tally::new(check);
        Self { server: Arc::new(server), tally, ejection: None, last_check: None, is_gone: false }
    }

    /// Counts a check's result. A flip ends an ejection: it is the fresher evidence.
    pub(super) fn checked(&mut self, check: &HealthCheck, outcome: CheckOutcome) -> Option<Flip> {
        let flips = self.tally.record(outcome.passed, check);
        let kind = if outcome.passed { FlipKind::Up } else { FlipKind::Down };
        let flip = flips.then(|| self.flip(kind, outcome.detail.clone()));
        self.last_check = Some(outcome);
        if flips {
            self.ejection = None;
            self.server.failure_count().clear();
        }
        flip
    }

    /// Ends an ejection, if there is one.
    pub(super) fn returns(&mut self) -> Option<Flip> {
        self.ejection.take()?;
        Some(self.flip(FlipKind::Returned, String::from("a connect succeeded")))
    }

    /// Its address left the name, and nothing is in flight to it any more.
    pub(super) fn is_drained(&self) -> bool {
        self.is_gone && self.server.in_flight() == 0
    }

    fn flip(&self, kind: FlipKind, reason: String) -> Flip {
        Flip { server: self.server.clone(), kind, reason }
    }
}
