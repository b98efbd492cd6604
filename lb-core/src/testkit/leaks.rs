//! Which of this process's sockets belong to a proxy.

use std::collections::HashSet;
use std::fs;

/// Sockets by their inodes, which tell one from a later one at the same port.
#[derive(Debug, Default)]
pub(super) struct Sockets(HashSet<String>);

impl Sockets {
    /// The sockets of this process that have one of `ports` as their local port: what a proxy that listens there
    /// holds, listeners and accepted connections alike.
    ///
    /// By `/proc`, since tests of one binary run beside each other and share the table of descriptors.
    pub(super) fn at(ports: &[u16]) -> Self {
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
        let at_ports: HashSet<_> = table.lines().skip(1).filter_map(|line| inode_at(line, ports)).collect();
        Self(open().intersection(&at_ports).cloned().collect())
    }

    /// How many of them are still open.
    pub(super) fn still_open(&self) -> usize {
        open().intersection(&self.0).count()
    }
}

/// The inode in a line of the table, if its local port is one of `ports`.
fn inode_at(line: &str, ports: &[u16]) -> Option<String> {
    // proc_pid_net(5): sl, local address and port in hexadecimal, remote, state, ..., the inode is the tenth.
    let columns: Vec<_> = line.split_whitespace().collect();
    let port = u16::from_str_radix(columns.get(1)?.rsplit(':').next()?, 16).ok()?;
    let inode = *columns.get(9)?;
    ports.contains(&port).then(|| inode.to_owned())
}

fn open() -> HashSet<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let inode = |target: std::path::PathBuf| {
        Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    targets.filter_map(inode).collect()
}
