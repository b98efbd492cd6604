//! An HTTP frontend as one worker serves it.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::filter::Filter;
use super::route::{Memories, Plan, Router};
use super::scratch::Scratch;
use super::settings::{FrontendTimeouts, Limits};
use crate::access_log::{AccessLog, Warnings};
use crate::live::Live;
use crate::metrics::{FrontendShard, RequestShard};
use crate::net::{ClientAddress, Connections, Entrance, Pool, Resources};
use crate::upstream::Upstream;

/// How many finished exchanges' memory a worker keeps for the next ones.
pub(super) const EXCHANGES_RETAINED: usize = 512;

/// What a frontend's connections on one worker hold on to: the service may be replaced, this stays.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) service: Live<Service>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) shared: Arc<Shared>,
}

/// What a frontend does, by one snapshot. Immutable; everything in it that counts is the worker's own.
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) entrance: Entrance,
    pub(crate) router: Arc<Router<RouteTarget>>,
    /// The worker's own for `router`.
    pub(crate) memories: Memories,
    pub(crate) filters: Arc<[Arc<dyn Filter>]>,
    pub(crate) upstreams: Box<[UpstreamUse]>,
    pub(crate) timeouts: FrontendTimeouts,
    pub(crate) limits: Limits,
    /// HTTP/2 is spoken too.
    pub(crate) http2: bool,
    pub(crate) trusted_proxies: Arc<[IpNet]>,
    /// What the proxy calls itself in `Via`, where it does.
    pub(crate) via: Option<Arc<str>>,
    pub(crate) metrics: FrontendShard,
    /// Requests that no backend answered.
    pub(crate) unrouted: RequestShard,
    pub(crate) access_log: Option<Arc<dyn AccessLog>>,
}

/// A route's plan with where its backends stand in [`Service::upstreams`].
#[derive(Debug)]
pub(crate) struct RouteTarget {
    pub(crate) plan: Plan,
    pub(crate) upstreams: Box<[usize]>,
}

/// A backend as this frontend uses it.
#[derive(Debug)]
pub(crate) struct UpstreamUse {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) requests: RequestShard,
}

/// What all HTTP connections of one worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) worker: usize,
    pub(crate) resources: Arc<Resources>,
    pub(crate) warnings: Warnings,
    pub(crate) scratch: Pool<Box<Scratch>>,
}

impl Shared {
    pub(crate) fn new(worker: usize, resources: Arc<Resources>) -> Self {
        Self { worker, resources, warnings: Warnings::default(), scratch: Pool::new(EXCHANGES_RETAINED) }
    }
}

impl Service {
    /// Whether what this client says about where a request came from is believed.
    pub(crate) fn trusts(&self, client: ClientAddress) -> bool {
        !self.trusted_proxies.is_empty()
            && client.ip().is_some_and(|ip| self.trusted_proxies.iter().any(|network| network.contains(&ip)))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
