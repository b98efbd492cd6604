//! A proxy that runs for a test.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::leaks::Sockets;
use super::{Log, Origin, PATIENCE, Wire};
use crate::backend::Backend;
use crate::proxy::control::Left;
use crate::proxy::{Frontend, Handle, Proxy, ProxyBuilder, Workers};

/// A running proxy with a thread of its own for the control plane. When it is dropped, it drains and asserts that
/// nothing is left of what it served.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    log: Log,
    control: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    drained: Mutex<mpsc::Receiver<Left>>,
    /// The sockets of this process that there were before.
    before: Sockets,
}

impl Running {
    /// Starts it with one worker, so that pools and turns are the same each time, and a [`Log`].
    pub fn start(builder: ProxyBuilder) -> Self {
        Self::start_with(builder, Workers::Threads(1))
    }

    /// Starts the plainest proxy: a frontend `web`, behind it a backend `shop` with this one server.
    pub fn in_front_of(origin: &Origin) -> Self {
        let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
        Self::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)))
    }

    /// Starts it with these workers.
    pub fn start_with(builder: ProxyBuilder, workers: Workers) -> Self {
        let log = Log::default();
        // Only the test's own patience ends what does not drain.
        let builder = builder.workers(workers).access_log(log.clone()).drain_timeout(PATIENCE * 10);
        let proxy = builder.build().unwrap_or_else(|error| panic!("{error}"));
        Self::run(proxy, log)
    }

    fn run(proxy: Proxy, log: Log) -> Self {
        let before = Sockets::all();
        let handle = proxy.handle();
        let (stop, stopped) = oneshot::channel();
        let (started, has_started) = mpsc::channel();
        let (has_drained, drained) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                proxy.start().await.unwrap_or_else(|error| panic!("{error}"));
                started.send(tokio::runtime::Handle::current()).unwrap();
                let _ = stopped.await;
                let left = proxy.drain_all().await;
                // The control plane's own: health checks, discovery, the admin listener, the watching of certificates.
                let metrics = tokio::runtime::Handle::current().metrics();
                let waiting = tokio::time::timeout(PATIENCE, async {
                    while metrics.num_alive_tasks() > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                });
                let tasks = metrics.num_alive_tasks();
                assert!(waiting.await.is_ok(), "{tasks} tasks of the control plane that do not end");
                let _ = has_drained.send(left);
            });
        });
        let control = has_started.recv_timeout(PATIENCE).expect("a proxy that starts");
        Self {
            handle,
            log,
            control,
            stop: Some(stop),
            thread: Some(thread),
            drained: Mutex::new(drained),
            before,
        }
    }

    /// A client of a frontend with one address.
    pub fn client(&self, frontend: &str) -> Wire {
        Wire::connect(&self.address(frontend))
    }

    /// Where a frontend listens.
    ///
    /// # Panics
    /// Unless it is one address.
    pub fn address(&self, frontend: &str) -> String {
        let mut addresses = self.handle.addresses(frontend);
        assert_eq!(addresses.len(), 1, "{addresses:?}");
        addresses.swap_remove(0)
    }

    /// The proxy's own handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it has logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Makes what `builder` says what it serves.
    pub fn apply(&self, builder: ProxyBuilder) {
        let builder = builder.access_log(self.log.clone()).drain_timeout(PATIENCE * 10);
        let snapshot = builder.snapshot().unwrap_or_else(|error| panic!("{error}"));
        let handle = self.handle.clone();
        self.block_on(async move { handle.apply(snapshot).await }).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs `future` on the control plane's thread.
    pub fn block_on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (done, is_done) = mpsc::channel();
        self.control.spawn(async move { done.send(future.await) });
        is_done.recv_timeout(PATIENCE).expect("a future that ends")
    }

    /// The value of one series, as `/metrics` shows it; 0 where there is no such series. `series` is its name with
    /// its labels, such as `lb_retries_total{backend="shop"}`.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.handle.encode_metrics().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How many requests and connections of the frontend went wrong for this reason.
    pub fn errors(&self, frontend: &str, reason: &str) -> f64 {
        self.metric(&format!("lb_request_errors_total{{frontend=\"{frontend}\",reason=\"{reason}\"}}"))
    }

    /// Begins to drain; [`wait_drained`](Self::wait_drained) waits for the end of it.
    pub fn begin_drain(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Whether the drain has come to its end; does not wait.
    pub fn is_drained(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the drain has come to its end, by itself.
    pub fn wait_drained(&mut self) {
        self.begin_drain();
        if self.thread.is_none() {
            return;
        }
        // Twice: the tasks of the control plane have their own.
        let drained = self.drained.lock().unwrap().recv_timeout(PATIENCE * 2);
        if drained.is_err() && !self.is_drained() {
            panic!("the proxy does not drain: {}", self.handle.status().to_json());
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        if let Ok(Left { tasks, pipes }) = drained {
            assert_eq!(tasks.unwrap_or(0), 0, "tasks of workers that do not end");
            assert_eq!(pipes, 0, "pipes that nobody gave back");
        }
    }

    fn assert_nothing_left(&mut self) {
        let status = self.handle.status();
        let listen = status.frontends.iter().flat_map(|frontend| &frontend.listen);
        let ports: Vec<u16> = listen.filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect();
        let sockets = Sockets::at(&ports);
        let servers: Vec<SocketAddr> = status
            .backends
            .iter()
            .flat_map(|backend| &backend.servers)
            .filter_map(|report| report.server.address.parse().ok())
            .collect();
        self.wait_drained();
        let status = self.handle.status();
        for frontend in &status.frontends {
            assert_eq!(frontend.connections, 0, "connections of {} that nobody closed", frontend.name);
        }
        for report in status.backends.iter().flat_map(|backend| &backend.servers) {
            let name = &report.server.name;
            assert_eq!(report.server.in_flight, 0, "slots of {name} that nobody gave back");
        }
        assert_eq!(sockets.still_open(), 0, "sockets that nobody closed");
        let to_servers = Sockets::to(&servers).without(&self.before);
        assert_eq!(to_servers.still_open(), 0, "connections to servers that nobody closed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.begin_drain();
        } else {
            self.assert_nothing_left();
        }
    }
}
