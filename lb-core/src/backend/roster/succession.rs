//! What a reload keeps: servers with the same address go on as they were.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::{Address, Backend, Server, ServerAddress};
use super::entries::{Entries, Entry, Group};

impl Entries {
    /// The entries of `backend`, the next definition of the same backend.
    pub(super) fn succeed(&self, backend: &Backend) -> Self {
        let kept = Kept::new(self);
        let mut next = Self::new(backend);
        for group in &mut next.groups {
            if let Some(before) = kept.groups.get(group.spec.name.as_str()) {
                group.operator = before.operator;
            }
            if matches!(group.spec.address, Address::Name { .. }) {
                kept.resolve(group, backend);
            }
            for entry in &mut group.entries {
                kept.go_on(entry, backend);
            }
        }
        next
    }
}

/// The entries before, by what they are found by.
struct Kept<'a> {
    groups: HashMap<&'a str, &'a Group>,
    names: HashMap<&'a Address, &'a Group>,
    servers: HashMap<(&'a str, &'a ServerAddress), &'a Entry>,
    addresses: HashMap<&'a ServerAddress, &'a Entry>,
}

impl<'a> Kept<'a> {
    fn new(before: &'a Entries) -> Self {
        let groups = before.groups.iter();
        Self {
            names: groups.clone().map(|group| (&group.spec.address, group)).collect(),
            groups: groups.map(|group| (group.spec.name.as_str(), group)).collect(),
            servers: before
                .iter()
                .map(|entry| ((&**entry.server.name(), entry.server.address()), entry))
                .collect(),
            addresses: before.iter().map(|entry| (entry.server.address(), entry)).collect(),
        }
    }

    /// Gives a name the last answer that it had, under whatever spec.
    fn resolve(&self, group: &mut Group, backend: &Backend) {
        let Some(before) = self.names.get(&group.spec.address) else { return };
        group.unresolved.clone_from(&before.unresolved);
        for entry in &before.entries {
            let address = entry.server.address().clone();
            let name = format!("{}/{address}", group.spec.name);
            let server = Server::new(backend.name().clone(), name, address);
            group.entries.push(Entry { is_gone: entry.is_gone, ..Entry::new(server, backend.health()) });
        }
    }

    /// Takes over what is known of the address: the server itself where its name stayed, else its health.
    fn go_on(&self, entry: &mut Entry, backend: &Backend) {
        let key = (&**entry.server.name(), entry.server.address());
        let same = self.servers.get(&key).copied();
        let Some(before) = same.or_else(|| self.addresses.get(entry.server.address()).copied()) else {
            return;
        };
        if same.is_some() {
            entry.server = Arc::clone(&before.server);
        }
        // Without a check now, it counts as up; with one only now, it has been serving: up until it fails.
        if backend.health().is_some() {
            entry.tally = before.tally;
            entry.last_check.clone_from(&before.last_check);
        }
        if backend.passive().failures > 0 && before.ejection.is_some() {
            entry.ejection = before.ejection;
            entry.server.failure_count().watch();
        }
    }
}
