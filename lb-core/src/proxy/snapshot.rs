//! What a proxy does, as one whole.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::admin::HostName;
use super::frontend::Frontend;
use super::worker::Workers;
use crate::access_log::AccessLog;
use crate::backend::Backend;

/// The validated, immutable form of one whole configuration.
#[derive(Clone)]
pub struct Snapshot {
    pub(super) frontends: Vec<Frontend>,
    /// Every backend that a frontend uses, by name.
    pub(super) backends: BTreeMap<Arc<str>, Backend>,
    pub(super) workers: Workers,
    pub(super) drain_delay: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) max_connections: usize,
    pub(super) admin: Vec<SocketAddr>,
    pub(super) admin_hosts: Arc<[HostName]>,
    pub(super) access_log: Option<Arc<dyn AccessLog>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("frontends", &self.frontends)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}
