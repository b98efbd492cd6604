//! The way to a backend's servers, as one worker sees it: a server chosen, its slot leased, a connection from the
//! pool or a fresh one.
//!
//! An `Upstream` belongs to one worker. What it shares with the others is the roster, which decides who may be
//! chosen, the servers' in-flight counts, and the queue of those who wait for a slot. Everything else, pools and
//! metric shards, is the worker's own.

mod budget;
mod dial;
mod endpoint;
mod queue;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Member, PickInput, Refused, Roster, SendProxy, Server, View};
use crate::live::Live;
use crate::metrics::{BackendShard, ConnectResult, Metrics, Reason};
use crate::net::{Introduction, Stream, is_certificate_refused};

use budget::Budget;
pub(crate) use dial::{Dialer, is_want_of_ours};
pub(crate) use endpoint::Endpoint;
pub(crate) use queue::Queue;

/// One worker's way to one backend.
#[derive(Debug)]
pub(crate) struct Upstream {
    backend: Backend,
    roster: Arc<Roster>,
    queue: Arc<Queue>,
    lineup: Arc<Live<Lineup>>,
    metrics: BackendShard,
    budget: Arc<Budget>,
}

/// The servers, with this worker's own side of each.
#[derive(Debug, Default)]
struct Lineup {
    /// Absent only until the roster has told its first view.
    view: Option<Arc<View>>,
    /// Invariant: one for each that the view has available, in their order.
    available: Box<[Arc<Endpoint>]>,
    /// Every server that exists, by its address in memory: one that is down keeps its pool and its counters.
    endpoints: HashMap<usize, Arc<Endpoint>>,
}

/// What all workers share of a backend.
#[derive(Clone, Debug)]
pub(crate) struct SharedBackend {
    pub(crate) backend: Backend,
    pub(crate) roster: Arc<Roster>,
    pub(crate) queue: Arc<Queue>,
}

/// A server chosen for one exchange, with its slot, which is given back on drop.
#[derive(Debug)]
pub(crate) struct Lease {
    endpoint: Arc<Endpoint>,
    queue: Arc<Queue>,
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("no server is available")]
    NoServer,
    #[error("every server stayed at its max_connections")]
    QueueTimeout,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("connect timed out")]
    Timeout,
    #[error("its certificate is not accepted: {0}")]
    Certificate(io::Error),
    #[error(transparent)]
    Io(io::Error),
}

impl Upstream {
    /// Follows `shared`'s roster from now on, and has `previous` follow it. Servers that `previous` knew keep their pooled
    /// connections.
    pub(crate) fn new(
        shared: &SharedBackend,
        previous: Option<&Self>,
        metrics: &Metrics,
        worker: usize,
    ) -> Self {
        // A connection whose server was believed otherwise, or not even asked, is not good any more.
        let is_same_way = |previous: &&Self| {
            let (before, now) = (&previous.backend, &shared.backend);
            before.tls() == now.tls()
                && before.http2() == now.http2()
                && before.send_proxy() == now.send_proxy()
        };
        // One lineup for both, so that who waits or tries again by the old snapshot chooses among the servers there are
        // now.
        let known = previous.filter(is_same_way).map(|previous| Arc::clone(&previous.lineup));
        let lineup = known.unwrap_or_else(|| Arc::new(Live::new(Lineup::default())));
        shared.roster.subscribe({
            let (lineup, queue) = (Arc::clone(&lineup), Arc::clone(&shared.queue));
            let (metrics, backend) = (metrics.clone(), shared.backend.clone());
            move |view: &Arc<View>| {
                let next = lineup.load().follow(view, |server| {
                    let metrics = metrics.server(server.backend(), server.name()).shard(worker);
                    Arc::new(Endpoint::new(Arc::clone(server), &backend, metrics))
                });
                lineup.store(Arc::new(next));
                queue.changed();
            }
        });
        Self {
            backend: shared.backend.clone(),
            roster: Arc::clone(&shared.roster),
            queue: Arc::clone(&shared.queue),
            lineup,
            metrics: metrics.backend(shared.backend.name()).shard(worker),
            budget: previous.map(|previous| Arc::clone(&previous.budget)).unwrap_or_default(),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(crate) fn metrics(&self) -> &BackendShard {
        &self.metrics
    }

    /// Counts a request, of which retries are a share.
    pub(crate) fn count_request(&self) {
        self.budget.request();
    }

    /// Whether another server may be tried after `retries`; if so, it is taken out of the backend's budget.
    fn may_retry(&self, retries: u32) -> bool {
        retries < self.backend.retries() && self.budget.retry(self.backend.retry_budget())
    }

    /// Chooses a server that is not among `tried` and has a slot free.
    pub(crate) fn try_lease(&self, request: &PickInput<'_>, tried: &[Arc<Server>]) -> Result<Lease, Refused> {
        let lineup = self.lineup.load();
        let view = lineup.view.as_ref().ok_or(Refused::NoServer)?;
        let at = view.enter(request, |server| !is_among(tried, server))?;
        Ok(self.lease(&lineup, at))
    }

    /// Goes on after [`Upstream::try_lease`] was refused: waits for a slot where all are at their limit.
    pub(crate) async fn wait_for_lease(
        &self,
        request: &PickInput<'_>,
        tried: &[Arc<Server>],
        refused: Refused,
    ) -> Result<Lease, LeaseError> {
        if refused == Refused::NoServer {
            return Err(LeaseError::NoServer);
        }
        let _waiting = self.queue.wait();
        let turn = async {
            loop {
                let freed = self.queue.freed();
                tokio::pin!(freed);
                freed.as_mut().enable();
                match self.try_lease(request, tried) {
                    Ok(lease) => return Ok(lease),
                    Err(Refused::NoServer) => return Err(LeaseError::NoServer),
                    Err(Refused::Full) => freed.await,
                }
            }
        };
        let timeout = self.backend.timeouts().queue;
        tokio::time::timeout(timeout, turn).await.unwrap_or(Err(LeaseError::QueueTimeout))
    }

    /// Another server for an exchange that those `tried` have failed: as long as retries and their budget last any
    /// that is left, and beyond them one backup, once every primary that is open was tried. Backups are there for
    /// that, and a single one more is no storm.
    pub(crate) async fn lease_another(
        &self,
        request: &PickInput<'_>,
        tried: &[Arc<Server>],
        retries: u32,
    ) -> Option<Lease> {
        if !self.may_retry(retries) {
            return self.lease_backup(request, tried);
        }
        match self.try_lease(request, tried) {
            Ok(lease) => Some(lease),
            Err(refused) => self.wait_for_lease(request, tried, refused).await.ok(),
        }
    }

    /// The first backup of an exchange that the primaries have failed.
    fn lease_backup(&self, request: &PickInput<'_>, tried: &[Arc<Server>]) -> Option<Lease> {
        let lineup = self.lineup.load();
        let view = lineup.view.as_ref()?;
        let was_tried = |member: &Member| member.is_backup && is_among(tried, &member.server);
        if view.available().iter().any(was_tried) {
            return None;
        }
        let at = view.enter_backup(request, |server| !is_among(tried, server)).ok()?;
        Some(self.lease(&lineup, at))
    }

    fn lease(&self, lineup: &Lineup, at: usize) -> Lease {
        Lease { endpoint: Arc::clone(&lineup.available[at]), queue: Arc::clone(&self.queue) }
    }

    /// An idle connection to the leased server.
    pub(crate) fn reuse(&self, lease: &Lease) -> Option<Stream> {
        let stream = lease.endpoint.take_idle()?;
        self.reused(lease);
        Some(stream)
    }

    /// Counts that an open connection to the leased server serves another exchange.
    pub(crate) fn reused(&self, lease: &Lease) {
        lease.endpoint.metrics().connection(ConnectResult::Reused);
    }

    /// Whether servers are told who the client is.
    pub(crate) fn introduces_clients(&self) -> bool {
        self.backend.send_proxy() != SendProxy::Off
    }

    /// A fresh connection to the leased server for this client, and how long it took.
    pub(crate) async fn connect(
        &self,
        lease: &Lease,
        client: Introduction<'_>,
    ) -> Result<(Stream, Duration), ConnectError> {
        let began = Instant::now();
        let connecting = lease.endpoint.connect(client);
        let opened = tokio::time::timeout(self.backend.timeouts().connect, connecting).await;
        let now = Instant::now();
        match opened.map_err(|_| ConnectError::Timeout).and_then(|opened| opened.map_err(ConnectError::of)) {
            Ok(stream) => {
                lease.endpoint.metrics().connection(ConnectResult::Opened);
                self.metrics.connect_duration.observe(now - began);
                self.roster.connected(lease.server());
                Ok((stream, now - began))
            }
            Err(error) => {
                lease.endpoint.metrics().connection(ConnectResult::Failed);
                if let ConnectError::Certificate(error) = &error {
                    lease.endpoint.certificate_refused(error, now);
                }
                if !error.is_ours() {
                    self.roster.connect_failed(lease.server(), now);
                }
                Err(error)
            }
        }
    }

    /// Keeps a connection for the next exchange.
    pub(crate) fn keep(&self, lease: &Lease, stream: Stream, now: Instant) {
        // One that was introduced as a client's is no other's.
        if !self.introduces_clients() {
            lease.endpoint.put_idle(stream, self.backend.pool(), now);
        }
    }

    /// A server answered on a connection that was reused: it can be reached.
    pub(crate) fn answered(&self, lease: &Lease) {
        self.roster.connected(lease.server());
    }

    /// Closes all idle connections.
    pub(crate) fn close_idle(&self) {
        self.lineup.load_full().endpoints.values().for_each(|endpoint| endpoint.clear_idle());
    }

    /// Closes idle connections that are too old or that their server has closed. To be called each second.
    pub(crate) fn sweep(&self, now: Instant) {
        self.budget.sweep();
        let limits = self.backend.pool();
        self.lineup.load_full().endpoints.values().for_each(|endpoint| endpoint.sweep(limits, now));
    }
}

fn is_among(tried: &[Arc<Server>], server: &Server) -> bool {
    tried.iter().any(|tried| std::ptr::eq(&**tried, server))
}

impl ConnectError {
    fn of(error: io::Error) -> Self {
        if is_certificate_refused(&error) { Self::Certificate(error) } else { Self::Io(error) }
    }

    /// What went wrong if nobody else could be connected to, either.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Certificate(_) => Reason::ServerCertificate,
            Self::Timeout | Self::Io(_) => Reason::ConnectFailed,
        }
    }

    /// Whether it is this machine that could not connect: no server is to be left out for that.
    fn is_ours(&self) -> bool {
        match self {
            Self::Timeout | Self::Certificate(_) => false,
            Self::Io(error) => is_want_of_ours(error),
        }
    }
}

impl Lineup {
    /// The lineup by `view`: who was known stays the same, `fresh` makes the others.
    fn follow(&self, view: &Arc<View>, fresh: impl Fn(&Arc<Server>) -> Arc<Endpoint>) -> Self {
        let key = |server: &Arc<Server>| Arc::as_ptr(server).addr();
        let endpoint = |server| {
            let known = self.endpoints.get(&key(server));
            (key(server), known.map_or_else(|| fresh(server), Arc::clone))
        };
        let endpoints: HashMap<_, _> = view.servers().iter().map(endpoint).collect();
        let member = |server| Arc::clone(&endpoints[&key(server)]);
        let available = view.available().iter().map(|serving| member(&serving.server)).collect();
        Self { view: Some(Arc::clone(view)), available, endpoints }
    }
}

impl Lease {
    /// Another slot of the same server, whatever its limit: for the same exchange, which gives this one back.
    pub(crate) fn again(&self) -> Self {
        self.endpoint.server().try_enter(None);
        Self { endpoint: Arc::clone(&self.endpoint), queue: Arc::clone(&self.queue) }
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        self.endpoint.server()
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.server().leave();
        self.queue.left();
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_server_is_not_blamed_for_what_this_machine_lacks() {
        let is_ours = |errno: Errno| ConnectError::Io(errno.into()).is_ours();
        assert!(is_ours(Errno::MFILE) && is_ours(Errno::ADDRNOTAVAIL));
        assert!(
            !is_ours(Errno::CONNREFUSED) && !is_ours(Errno::HOSTUNREACH) && !ConnectError::Timeout.is_ours()
        );
    }
}
