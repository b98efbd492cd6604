//! What a roster is told, and what it tells.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backend::Server;

/// One result of a check, as the checker saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// Whether the server passed.
    pub passed: bool,
    /// What happened, for people: `status 200`, `connection refused`.
    pub detail: String,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub latency: Duration,
}

/// What an operator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Operator {
    /// It serves.
    #[default]
    Ready,
    /// It finishes what it has and gets nothing new; checks go on.
    Drain,
    /// As drain, and it isn't checked.
    Maintenance,
}

/// A server's availability changed, told to observers for the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Flip {
    /// Which server.
    pub server: Arc<Server>,
    /// What happened to it.
    pub kind: FlipKind,
    /// Why, for people.
    pub reason: String,
}

/// What happened to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlipKind {
    /// Its checks passed.
    Up,
    /// Its checks failed.
    Down,
    /// Its connects failed; left out for so long.
    Ejected(Duration),
    /// Its ejection is over; it gets one exchange at a time until a connect succeeds.
    Trial,
    /// It could be connected to again after an ejection.
    Returned,
}

/// What an answer of discovery changed.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Servers that are new, or back before they were drained.
    pub added: Vec<Arc<Server>>,
    /// Servers whose address left the name; they drain.
    pub gone: Vec<Arc<Server>>,
}
