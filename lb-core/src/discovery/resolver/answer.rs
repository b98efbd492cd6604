//! What is known of a name, and what a lookup finds.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// At least one; each once.
    pub addrs: Vec<IpAddr>,
    /// How long they hold: the shortest of the records; what `/etc/hosts` says counts as for a minute.
    pub ttl: Duration,
    /// The name in DNS that has them, where the search list may have completed it.
    pub absolute_name: Option<String>,
}

/// What is known of a name from the last answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its addresses.
    pub addrs: Vec<IpAddr>,
    /// The name in DNS that has them.
    pub absolute_name: Option<Arc<str>>,
}

/// An answer that can be used, though perhaps not the whole of it.
pub struct Found {
    /// With what has come so far.
    pub answer: Answer,
    /// While one address family keeps silent: the answer with both. It ends when the name servers have been given up.
    pub rest: Option<Rest>,
}

/// The answer with both address families; nothing if there is nothing to add.
pub type Rest = Pin<Box<dyn Future<Output = Option<Answer>> + Send>>;

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LookupError {
    /// There is no such name, or it has no addresses.
    #[error("no such name, or it has no addresses; is it spelled right, and is the service running?")]
    NotFound,
    /// No name server gave an answer that can be used.
    #[error("lookup failed: {0}")]
    Failed(String),
}

/// Whether this machine has a way to an address.
pub(super) type RouteTest = fn(IpAddr) -> bool;

impl From<Answer> for Found {
    fn from(answer: Answer) -> Self {
        Self { answer, rest: None }
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("answer", &self.answer).finish_non_exhaustive()
    }
}
