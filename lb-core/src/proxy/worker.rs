//! Workers: event loops with their own listeners, connections and pools.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::listener::{Destination, accept_loop};
use crate::live::Live;
use crate::net::{Listener, Resources};
use crate::sys::BoundListener;
use crate::upstream::Upstream;

/// How often idle connections to servers are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// How many workers there are, and what runs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workers {
    /// A thread for each CPU that this process may use, by its affinity and its control group's quota.
    #[default]
    Auto,
    /// So many threads.
    Threads(usize),
    /// No threads of our own: everything runs on the runtime that [`Proxy::run`](super::Proxy::run) is called on,
    /// in as many shares as [`Auto`](Self::Auto) would take threads.
    Runtime,
}

impl Workers {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Threads(count) => count.max(1),
            // It knows sched_getaffinity(2) and cgroup quotas.
            Self::Auto | Self::Runtime => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// One worker, as the control plane reaches it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) resources: Arc<Resources>,
    /// The backends' ways in use, for sweeping.
    pub(super) upstreams: Arc<Live<Vec<Arc<Upstream>>>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// An address that a worker is to listen on.
#[derive(Debug)]
struct Order {
    listener: BoundListener,
    destination: Arc<Live<Destination>>,
    stop: CancellationToken,
    /// Dropped when the accept loop has ended.
    ended: Arc<DropGuard>,
}

impl Worker {
    /// Starts worker `index`: a thread of its own, which returns how many tasks were left when it ended, or a task of
    /// the current runtime.
    pub(super) fn start(
        index: usize,
        kind: Workers,
        stop: CancellationToken,
    ) -> io::Result<(Self, Option<JoinHandle<usize>>)> {
        let (orders, receiver) = mpsc::unbounded_channel();
        let upstreams = Arc::new(Live::new(Vec::new()));
        let work = work(receiver, Arc::clone(&upstreams), stop);
        let thread = if kind == Workers::Runtime {
            tokio::spawn(work);
            None
        } else {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let name = format!("lb-worker-{index}");
            Some(std::thread::Builder::new().name(name).spawn(move || {
                runtime.block_on(work);
                runtime.metrics().num_alive_tasks()
            })?)
        };
        Ok((Self { resources: Arc::new(Resources::new()), upstreams, orders }, thread))
    }

    /// Has the worker accept from `listener` until `stop`; `ended` is dropped when it no longer does.
    pub(super) fn listen(
        &self,
        listener: BoundListener,
        destination: &Arc<Live<Destination>>,
        stop: &CancellationToken,
        ended: &Arc<DropGuard>,
    ) {
        let (destination, stop, ended) = (Arc::clone(destination), stop.clone(), Arc::clone(ended));
        // A worker that is gone has been told to stop, and accepts nothing more.
        let _ = self.orders.send(Order { listener, destination, stop, ended });
    }
}

/// A worker's life: follows orders until it is told to stop. With a thread of its own, what it spawned ends with it.
async fn work(
    mut orders: mpsc::UnboundedReceiver<Order>,
    upstreams: Arc<Live<Vec<Arc<Upstream>>>>,
    stop: CancellationToken,
) {
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                // While the event loop is there to say the end of TLS to servers.
                upstreams.load_full().iter().for_each(|upstream| upstream.close_idle());
                return;
            }
            _ = sweep.tick() => {
                let now = Instant::now();
                upstreams.load_full().iter().for_each(|upstream| upstream.sweep(now));
            }
            order = orders.recv() => {
                let Some(Order { listener, destination, stop, ended }) = order else { return };
                match Listener::register(listener) {
                    Ok(listener) => drop(tokio::spawn(async move {
                        accept_loop(listener, destination, stop).await;
                        drop(ended);
                    })),
                    Err(error) => tracing::error!(%error, "can't watch a listener"),
                }
            }
        }
    }
}
