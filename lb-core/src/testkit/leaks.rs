//! Which of this process's sockets belong to a proxy, to clients or to servers.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;

/// Sockets by their inodes, which tell one from a later one at the same port.
#[derive(Debug, Default)]
pub(super) struct Sockets(HashSet<String>);

impl Sockets {
    /// The sockets of this process that have one of `ports` as their local port: what a proxy that listens there
    /// holds, listeners and accepted connections alike.
    ///
    /// By `/proc`, since tests of one binary run beside each other and share the table of descriptors.
    pub(super) fn at(ports: &[u16]) -> Self {
        Self::among_open(|local, _| ports.contains(&local))
    }

    /// The sockets of this process that are connected to one of `servers`.
    pub(super) fn to(servers: &[SocketAddr]) -> Self {
        let ports: Vec<u16> = servers.iter().map(SocketAddr::port).collect();
        Self::among_open(|_, remote| ports.contains(&remote))
    }

    /// All sockets of this process.
    pub(super) fn all() -> Self {
        Self(open())
    }

    /// Those of them that are not among `others`.
    pub(super) fn without(self, others: &Self) -> Self {
        Self(self.0.difference(&others.0).cloned().collect())
    }

    fn among_open(is_one: impl Fn(u16, u16) -> bool) -> Self {
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
        let ones: HashSet<_> = table.lines().skip(1).filter_map(|line| inode_of(line, &is_one)).collect();
        Self(open().intersection(&ones).cloned().collect())
    }

    /// How many of them are still open.
    pub(super) fn still_open(&self) -> usize {
        open().intersection(&self.0).count()
    }
}

/// The inode in a line of the table, if it is one by its local and its remote port.
fn inode_of(line: &str, is_one: impl Fn(u16, u16) -> bool) -> Option<String> {
    // proc_pid_net(5): sl, local address and port in hexadecimal, remote, state, ..., the inode is the tenth.
    let columns: Vec<_> = line.split_whitespace().collect();
    let port = |at: usize| u16::from_str_radix(columns.get(at)?.rsplit(':').next()?, 16).ok();
    let inode = *columns.get(9)?;
    is_one(port(1)?, port(2)?).then(|| inode.to_owned())
}

fn open() -> HashSet<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let inode = |target: std::path::PathBuf| {
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    targets.filter_map(inode).collect()
}
