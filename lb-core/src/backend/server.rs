//! A server as it runs: who it is, what is in flight to it, and the lease that gives its slot back.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_utils::CachePadded;

use super::address::UnixName;
use super::ejection::Failures;

/// One address that serves. Lives as long as anybody uses it, over reloads too; all workers share it.
///
/// Whether it may be picked is not here but in the [`Roster`](super::Roster): one fact in one place.
#[derive(Debug)]
pub struct Server {
    backend: Arc<str>,
    name: Arc<str>,
    address: ServerAddress,
    /// On a cache line of its own: every worker writes it for every exchange.
    in_flight: CachePadded<AtomicU32>,
    failures: Failures,
}

/// Where a server is dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerAddress {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix stream socket, or behind a NUL an abstract name.
    Unix(Arc<Path>),
}

/// Whether a server takes traffic, in the operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerState {
    /// Not checked yet.
    Unknown,
    /// Its name has never been resolved.
    Unresolved,
    /// Takes traffic.
    Up,
    /// Its health check failed.
    Down,
    /// Finishes what it has and gets nothing new: by the operator, by a weight of 0, or because its address left the
    /// name.
    Drain,
    /// Taken out by the operator; not checked either.
    Maintenance,
}

impl Server {
    /// A server with nothing in flight. The roster makes them; a policy's tests may.
    pub fn new(backend: impl Into<Arc<str>>, name: impl Into<Arc<str>>, address: ServerAddress) -> Self {
        Self {
            backend: backend.into(),
            name: name.into(),
            address,
            in_flight: CachePadded::default(),
            failures: Failures::default(),
        }
    }

    /// Takes an in-flight slot unless `limit` are taken already; whoever took one calls [`leave`](Self::leave)
    /// once, best by a [`Lease`].
    pub fn try_enter(&self, limit: Option<NonZeroU32>) -> bool {
        // Counter only: nothing else is published by it, so relaxed throughout.
        let Some(limit) = limit else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let free = |taken: u32| (taken < limit.get()).then(|| taken + 1);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }

    /// Gives a slot back.
    pub fn leave(&self) {
        let before = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a slot of {} was given back twice", self.name);
    }

    /// The backend it serves in.
    pub fn backend(&self) -> &Arc<str> {
        &self.backend
    }

    /// Its name, unique in its backend: the one configured, and `name/address` where that name was resolved.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it is dialled.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Exchanges in flight to it, over all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Connects that failed in a row, up to now.
    pub fn failures(&self) -> u32 {
        self.failures.count()
    }

    /// For the roster alone.
    pub(super) fn failure_count(&self) -> &Failures {
        &self.failures
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => UnixName(path).fmt(f),
        }
    }
}

impl ServerState {
    /// Every state there is.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::Unresolved, Self::Up, Self::Down, Self::Drain, Self::Maintenance];

    /// The word of the configuration and the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unresolved => "unresolved",
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<Self> for Server {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// A picked server with its in-flight slot, given back on drop.
///
/// `H` is what the holder keeps of the server: an `Arc<Server>`, or a worker's own handle with its pool.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::sync::Arc;
/// use lb_core::backend::{Lease, Server, ServerAddress};
/// let server = Arc::new(Server::new("shop", "web1", ServerAddress::Tcp("10.0.0.1:80".parse()?)));
/// let one = NonZeroU32::new(1);
/// let lease = Lease::take(server.clone(), one).expect("the slot is free");
/// assert!(Lease::take(server.clone(), one).is_none(), "the slot is taken");
/// drop(lease);
/// assert_eq!(server.in_flight(), 0);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use = "dropping a lease gives the slot back"]
#[derive(Debug)]
pub struct Lease<H: AsRef<Server>> {
    held: H,
}

impl<H: AsRef<Server>> Lease<H> {
    /// Takes a slot; `None` when `limit` are taken.
    pub fn take(held: H, limit: Option<NonZeroU32>) -> Option<Self> {
        held.as_ref().try_enter(limit).then(|| Self { held })
    }

    /// Makes a lease of a slot that the caller has taken by [`Server::try_enter`] or
    /// [`View::enter`](super::View::enter).
    pub fn entered(held: H) -> Self {
        Self { held }
    }

    /// The server whose slot it is.
    pub fn server(&self) -> &Server {
        self.held.as_ref()
    }
}

impl<H: AsRef<Server>> Deref for Lease<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.held
    }
}

impl<H: AsRef<Server>> Drop for Lease<H> {
    fn drop(&mut self) {
        self.held.as_ref().leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server::new("shop", "web1", ServerAddress::Tcp("10.0.0.1:80".parse().unwrap()))
    }

    #[test]
    fn a_limit_holds_at_its_edge() {
        let server = server();
        let limit = NonZeroU32::new(3);
        assert_eq!([1, 2, 3, 4].map(|_| server.try_enter(limit)), [true, true, true, false]);
        assert_eq!(server.in_flight(), 3);
        server.leave();
        assert!(server.try_enter(limit));
        assert!(server.try_enter(None), "without a limit it is open");
        assert_eq!(server.in_flight(), 4);
        assert!(!server.try_enter(limit), "over a limit that was lowered it is closed");
    }

    #[test]
    fn a_refused_lease_gives_nothing_back() {
        let server = std::sync::Arc::new(server());
        let one = NonZeroU32::new(1);
        let held = Lease::take(server.clone(), one);
        assert!(held.is_some() && Lease::take(server.clone(), one).is_none());
        assert_eq!(server.in_flight(), 1);
        drop(held);
        assert_eq!(server.in_flight(), 0);
    }

    #[test]
    fn threads_never_exceed_a_limit() {
        let server = server();
        let limit = NonZeroU32::new(2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if server.try_enter(limit) {
                            assert!(server.in_flight() <= 2);
                            server.leave();
                        }
                    }
                });
            }
        });
        assert_eq!(server.in_flight(), 0);
    }
}
