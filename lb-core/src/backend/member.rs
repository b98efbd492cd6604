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
}

impl Member {
    /// A member without a limit; for a policy's tests, the roster makes the real ones.
    pub fn new(server: Arc<Server>, weight: NonZeroU32) -> Self {
        Self { server, weight, limit: None }
    }
}
