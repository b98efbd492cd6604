//! What runs at a moment, and how a snapshot replaces it.
//!
//! Carrying over is the rule: a server, a backend, a listener that is in both is the same object afterwards, so its
//! health, its counters, its pools, its queue and its connections go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::BindError;
use super::frontend::{Frontend, WorkerEnv};
use super::limit::ConnectionLimit;
use super::listener::Destination;
use super::listeners::{Fresh, Listeners, Retired};
use super::reserve::Reserve;
use super::snapshot::Snapshot;
use super::worker::Worker;
use crate::backend::{Backend, Roster};
use crate::metrics::Metrics;
use crate::net::Connections;
use crate::tls::Termination;
use crate::upstream::{SharedBackend, Upstream};

/// Everything that serves now.
#[derive(Debug, Default)]
pub(super) struct Running {
    backends: BTreeMap<Arc<str>, RunningBackend>,
    frontends: Vec<RunningFrontend>,
    pub(super) listeners: Listeners,
    /// Connections that came by what is gone.
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
    limit: Arc<ConnectionLimit>,
    /// Ends the watching of its certificates.
    _watching: Option<DropGuard>,
}

/// What a snapshot needs and did not find running, made before anything changes.
#[derive(Debug)]
pub(super) struct Prepared {
    snapshot: Snapshot,
    /// For each frontend, the running one that goes on in it.
    predecessors: Vec<Option<Arc<str>>>,
    listeners: Fresh,
    backends: BTreeMap<Arc<str>, SharedBackend>,
}

/// What the swap needs of the control plane.
#[derive(Clone, Copy)]
pub(super) struct SwapEnv<'a> {
    pub(super) workers: &'a [Worker],
    pub(super) metrics: &'a Metrics,
    pub(super) limit: &'a Arc<ConnectionLimit>,
    /// Starts health checks and discovery of a backend.
    pub(super) start_tasks: &'a dyn Fn(&SharedBackend) -> CancellationToken,
    /// Starts watching the certificates of a frontend.
    pub(super) watch: &'a dyn Fn(&Arc<str>, &Termination) -> CancellationToken,
    /// Ends connections of a listener that is gone when their time has run out.
    pub(super) retire: &'a dyn Fn(Retired),
}

impl Running {
    /// Binds and makes what `snapshot` adds. Fails without having changed anything.
    pub(super) fn prepare(&self, snapshot: Snapshot, workers: usize) -> Result<Prepared, BindError> {
        let predecessors = self.predecessors(&snapshot);
        let owner = |(frontend, before): (&Frontend, &Option<Arc<str>>)| {
            before.clone().unwrap_or_else(|| Arc::clone(&frontend.name))
        };
        let owners: Vec<_> = snapshot.frontends.iter().zip(&predecessors).map(owner).collect();
        let listeners = self.listeners.prepare(&snapshot.frontends, &owners, workers)?;
        let fresh = snapshot.backends.values().filter(|backend| !self.has(backend));
        let backends = fresh.map(|backend| (Arc::clone(backend.name()), self.succeed(backend))).collect();
        Ok(Prepared { snapshot, predecessors, listeners, backends })
    }

    /// Makes a prepared snapshot what serves.
    pub(super) fn swap(&mut self, prepared: Prepared, env: SwapEnv<'_>) {
        let Prepared { snapshot, predecessors, listeners, backends } = prepared;
        env.limit.set(snapshot.max_connections);
        let retired = self.swap_backends(&snapshot, backends, env);
        self.swap_frontends(&snapshot, predecessors, env);
        self.swap_listeners(&snapshot, listeners, env);
        self.retired.retain(|connections| connections.count() > 0);
        retired.into_iter().for_each(|backend| backend.tasks.cancel());
    }

    /// Stops accepting; what to wait for until nothing is accepted any more.
    pub(super) fn close_listeners(&mut self) -> Vec<CancellationToken> {
        for gone in self.listeners.close_all() {
            self.retired.extend(gone.connections);
        }
        self.listeners.ends()
    }

    /// The registers of all connections that are open, also of those that came by what is gone.
    pub(super) fn connections(&self) -> Vec<Arc<Connections>> {
        self.listeners.connections().chain(self.retired.iter().cloned()).collect()
    }

    pub(super) fn rosters(&self) -> impl Iterator<Item = &Arc<Roster>> {
        self.backends.values().map(|backend| &backend.shared.roster)
    }

    pub(super) fn frontends(&self) -> impl Iterator<Item = &Frontend> {
        self.frontends.iter().map(|frontend| &frontend.definition)
    }

    /// The addresses that a frontend listens on, with the ports that the kernel chose, sorted.
    pub(super) fn addresses(&self, frontend: &str) -> Vec<String> {
        let found = self.frontends().find(|running| &*running.name == frontend);
        let bound = found.into_iter().flat_map(|frontend| self.listeners.of(frontend));
        let mut addresses: Vec<_> = bound.map(ToString::to_string).collect();
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
        env: SwapEnv<'_>,
    ) -> Vec<RunningBackend> {
        let mut retired = Vec::new();
        for (name, shared) in fresh {
            let before = self.backends.remove(&name);
            let upstreams = (0..env.workers.len()).map(|worker| {
                let previous = before.as_ref().map(|before| &*before.upstreams[worker]);
                Arc::new(Upstream::new(&shared, previous, env.metrics, worker))
            });
            let upstreams = upstreams.collect();
            let tasks = (env.start_tasks)(&shared);
            self.backends.insert(name, RunningBackend { shared, upstreams, tasks });
            retired.extend(before);
        }
        let is_gone = |name: &Arc<str>| !snapshot.backends.contains_key(name);
        retired.extend(self.backends.extract_if(.., |name, _| is_gone(name)).map(|(_, backend)| backend));
        for (index, worker) in env.workers.iter().enumerate() {
            let upstreams = self.backends.values().map(|backend| Arc::clone(&backend.upstreams[index]));
            worker.upstreams.store(Arc::new(upstreams.collect()));
        }
        retired
    }

    /// Makes every frontend anew, with what goes on of the one from before.
    fn swap_frontends(&mut self, snapshot: &Snapshot, predecessors: Vec<Option<Arc<str>>>, env: SwapEnv<'_>) {
        let mut before = std::mem::take(&mut self.frontends);
        for (definition, predecessor) in snapshot.frontends.iter().zip(predecessors) {
            let place = predecessor.and_then(|name| before.iter().position(|at| at.definition.name == name));
            let previous = place.map(|at| before.swap_remove(at));
            if let Some(previous) = &previous
                && previous.definition.name != definition.name
            {
                self.listeners.rename(&previous.definition.name, &definition.name);
            }
            let termination = definition.termination.as_ref();
            if let (Some(tls), Some(previous)) = (termination, &previous)
                && let Some(before) = previous.definition.termination.as_ref()
            {
                tls.inherit(before);
            }
            let limit = previous.map_or_else(|| ConnectionLimit::new(0), |previous| previous.limit);
            limit.set(definition.max_connections);
            let watching = termination.map(|tls| (env.watch)(&definition.name, tls).drop_guard());
            let definition = definition.clone();
            self.frontends.push(RunningFrontend { definition, limit, _watching: watching });
        }
    }

    /// For each frontend of `snapshot` the running one that goes on in it: that of its name, or else one that is only
    /// called otherwise now: its name is gone, and its address is this one's. Each goes on in one at most.
    fn predecessors(&self, snapshot: &Snapshot) -> Vec<Option<Arc<str>>> {
        let is_gone = |name: &Arc<str>| !snapshot.frontends.iter().any(|frontend| frontend.name == *name);
        let mut gone: Vec<_> = self.frontends().filter(|running| is_gone(&running.name)).collect();
        let predecessor = |frontend: &Frontend| {
            let is_alike = |running: &Frontend| running.mode.name() == frontend.mode.name();
            if let Some(same) = self.frontends().find(|running| running.name == frontend.name) {
                return is_alike(same).then(|| Arc::clone(&same.name));
            }
            let listens_there =
                |running: &Frontend| frontend.listen.iter().any(|at| running.listen.contains(at));
            let renamed = gone.iter().position(|running| is_alike(running) && listens_there(running))?;
            Some(Arc::clone(&gone.swap_remove(renamed).name))
        };
        snapshot.frontends.iter().map(predecessor).collect()
    }

    /// Points listeners at their frontends, starts new ones and stops those that are gone.
    fn swap_listeners(&mut self, snapshot: &Snapshot, fresh: Fresh, env: SwapEnv<'_>) {
        let reserve = Reserve::new(snapshot.max_connections);
        let mut swap = self.listeners.swap(fresh);
        for RunningFrontend { definition, limit, .. } in &self.frontends {
            let backends = || definition.mode.backends().iter().map(|backend| &self.backends[backend.name()]);
            for address in &definition.listen {
                swap.listen(address, &definition.name, env.workers, |worker, before| {
                    let acceptor = definition.mode.acceptor(
                        WorkerEnv {
                            frontend: &definition.name,
                            worker,
                            resources: &env.workers[worker].resources,
                            metrics: env.metrics,
                            access_log: snapshot.access_log.as_ref(),
                            upstreams: backends().map(|b| Arc::clone(&b.upstreams[worker])).collect(),
                        },
                        before,
                    );
                    let admission = definition.admission.clone();
                    let limits = [Arc::clone(limit), Arc::clone(env.limit)];
                    Destination { acceptor, admission, limits, reserve }
                });
            }
        }
        // Only now, when no new connection can reach them.
        for gone in swap.finish() {
            self.retired.extend(gone.connections.iter().cloned());
            (env.retire)(gone);
        }
    }
}

impl Prepared {
    /// The rosters that are new, whose names want looking up before they serve.
    pub(super) fn rosters(&self) -> impl Iterator<Item = &Arc<Roster>> {
        self.backends.values().map(|shared| &shared.roster)
    }
}
