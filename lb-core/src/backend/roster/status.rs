//! What the status page shows of a backend's servers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::super::{Server, ServerState, View};
use super::CheckOutcome;
use super::entries::{Entries, Entry, Group};

/// One server as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its name; that of the spec while it is unresolved.
    pub name: String,
    /// Where it is dialled; as configured while it is unresolved.
    pub address: String,
    /// Its state, ejections apart.
    pub state: ServerState,
    /// Whether it may be picked now: it serves, or stands by as a backup.
    pub is_available: bool,
    /// Its configured weight.
    pub weight: u32,
    /// Whether it is a backup.
    pub backup: bool,
    /// Exchanges in flight to it, over all workers.
    pub in_flight: u32,
    /// Connects that failed in a row.
    pub failures: u32,
    /// Left out until then, because connects failed; past: on trial.
    pub ejected_until: Option<Instant>,
    /// The last check's result.
    pub last_check: Option<CheckOutcome>,
    /// Why its name doesn't resolve at the moment, if it doesn't.
    pub unresolved: Option<String>,
}

pub(super) fn collect(view: &View, entries: &Entries) -> Vec<ServerStatus> {
    let available: HashSet<*const Server> =
        view.available().iter().map(|member| Arc::as_ptr(&member.server)).collect();
    let of_group = |group: &Group| {
        let of_entry =
            |entry: &Entry| of_entry(group, entry, available.contains(&Arc::as_ptr(&entry.server)));
        let entries = group.entries.iter().filter(|entry| !entry.is_drained());
        let rows: Vec<_> = entries.map(of_entry).collect();
        if rows.is_empty() { vec![of_unresolved(group)] } else { rows }
    };
    entries.groups.iter().flat_map(of_group).collect()
}

fn of_entry(group: &Group, entry: &Entry, is_available: bool) -> ServerStatus {
    let server = &entry.server;
    ServerStatus {
        name: server.name().to_string(),
        address: server.address().to_string(),
        state: group.state(Some(entry)),
        is_available,
        in_flight: server.in_flight(),
        failures: server.failures(),
        ejected_until: entry.ejection.map(|ejection| ejection.until),
        last_check: entry.last_check.clone(),
        ..of_unresolved(group)
    }
}

fn of_unresolved(group: &Group) -> ServerStatus {
    ServerStatus {
        name: group.spec.name.clone(),
        address: group.spec.address.to_string(),
        state: group.state(None),
        is_available: false,
        weight: group.spec.weight,
        backup: group.spec.backup,
        in_flight: 0,
        failures: 0,
        ejected_until: None,
        last_check: None,
        unresolved: group.unresolved.clone(),
    }
}
