//! What runs at a moment, and how a snapshot replaces it.
//!
//! Carrying over is the rule: a server, a backend, a listener that is in both is the same object afterwards, so its
//! health, its counters, its pools and its queue of connections go on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::BindError;
use super::frontend::{Frontend, Seat};
use super::limit::ConnectionLimit;
use super::listener::{Acceptor, Destination};
use super::reserve::Reserve;
use super::snapshot::Snapshot;
use super::worker::Worker;
use crate::backend::{Backend, Roster};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::net::Connections;
use crate::sys::{self, BoundListener, ListenAddress};
use crate::tls::Termination;
use crate::upstream::{SharedBackend, Upstream};

/// Everything that serves now.
#[derive(Debug, Default)]
pub(super) struct Running {
    backends: BTreeMap<Arc<str>, RunningBackend>,
    frontends: Vec<RunningFrontend>,
    listeners: HashMap<ListenerKey, RunningListener>,
    /// Connections of frontends that are gone.
    retired: Vec<Arc<Connections>>,
}

#[derive(Debug)]
struct RunningBackend {
    shared: SharedBackend,
    /// One for each worker.
    upstreams: Vec<Arc<Upstream>>,
    /// Ends its health checks and its discovery.
    tasks: CancellationToken,
}

#[derive(Debug)]
struct RunningFrontend {
    definition: Frontend,
    /// One for each worker.
    acceptors: Vec<Arc<dyn Acceptor>>,
    limit: Arc<ConnectionLimit>,
    /// Ends the watching of its certificates.
    _watching: Option<DropGuard>,
}

#[derive(Debug)]
struct RunningListener {
    frontend: Arc<str>,
    bound: ListenAddress,
    /// One for each worker.
    destinations: Vec<Arc<Live<Destination>>>,
    stop: CancellationToken,
}

/// What tells listeners apart: their address, and whose they are where the kernel chooses the port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ListenerKey {
    address: ListenAddress,
    owner: Option<Arc<str>>,
}

/// What a snapshot needs and did not find running, made before anything changes.
#[derive(Debug)]
pub(super) struct Prepared {
    snapshot: Snapshot,
    listeners: Vec<(ListenerKey, Arc<str>, Vec<BoundListener>)>,
    backends: BTreeMap<Arc<str>, SharedBackend>,
}

/// What the swap needs of the control plane.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) workers: &'a [Worker],
    pub(super) metrics: &'a Metrics,
    pub(super) limit: &'a Arc<ConnectionLimit>,
    /// Dropped by each accept loop that ends.
    pub(super) accepting: &'a mpsc::Sender<()>,
    /// Starts health checks and discovery of a backend.
    pub(super) start_tasks: &'a dyn Fn(&SharedBackend) -> CancellationToken,
    /// Starts watching the certificates of a frontend.
    pub(super) watch: &'a dyn Fn(&Arc<str>, &Termination) -> CancellationToken,
}

impl Running {
    /// Binds and makes what `snapshot` adds. Fails without having changed anything.
    pub(super) fn prepare(&self, snapshot: Snapshot, workers: usize) -> Result<Prepared, BindError> {
        let mut listeners = Vec::new();
        for frontend in &snapshot.frontends {
            for address in &frontend.listen {
                let key = ListenerKey::new(address, &frontend.name);
                if !self.listeners.contains_key(&key) {
                    let bound = sys::bind(address, workers).map_err(|source| BindError {
                        what: format!("frontend {}", frontend.name),
                        address: address.to_string(),
                        source,
                    })?;
                    listeners.push((key, Arc::clone(&frontend.name), bound));
                }
            }
        }
        let fresh = snapshot.backends.values().filter(|backend| !self.has(backend));
        let backends = fresh.map(|backend| (Arc::clone(backend.name()), self.succeed(backend))).collect();
        Ok(Prepared { snapshot, listeners, backends })
    }

    /// Makes a prepared snapshot what serves.
    pub(super) fn swap(&mut self, prepared: Prepared, means: Means<'_>) {
        let Prepared { snapshot, listeners, backends } = prepared;
        means.limit.set(snapshot.max_connections);
        let retired = self.swap_backends(&snapshot, backends, means);
        let gone = self.swap_frontends(&snapshot, means);
        self.swap_listeners(&snapshot, listeners, means);
        // Only now, when no new connection can reach them.
        for frontend in gone {
            for acceptor in frontend.acceptors {
                acceptor.connections().drain();
                self.retired.push(Arc::clone(acceptor.connections()));
            }
        }
        self.retired.retain(|connections| connections.count() > 0);
        retired.into_iter().for_each(|backend| backend.tasks.cancel());
    }

    /// Stops accepting.
    pub(super) fn close_listeners(&mut self) {
        self.listeners.drain().for_each(|(_, listener)| listener.stop.cancel());
    }

    /// The registers of all connections that are open, retired frontends' too.
    pub(super) fn connections(&self) -> Vec<Arc<Connections>> {
        let current = self.frontends.iter().flat_map(|frontend| &frontend.acceptors);
        let current = current.map(|acceptor| acceptor.connections());
        current.chain(&self.retired).cloned().collect()
    }

    pub(super) fn rosters(&self) -> impl Iterator<Item = &Arc<Roster>> {
        self.backends.values().map(|backend| &backend.shared.roster)
    }

    pub(super) fn frontends(&self) -> impl Iterator<Item = &Frontend> {
        self.frontends.iter().map(|frontend| &frontend.definition)
    }

    /// The addresses that a frontend listens on, with the ports that the kernel chose, sorted.
    pub(super) fn addresses(&self, frontend: &str) -> Vec<String> {
        let of_frontend = |listener: &&RunningListener| &*listener.frontend == frontend;
        let mut addresses: Vec<_> =
            self.listeners.values().filter(of_frontend).map(|listener| listener.bound.to_string()).collect();
        addresses.sort_unstable();
        addresses
    }

    fn has(&self, backend: &Backend) -> bool {
        self.backends.get(backend.name()).is_some_and(|running| running.shared.backend == *backend)
    }

    fn succeed(&self, backend: &Backend) -> SharedBackend {
        let (roster, queue) = match self.backends.get(backend.name()) {
            Some(before) => {
                if let (Some(tls), Some(before)) = (backend.tls(), before.shared.backend.tls())
                    && tls == before
                {
                    tls.inherit(before);
                }
                (Roster::succeed(backend, &before.shared.roster), Arc::clone(&before.shared.queue))
            }
            None => (Roster::new(backend), Arc::default()),
        };
        SharedBackend { backend: backend.clone(), roster, queue }
    }

    /// Starts what is new and returns what is gone or replaced.
    fn swap_backends(
        &mut self,
        snapshot: &Snapshot,
        fresh: BTreeMap<Arc<str>, SharedBackend>,
        means: Means<'_>,
    ) -> Vec<RunningBackend> {
        let mut retired = Vec::new();
        for (name, shared) in fresh {
            let before = self.backends.remove(&name);
            let upstreams = (0..means.workers.len()).map(|worker| {
                let previous = before.as_ref().map(|before| &*before.upstreams[worker]);
                Arc::new(Upstream::new(&shared, previous, means.metrics, worker))
            });
            let upstreams = upstreams.collect();
            let tasks = (means.start_tasks)(&shared);
            self.backends.insert(name, RunningBackend { shared, upstreams, tasks });
            retired.extend(before);
        }
        let is_gone = |name: &Arc<str>| !snapshot.backends.contains_key(name);
        retired.extend(self.backends.extract_if(.., |name, _| is_gone(name)).map(|(_, backend)| backend));
        for (index, worker) in means.workers.iter().enumerate() {
            let upstreams = self.backends.values().map(|backend| Arc::clone(&backend.upstreams[index]));
            worker.upstreams.store(Arc::new(upstreams.collect()));
        }
        retired
    }

    /// Gives every frontend its new work and returns those that are gone.
    fn swap_frontends(&mut self, snapshot: &Snapshot, means: Means<'_>) -> Vec<RunningFrontend> {
        let mut before = std::mem::take(&mut self.frontends);
        for definition in &snapshot.frontends {
            let previous = before.iter().position(|frontend| {
                frontend.definition.name == definition.name
                    && frontend.definition.mode.name() == definition.mode.name()
            });
            let previous = previous.map(|at| before.swap_remove(at));
            let termination = definition.termination.as_ref();
            if let (Some(tls), Some(previous)) = (termination, &previous)
                && let Some(before) = previous.definition.termination.as_ref()
            {
                tls.inherit(before);
            }
            let acceptors = means.workers.iter().enumerate().map(|(worker, means_of_worker)| {
                let upstreams = definition.mode.backends().iter();
                let seat = Seat {
                    frontend: &definition.name,
                    worker,
                    resources: &means_of_worker.resources,
                    metrics: means.metrics,
                    access_log: snapshot.access_log.as_ref(),
                    upstreams: upstreams
                        .map(|b| Arc::clone(&self.backends[b.name()].upstreams[worker]))
                        .collect(),
                };
                definition.mode.take(seat, previous.as_ref().map(|previous| &previous.acceptors[worker]))
            });
            let acceptors = acceptors.collect();
            let limit = previous.map_or_else(|| ConnectionLimit::new(0), |previous| previous.limit);
            limit.set(definition.max_connections);
            let watching = termination.map(|tls| (means.watch)(&definition.name, tls).drop_guard());
            let definition = definition.clone();
            self.frontends.push(RunningFrontend { definition, acceptors, limit, _watching: watching });
        }
        before
    }

    /// Points listeners at their frontends, starts new ones and stops those that are gone.
    fn swap_listeners(
        &mut self,
        snapshot: &Snapshot,
        fresh: Vec<(ListenerKey, Arc<str>, Vec<BoundListener>)>,
        means: Means<'_>,
    ) {
        let mut wanted: HashMap<ListenerKey, &RunningFrontend> = HashMap::new();
        for frontend in &self.frontends {
            for address in &frontend.definition.listen {
                wanted.insert(ListenerKey::new(address, &frontend.definition.name), frontend);
            }
        }
        debug_assert_eq!(self.frontends.len(), snapshot.frontends.len());
        let reserve = Reserve::new(snapshot.max_connections);
        let destination = |frontend: &RunningFrontend, worker: usize| Destination {
            acceptor: Arc::clone(&frontend.acceptors[worker]),
            admission: frontend.definition.admission.clone(),
            limits: [Arc::clone(&frontend.limit), Arc::clone(means.limit)],
            reserve,
        };
        self.listeners.retain(|key, listener| {
            let Some(frontend) = wanted.get(key) else {
                listener.stop.cancel();
                return false;
            };
            listener.frontend = Arc::clone(&frontend.definition.name);
            for (worker, live) in listener.destinations.iter().enumerate() {
                live.store(Arc::new(destination(frontend, worker)));
            }
            true
        });
        for (key, name, sockets) in fresh {
            let Some(frontend) = wanted.get(&key) else { continue };
            let bound = sockets.first().and_then(|socket| socket.local_address(&key.address).ok());
            let bound = bound.unwrap_or_else(|| key.address.clone());
            let stop = CancellationToken::new();
            let mut destinations = Vec::new();
            for (worker, socket) in sockets.into_iter().enumerate() {
                let live = Arc::new(Live::new(destination(frontend, worker)));
                means.workers[worker].listen(socket, &live, &stop, means.accepting);
                destinations.push(live);
            }
            self.listeners.insert(key, RunningListener { frontend: name, bound, destinations, stop });
        }
    }
}

impl Prepared {
    /// The rosters that are new, whose names want looking up before they serve.
    pub(super) fn rosters(&self) -> impl Iterator<Item = &Arc<Roster>> {
        self.backends.values().map(|shared| &shared.roster)
    }
}

impl ListenerKey {
    fn new(address: &ListenAddress, frontend: &Arc<str>) -> Self {
        let is_chosen_by_kernel = matches!(address, ListenAddress::Tcp(addr) if addr.port() == 0);
        Self { address: address.clone(), owner: is_chosen_by_kernel.then(|| Arc::clone(frontend)) }
    }
}
