//! The control plane: starts the workers, applies snapshots, knows how everything is, and ends it all.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::admin::{self, HostName};
use super::limit::ConnectionLimit;
use super::listeners::Retired;
use super::running::{Running, SwapEnv};
use super::snapshot::Snapshot;
use super::status::{BackendStatus, ConfigStatus, FrontendStatus, ServerReport, Status};
use super::worker::Worker;
use super::{BindError, RunError};
use crate::access_log::AccessLog;
use crate::backend::{Roster, ServerState};
use crate::discovery::{self, Resolver};
use crate::health;
use crate::metrics::{CertificateGauge, EncodeError, Gauges, Metrics, ServerGauge};
use crate::sys::{self, Access, BoundListener, ListenAddress};
use crate::tls::{self, Origination, Owner, Termination};
use crate::upstream::SharedBackend;

/// How long new names are looked up before their backends serve all the same.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// What ends the following of each backend's names.
type Following = HashMap<Arc<str>, CancellationToken>;

/// A running reload, as [`Handle::on_reload`](super::Handle::on_reload) makes it.
pub(super) type Reloading = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

/// Everything that outlives a snapshot.
pub(super) struct ControlPlane {
    metrics: Metrics,
    /// Taken by [`ControlPlane::start`].
    initial: Mutex<Option<Snapshot>>,
    settings: Mutex<Settings>,
    started: Instant,
    workers: OnceLock<Vec<Worker>>,
    threads: Mutex<Vec<JoinHandle<usize>>>,
    running: Mutex<Running>,
    /// One snapshot at a time.
    applying: tokio::sync::Mutex<()>,
    limit: Arc<ConnectionLimit>,
    resolver: OnceLock<Resolver>,
    checks: health::Checks,
    is_started: AtomicBool,
    is_draining: AtomicBool,
    /// Ends every task and every worker.
    stop: CancellationToken,
    reload: OnceLock<Box<dyn Fn() -> Reloading + Send + Sync>>,
    config: Mutex<Option<ConfigStatus>>,
}

/// What of a snapshot the control plane itself goes by.
#[derive(Clone)]
struct Settings {
    drain_delay: Duration,
    drain_timeout: Duration,
    access_log: Option<Arc<dyn AccessLog>>,
    /// Where the admin listener is, and what ends it there.
    admin: Vec<(SocketAddr, CancellationToken)>,
    admin_hosts: Arc<[HostName]>,
}

/// What was left when the workers ended. More than none of anything is a mistake, unless the time for draining ran out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    /// Tasks of workers with threads of their own. None: not counted, since connections of HTTP/2 to servers have tasks,
    /// which end with the worker.
    pub(crate) tasks: Option<usize>,
    /// Pipes that were not given back.
    pub(crate) pipes: usize,
}

impl ControlPlane {
    pub(super) fn new(snapshot: Snapshot) -> Arc<Self> {
        let metrics = Metrics::new(snapshot.workers.count());
        let (drain_delay, drain_timeout) = (snapshot.drain_delay, snapshot.drain_timeout);
        let control = Arc::new(Self {
            metrics: metrics.clone(),
            initial: Mutex::new(Some(snapshot)),
            settings: Mutex::new(Settings {
                drain_delay,
                drain_timeout,
                access_log: None,
                admin: Vec::new(),
                admin_hosts: Arc::default(),
            }),
            started: Instant::now(),
            workers: OnceLock::new(),
            threads: Mutex::default(),
            running: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            limit: ConnectionLimit::new(0),
            resolver: OnceLock::new(),
            checks: health::Checks::default(),
            is_started: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            stop: CancellationToken::new(),
            reload: OnceLock::new(),
            config: Mutex::default(),
        });
        let source: Arc<dyn Gauges> = Arc::clone(&control) as _;
        metrics.read_gauges_from(Arc::downgrade(&source));
        control
    }

    /// Starts the workers and applies the first snapshot. On an error everything that was started has ended.
    pub(super) async fn start(self: &Arc<Self>) -> Result<(), RunError> {
        let Some(snapshot) = lock(&self.initial).take() else { return Ok(()) };
        if let Err(error) = sys::raise_open_files_limit() {
            tracing::warn!(%error, "can't raise the limit on open files");
        }
        let kind = snapshot.workers;
        let mut workers = Vec::new();
        for index in 0..kind.count() {
            let (worker, thread) = Worker::start(index, kind, self.stop.clone()).map_err(RunError::Worker)?;
            lock(&self.threads).extend(thread);
            workers.push(worker);
        }
        // Only this function, which runs once, sets it.
        let _ = self.workers.set(workers);
        if let Err(error) = self.apply(snapshot).await {
            self.end().await;
            return Err(error.into());
        }
        self.metrics.configured(SystemTime::now());
        self.is_started.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes `snapshot` what serves, or changes nothing.
    pub(super) async fn apply(self: &Arc<Self>, snapshot: Snapshot) -> Result<(), BindError> {
        let _one_at_a_time = self.applying.lock().await;
        let workers = self.workers.get().map_or(&[][..], Vec::as_slice);
        let admin = self.bind_admin(&snapshot.admin)?;
        let settings = snapshot.clone();
        let prepared = lock(&self.running).prepare(snapshot, workers.len())?;
        let resolver = self.resolver.get_or_init(Resolver::system);
        let following = self.follow(prepared.rosters(), resolver).await;
        let env = SwapEnv {
            workers,
            metrics: &self.metrics,
            limit: &self.limit,
            start_tasks: &|shared| self.start_tasks(shared, &following),
            watch: &|frontend, termination| self.watch(frontend, termination),
            retire: &|gone| self.retire(gone, settings.drain_timeout),
        };
        lock(&self.running).swap(prepared, env);
        self.settle(settings, admin);
        Ok(())
    }

    /// Is not ready any more, stops accepting after the snapshot's delay, waits for open connections as long as the
    /// snapshot says, and ends everything.
    pub(super) async fn drain(&self) -> Left {
        self.is_draining.store(true, Ordering::Release);
        let drain_delay = lock(&self.settings).drain_delay;
        if !drain_delay.is_zero() {
            tracing::info!(delay = ?drain_delay, "not ready; the listeners close after this delay");
            tokio::time::sleep(drain_delay).await;
        }
        let accept_loops = lock(&self.running).close_listeners();
        let drain_timeout = lock(&self.settings).drain_timeout;
        let drained = tokio::time::timeout(drain_timeout, async {
            for accept_loops in accept_loops {
                accept_loops.cancelled().await;
            }
            let connections = lock(&self.running).connections();
            for connections in connections {
                connections.closed().await;
            }
        });
        if drained.await.is_err() {
            let connections = lock(&self.running).connections();
            let left: usize = connections.iter().map(|connections| connections.count()).sum();
            tracing::warn!(connections = left, "the time for draining ran out; closing what is open");
            connections.iter().for_each(|connections| connections.abort());
        }
        let left = self.end().await;
        tracing::debug!(?left, "the workers have ended");
        left
    }

    /// Ends everything at once.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        // With them go the files of unix sockets.
        lock(&self.running).close_listeners();
    }

    /// Where a frontend listens.
    pub(super) fn addresses(&self, frontend: &str) -> Vec<String> {
        lock(&self.running).addresses(frontend)
    }

    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        lock(&self.settings).admin.first().map(|(address, _)| *address)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn set_reload(&self, reload: Box<dyn Fn() -> Reloading + Send + Sync>) {
        // The first to say how a reload is done keeps the say.
        let _ = self.reload.set(reload);
    }

    pub(super) fn set_config(&self, config: ConfigStatus) {
        *lock(&self.config) = Some(config);
    }

    /// Listens where the admin listener is not yet.
    fn bind_admin(&self, wanted: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
        let admin = lock(&self.settings).admin.clone();
        let is_new = |wanted: &&SocketAddr| !admin.iter().any(|(bound, _)| is_same(**wanted, *bound));
        // A port that the kernel chooses is the same for both families.
        let mut chosen = 0;
        let bind = |wanted: &SocketAddr| {
            let port = if wanted.port() == 0 { chosen } else { wanted.port() };
            let address = ListenAddress::Tcp(SocketAddr::new(wanted.ip(), port));
            let sharing = lock(&self.running).listeners.sharing(&address);
            let bound = sys::bind(&address, 1, sharing, &Access::default());
            let listener = bound.and_then(|mut bound| match bound.listeners.pop() {
                Some(BoundListener::Tcp(listener)) => TcpListener::from_std(listener),
                _ => Err(io::ErrorKind::Unsupported.into()),
            });
            let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (local, listener) =
                bound.map_err(|source| BindError { what: "admin".into(), address, source })?;
            chosen = local.port();
            Ok(listener)
        };
        wanted.iter().filter(is_new).map(bind).collect()
    }

    fn settle(self: &Arc<Self>, snapshot: Snapshot, admin: Vec<TcpListener>) {
        let mut settings = lock(&self.settings);
        settings.drain_delay = snapshot.drain_delay;
        settings.drain_timeout = snapshot.drain_timeout;
        settings.access_log = snapshot.access_log;
        settings.admin_hosts = snapshot.admin_hosts;
        settings.admin.retain(|(bound, stop)| {
            let stays = snapshot.admin.iter().any(|wanted| is_same(*wanted, *bound));
            if !stays {
                stop.cancel();
            }
            stays
        });
        for listener in admin {
            let Ok(address) = listener.local_addr() else { continue };
            let stop = self.stop.child_token();
            let occupied = lock(&self.running).listeners.occupy_for_admin(ListenAddress::Tcp(address));
            let serving = admin::serve(listener, Arc::clone(self) as Arc<dyn admin::Control>, stop.clone());
            tokio::spawn(async move {
                serving.await;
                drop(occupied);
            });
            settings.admin.push((address, stop));
        }
    }

    /// Begins to follow the names of new backends, and waits for the first answers: so that they begin to serve
    /// with what there is. What ends it, by the backend.
    async fn follow(&self, rosters: impl Iterator<Item = &Arc<Roster>>, resolver: &Resolver) -> Following {
        let (first, mut all_done) = mpsc::channel::<()>(1);
        // Should nobody wait for the answers any more, nobody follows the names either.
        let unless_waited_for = self.stop.child_token().drop_guard();
        let mut following = Following::new();
        for roster in rosters {
            let stop = unless_waited_for.token().child_token();
            following.insert(Arc::clone(roster.backend().name()), stop.clone());
            tokio::spawn(discovery::run(Arc::clone(roster), resolver.clone(), stop, first.clone()));
        }
        drop(first);
        // Each that is through drops its own.
        let _ = tokio::time::timeout(FIRST_ANSWER, all_done.recv()).await;
        unless_waited_for.disarm();
        following
    }

    fn start_tasks(&self, shared: &SharedBackend, following: &Following) -> CancellationToken {
        let following = following.get(shared.backend.name());
        let stop = following.map_or_else(|| self.stop.child_token(), CancellationToken::clone);
        let roster = Arc::clone(&shared.roster);
        tokio::spawn(health::run(roster, self.metrics.clone(), self.checks.clone(), stop.clone()));
        if let Some(origination) = shared.backend.tls() {
            let (name, metrics) =
                (Arc::clone(shared.backend.name()), self.metrics.backend(shared.backend.name()));
            metrics.shard(0).certificates_watched();
            let (stopped, origination) = (stop.clone(), origination.clone());
            tokio::spawn(async move {
                let counted = |is_taken| metrics.shard(0).certificate_renewed(is_taken);
                let watching = tls::watch(Owner::Backend(&name), &origination, counted);
                stopped.run_until_cancelled(watching).await
            });
        }
        stop
    }

    /// Follows the files of a frontend's certificates.
    fn watch(&self, frontend: &Arc<str>, termination: &Termination) -> CancellationToken {
        let stop = self.stop.child_token();
        let (stopped, frontend, termination) = (stop.clone(), Arc::clone(frontend), termination.clone());
        let metrics = self.metrics.frontend(&frontend);
        metrics.shard(0).certificates_watched();
        tokio::spawn(async move {
            let counted = |is_taken| metrics.shard(0).certificate_renewed(is_taken);
            let watching = tls::watch(Owner::Frontend(&frontend), &termination, counted);
            stopped.run_until_cancelled(watching).await
        });
        stop
    }

    /// Gives connections of a listener that is gone their time.
    fn retire(&self, gone: Retired, drain_timeout: Duration) {
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(gone.close(drain_timeout)).await });
    }

    async fn end(&self) -> Left {
        self.stop.cancel();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let access_log = lock(&self.settings).access_log.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let mut tasks = 0;
            for thread in threads {
                match thread.join() {
                    Ok(left) => tasks += left,
                    Err(_) => tracing::error!("a worker panicked"),
                }
            }
            if let Some(log) = access_log {
                log.flush();
            }
            tasks
        });
        // A runtime that is being shut down may refuse; then the process is ending anyway.
        let tasks = ended.await.unwrap_or_default();
        let has_sessions = lock(&self.running).rosters().any(|roster| roster.backend().http2());
        let workers = self.workers.get().map_or(&[][..], Vec::as_slice);
        let pipes = workers.iter().map(|worker| worker.resources.pipes_lent()).sum();
        Left { tasks: (!has_sessions).then_some(tasks), pipes }
    }
}

/// Whether an address asked for is the one bound, whose port the kernel may have chosen.
fn is_same(wanted: SocketAddr, bound: SocketAddr) -> bool {
    wanted.ip() == bound.ip() && (wanted.port() == bound.port() || wanted.port() == 0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl admin::Control for ControlPlane {
    fn metrics(&self) -> Result<String, EncodeError> {
        self.metrics.encode()
    }

    fn is_ready(&self) -> bool {
        self.is_started.load(Ordering::Acquire)
            && !self.is_draining.load(Ordering::Acquire)
            && lock(&self.running).rosters().all(|roster| roster.all_checked())
    }

    fn status(&self) -> Status {
        let running = lock(&self.running);
        let frontends = running.frontends().map(|frontend| {
            let metrics = self.metrics.frontend(&frontend.name);
            FrontendStatus {
                name: frontend.name.to_string(),
                mode: frontend.mode.name(),
                listen: running.addresses(&frontend.name),
                connections: metrics.open_connections(),
                connections_total: metrics.connections(),
                certificates: frontend
                    .termination
                    .as_ref()
                    .map(Termination::certificates)
                    .unwrap_or_default(),
                client_authorities: frontend.termination.as_ref().and_then(Termination::client_authorities),
            }
        });
        let backends = running.rosters().map(|roster| {
            let name = roster.backend().name();
            let report = |server: crate::backend::ServerStatus| {
                let requests = self.metrics.server(name, &server.name).requests();
                ServerReport { server, requests }
            };
            BackendStatus {
                name: name.to_string(),
                balance: roster.backend().policy().name().to_owned(),
                authorities: roster.backend().tls().and_then(Origination::authorities),
                certificate: roster.backend().tls().and_then(Origination::certificate),
                servers: roster.status().into_iter().map(report).collect(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            config: lock(&self.config).clone(),
            frontends: frontends.collect(),
            backends: backends.collect(),
        }
    }

    fn hosts(&self) -> Arc<[HostName]> {
        Arc::clone(&lock(&self.settings).admin_hosts)
    }

    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
        match self.reload.get() {
            Some(reload) => reload(),
            None => Box::pin(async { Err("there is no configuration file to reload".to_owned()) }),
        }
    }
}

impl Gauges for ControlPlane {
    fn servers(&self, visit: &mut dyn FnMut(ServerGauge<'_>)) {
        for roster in lock(&self.running).rosters() {
            for server in roster.status() {
                let states = ServerState::ALL.map(|state| (state.as_str(), state == server.state));
                visit(ServerGauge {
                    backend: roster.backend().name(),
                    server: &server.name,
                    is_up: server.is_available,
                    states: &states,
                    in_flight: server.in_flight.into(),
                });
            }
        }
    }

    fn certificates(&self, visit: &mut dyn FnMut(CertificateGauge<'_>)) {
        let running = lock(&self.running);
        let shown = running.frontends().filter_map(|frontend| frontend.termination.as_ref());
        let shown = shown.flat_map(Termination::certificates);
        let own = running.rosters().filter_map(|roster| roster.backend().tls()?.certificate());
        for certificate in shown.chain(own) {
            let file = certificate.file.to_string_lossy();
            visit(CertificateGauge { certificate: &file, not_after: certificate.not_after });
        }
    }

    fn access_log_lost(&self) -> u64 {
        lock(&self.settings).access_log.as_ref().map_or(0, |log| log.lost())
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}
