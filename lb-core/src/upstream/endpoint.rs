//! A worker's own side of one server: its idle connections and its metric shard.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::{TcpStream, UnixStream};

use crate::backend::{PoolLimits, Server, ServerAddress};
use crate::metrics::ServerShard;
use crate::net::Stream;

/// One server as one worker reaches it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    server: Arc<Server>,
    metrics: ServerShard,
    /// The most recently used is last, and taken first: the others grow old and are closed, so that a pool is as
    /// large as the load needs.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

impl Endpoint {
    pub(crate) fn new(server: Arc<Server>, metrics: ServerShard) -> Self {
        Self { server, metrics, idle: Mutex::default() }
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(crate) fn metrics(&self) -> &ServerShard {
        &self.metrics
    }

    /// The idle connection used last, if it is silent: one that was closed, or that says something nobody asked for,
    /// must not answer a request.
    pub(super) fn take_idle(&self) -> Option<Stream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { mut stream, .. }) = idle.pop() {
            if stream.is_silent() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last exchange ended in order. The limits are the snapshot's, not the server's, which
    /// outlives it.
    pub(super) fn put_idle(&self, mut stream: Stream, limits: PoolLimits, now: Instant) {
        if !stream.is_silent() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits.idle_per_server {
            idle.push(Idle { stream, since: now });
        }
    }

    /// Throws the pool away: one connection of it turned out to be dead, so its neighbours probably are.
    pub(crate) fn clear_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes what has been idle for too long, or was closed by the server.
    pub(super) fn sweep(&self, limits: PoolLimits, now: Instant) {
        let timeout = limits.idle_timeout;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain_mut(|idle| now.duration_since(idle.since) < timeout && idle.stream.is_silent());
    }

    pub(super) async fn connect(&self) -> io::Result<Stream> {
        match self.server.address() {
            ServerAddress::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            ServerAddress::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    }
}
