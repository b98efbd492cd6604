//! A worker's own side of one server: its idle connections and its metric shard.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Dialer;
use crate::backend::{Backend, PoolLimits, Server};
use crate::metrics::ServerShard;
use crate::net::{Introduction, Stream};

/// One server as one worker reaches it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    server: Arc<Server>,
    metrics: ServerShard,
    /// The most recently used is last, and taken first: the others grow old and are closed, so that a pool is as
    /// large as the load needs.
    idle: Mutex<Vec<Idle>>,
    dialer: Dialer,
    attachment: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// When its certificate was last complained about.
    warned: Mutex<Option<Instant>>,
}

/// What is offered by ALPN where several requests may share a connection; else nothing, so that servers speak what they
/// always do.
const MULTIPLEXED: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Between two complaints about a server's certificate.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Endpoint {
    pub(crate) fn new(server: Arc<Server>, backend: &Backend, metrics: ServerShard) -> Self {
        let protocols = if backend.http2() { MULTIPLEXED } else { &[] };
        let dialer = Dialer::new(&server, backend, protocols);
        Self {
            server,
            metrics,
            idle: Mutex::default(),
            dialer,
            attachment: OnceLock::new(),
            warned: Mutex::default(),
        }
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// What a protocol keeps of this server beside the pool, made when it is first asked for. There is one place: a
    /// second kind of thing would be made each time.
    pub(crate) fn attachment<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let kept = self.attachment.get_or_init(|| Arc::new(T::default()));
        Arc::downcast(Arc::clone(kept)).unwrap_or_default()
    }

    pub(crate) fn metrics(&self) -> &ServerShard {
        &self.metrics
    }

    /// The idle connection used last, if it is silent: one that was closed, or that says something nobody asked for,
    /// must not answer a request. Nor may one by authorities that have been renewed since. Asked here only, and by the
    /// sweep: what arrives while it waits counts as well as what came behind the last response.
    pub(super) fn take_idle(&self) -> Option<Stream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { mut stream, .. }) = idle.pop() {
            if stream.is_reusable() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last exchange ended in order. The limits are the snapshot's, not the server's, which
    /// outlives it.
    pub(super) fn put_idle(&self, stream: Stream, limits: PoolLimits, now: Instant) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits.idle_per_server {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Throws the pool away: one connection of it turned out to be dead, so its neighbours probably are.
    pub(crate) fn clear_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes what has been idle for too long, was closed by the server, or is not believed any more.
    pub(super) fn sweep(&self, limits: PoolLimits, now: Instant) {
        let timeout = limits.idle_timeout;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|idle| now.duration_since(idle.since) < timeout && idle.stream.is_reusable());
    }

    pub(super) async fn connect(&self, client: Introduction<'_>) -> io::Result<Stream> {
        self.dialer.dial(client).await
    }

    /// Warns of a certificate that is not believed, once a second.
    pub(super) fn certificate_refused(&self, error: &io::Error, now: Instant) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| now.duration_since(at) >= QUIET) {
            *warned = Some(now);
            let (backend, server) = (&**self.server.backend(), &**self.server.name());
            tracing::warn!(backend, server, %error, "the server's certificate is not accepted");
        }
    }
}
