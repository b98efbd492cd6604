//! A TCP frontend as one worker serves it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::names::Names;
use crate::access_log::{AccessLog, Warnings};
use crate::live::Live;
use crate::metrics::FrontendShard;
use crate::net::{Connections, Entrance, Resources};
use crate::upstream::Upstream;

/// What a frontend's connections on one worker hold on to: the service may be replaced, this stays.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) service: Live<Service>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) resources: Arc<Resources>,
    pub(crate) worker: usize,
    pub(crate) warnings: Warnings,
}

/// What a frontend does, by one snapshot.
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) entrance: Entrance,
    pub(crate) names: Arc<Names>,
    /// By the places that `names` has.
    pub(crate) upstreams: Box<[Arc<Upstream>]>,
    /// How long TLS, or a ClientHello, may take.
    pub(crate) head: Duration,
    /// How long a tunnel may be silent.
    pub(crate) idle: Duration,
    /// From when on the kernel asks silent ends whether they are there; zero: never.
    pub(crate) keepalive: Duration,
    pub(crate) metrics: FrontendShard,
    pub(crate) access_log: Option<Arc<dyn AccessLog>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
