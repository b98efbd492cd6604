//! What a reload keeps: servers with the same address go on as they were.

use std::collections::HashMap;
use std::net::SocketAddr;
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
            kept.resolve(group, backend);
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
    hosts: HashMap<&'a str, &'a Group>,
    servers: HashMap<(&'a str, &'a ServerAddress), &'a Entry>,
    addresses: HashMap<&'a ServerAddress, &'a Entry>,
}

impl<'a> Kept<'a> {
    fn new(before: &'a Entries) -> Self {
        let groups = before.groups.iter();
        let resolved = groups.clone().filter(|group| !group.entries.is_empty());
        Self {
            names: groups.clone().map(|group| (&group.spec.address, group)).collect(),
            hosts: resolved.filter_map(|group| Some((host(group)?.0, group))).collect(),
            groups: groups.map(|group| (group.spec.name.as_str(), group)).collect(),
            servers: before
                .iter()
                .map(|entry| ((&**entry.server.name(), entry.server.address()), entry))
                .collect(),
            addresses: before.iter().map(|entry| (entry.server.address(), entry)).collect(),
        }
    }

    /// Gives a name the last answer that it had, under whatever spec and with whatever port.
    fn resolve(&self, group: &mut Group, backend: &Backend) {
        let Some((host, port)) = host(group) else { return };
        let same = self.names.get(&group.spec.address);
        let Some(before) = same.or_else(|| self.hosts.get(host)) else { return };
        let entries = before.entries.iter().filter_map(|entry| {
            let ServerAddress::Tcp(addr) = entry.server.address() else { return None };
            // What drains does so at the port where it was.
            let is_kept = same.is_some() || !entry.is_gone;
            is_kept.then(|| (SocketAddr::new(addr.ip(), port), entry.is_gone))
        });
        let entry = |(addr, is_gone)| {
            let name = format!("{}/{addr}", group.spec.name);
            let server = Server::new(backend.name().clone(), name, ServerAddress::Tcp(addr));
            Entry { is_gone, ..Entry::new(server, backend.health()) }
        };
        group.entries = entries.map(entry).collect();
        group.unresolved.clone_from(&before.unresolved);
        group.absolute_name.clone_from(&before.absolute_name);
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

/// The name that a group is looked up by, and its servers' port.
fn host(group: &Group) -> Option<(&str, u16)> {
    match &group.spec.address {
        Address::Name { host, port } => Some((host, *port)),
        Address::Socket(_) | Address::Unix(_) => None,
    }
}
