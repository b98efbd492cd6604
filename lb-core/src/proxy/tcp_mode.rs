//! Frontends in mode `tcp`.

use std::sync::Arc;
use std::time::Duration;

use super::frontend::{Frontend, Listening, Mode, Seat};
use super::limit::Permits;
use super::listener::Acceptor;
use super::{BuildError, BuildProblem};
use crate::access_log::Warnings;
use crate::backend::Backend;
use crate::live::Live;
use crate::net::{Admission, ClientAddress, Connections, Stream};
use crate::tcp::{ClientConnection, Entry, Service};
use crate::tls::Termination;

/// Builds a frontend that passes bytes to servers and reads none of them. Made by [`Frontend::tcp`].
#[derive(Clone, Debug)]
pub struct TcpFrontend {
    listening: Listening,
    backend: Option<Backend>,
    idle: Duration,
}

impl Frontend {
    /// A frontend in mode `tcp`.
    ///
    /// ```
    /// use lb_core::prelude::*;
    ///
    /// let databases = Backend::builder("databases").server("10.0.0.1:3306").server("10.0.0.2:3306").build()?;
    /// let mysql = Frontend::tcp("mysql").listen("127.0.0.1:0").backend(&databases);
    /// let proxy = Proxy::builder().frontend(mysql).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tcp(name: impl Into<String>) -> TcpFrontend {
        TcpFrontend { listening: Listening::new(name.into()), backend: None, idle: Duration::from_secs(60) }
    }
}

impl TcpFrontend {
    /// Adds an address to listen on: `host:port`, `[::]:80` or `unix:/run/lb.sock`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listening.listen.push(address.into());
        self
    }

    /// Sets the backend that takes the connections.
    #[must_use]
    pub fn backend(mut self, backend: &Backend) -> Self {
        self.backend = Some(backend.clone());
        self
    }

    /// Ends a tunnel that has been silent both ways for so long. Default 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Takes at most so many connections at a time; more wait. Default 0: no bound.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.listening.max_connections = max;
        self
    }

    /// Asks `admission` about each client's address.
    #[must_use]
    pub fn admission(mut self, admission: impl Admission) -> Self {
        self.listening.admission = Some(Arc::new(admission));
        self
    }

    /// Checks the frontend. [`ProxyBuilder::frontend`](super::ProxyBuilder::frontend) does it too.
    ///
    /// # Errors
    /// All problems at once: an address that can't be read, none at all, no backend.
    pub fn build(self) -> Result<Frontend, BuildError> {
        let Self { listening, backend, idle } = self;
        let problems = if backend.is_none() { vec![BuildProblem::NoBackend] } else { Vec::new() };
        listening.build(Arc::new(TcpMode { backends: backend.into_iter().collect(), idle }), problems)
    }
}

/// Mode `tcp` with its backend.
#[derive(Debug)]
struct TcpMode {
    /// Invariant: exactly one.
    backends: Box<[Backend]>,
    idle: Duration,
}

impl Mode for TcpMode {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn backends(&self) -> &[Backend] {
        &self.backends
    }

    fn termination(&self) -> Option<&Termination> {
        None
    }

    fn take(&self, mut seat: Seat<'_>, before: Option<&Arc<dyn Acceptor>>) -> Arc<dyn Acceptor> {
        let service = Service {
            name: Arc::clone(seat.frontend),
            upstream: seat.upstreams.swap_remove(0),
            idle: self.idle,
            metrics: seat.metrics.frontend(seat.frontend).shard(seat.worker),
            access_log: seat.access_log.cloned(),
        };
        if let Some(acceptor) = before
            && let Some(TcpAcceptor(entry)) = acceptor.as_any().downcast_ref()
        {
            entry.service.store(Arc::new(service));
            return Arc::clone(acceptor);
        }
        Arc::new(TcpAcceptor(Arc::new(Entry {
            service: Live::new(service),
            connections: Arc::default(),
            resources: Arc::clone(seat.resources),
            worker: seat.worker,
            warnings: Warnings::default(),
        })))
    }
}

#[derive(Debug)]
struct TcpAcceptor(Arc<Entry>);

impl Acceptor for TcpAcceptor {
    fn serve(&self, stream: Stream, client: ClientAddress, permits: Permits) {
        tokio::spawn(permits.hold(ClientConnection::new(stream, client, Arc::clone(&self.0))));
    }

    fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    fn accept_failed(&self) {
        self.0.service.load().metrics.accept_failed();
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
