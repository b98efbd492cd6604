//! Listening sockets: of a TCP port, of a path in the file system, of a name in the abstract namespace.

mod claims;
mod tcp;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

pub(crate) use claims::Claims;
pub(crate) use tcp::{every_address, refuse_new};
pub(crate) use unix::{Access, SocketFile, group_id, user_id};

/// How many finished handshakes the kernel keeps for us; it clamps to `net.core.somaxconn` (listen(2)).
const BACKLOG: i32 = 65_535;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
    /// A socket with a name in the abstract namespace (unix(7)), which has no file.
    Abstract(String),
}

impl ListenAddress {
    /// Whether a connection could be meant for either: the kernel lets one socket have the address and refuses the
    /// other. Port 0 is another port each time.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let is_everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
                one.port() != 0
                    && one.port() == other.port()
                    && (one == other || is_everywhere && one.is_ipv4() == other.is_ipv4())
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// A bound, listening, non-blocking socket that belongs to no runtime yet.
#[derive(Debug)]
pub(crate) enum BoundListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl BoundListener {
    /// The port that was really bound, where 0 was asked for.
    pub(crate) fn local_address(&self, asked: &ListenAddress) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_) => Ok(asked.clone()),
        }
    }
}

/// One address's listening sockets.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listeners: Vec<BoundListener>,
    /// Of a unix socket that has one.
    pub(crate) file: Option<SocketFile>,
}

/// Whether another listening socket may overlap with a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// None may: it would be another process's.
    Alone,
    /// One that this process itself listens on, and is about to give up.
    WithOurs,
}

/// Binds `count` listeners to one address, so that each worker has its own.
///
/// TCP listeners share the port by SO_REUSEPORT (socket(7)): the kernel spreads connections over them and no two
/// workers wake for one. Unix sockets know no such option, so there all workers share one queue.
pub(crate) fn bind(
    address: &ListenAddress,
    count: usize,
    sharing: Sharing,
    access: &Access,
) -> io::Result<Bound> {
    match address {
        ListenAddress::Tcp(addr) => Ok(Bound { listeners: tcp::bind(*addr, count, sharing)?, file: None }),
        ListenAddress::Unix(path) => {
            let (listener, file) = unix::bind(path, access)?;
            Ok(Bound { listeners: unix::share(listener, count)?, file: Some(file) })
        }
        ListenAddress::Abstract(name) => {
            Ok(Bound { listeners: unix::share(unix::bind_abstract(name)?, count)?, file: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_where_the_kernel_lets_only_one_have_them() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", false),
            ("[::]:80", "127.0.0.1:80", false),
            ("0.0.0.0:0", "127.0.0.1:0", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            assert_eq!(tcp(one).overlaps(&tcp(other)), expected, "{one} {other}");
            assert_eq!(tcp(other).overlaps(&tcp(one)), expected, "{other} {one}");
        }
        let path = |text: &str| ListenAddress::Unix(text.into());
        assert!(path("/run/a").overlaps(&path("/run/./a")) && !path("/run/a").overlaps(&path("/run/b")));
    }
}
