//! A server as a balancer sees it.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::Server;

/// One server that may be picked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Member {
    /// The server.
    pub server: Arc<Server>,
    /// Its share; never zero.
    pub weight: NonZeroU32,
    /// How many exchanges may be in flight to it: its `max_connections`, or one while it is on trial.
    pub limit: Option<NonZeroU32>,
    /// Whether it is a backup.
    pub is_backup: bool,
    /// At which turn of the backend's [`Position`](super::Position) it joined others that serve: what is in flight to it
    /// says little for a while. `None`: it was there before them, or with them.
    pub joined: Option<usize>,
}

impl Member {
    /// A member without a limit; for a policy's tests, the roster makes the real ones.
    pub fn new(server: Arc<Server>, weight: NonZeroU32) -> Self {
        Self { server, weight, limit: None, is_backup: false, joined: None }
    }

    /// Whether it is below its limit.
    pub(super) fn is_open(&self) -> bool {
        self.limit.is_none_or(|limit| self.server.in_flight() < limit.get())
    }
}
