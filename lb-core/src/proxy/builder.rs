//! From frontends to a checked snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::admin::HostName;
use super::circle;
use super::frontend::Frontend;
use super::run::Proxy;
use super::snapshot::Snapshot;
use super::worker::Workers;
use super::{BuildError, BuildProblem};
use crate::access_log::AccessLog;
use crate::sys::{Claims, ListenAddress};

/// Puts a proxy together; see [`Proxy`].
#[derive(Debug)]
pub struct ProxyBuilder {
    snapshot: Snapshot,
    problems: Vec<BuildProblem>,
    broken: Option<BuildError>,
}

/// What can become a frontend when it is added.
pub trait IntoFrontend {
    /// Checks it.
    ///
    /// # Errors
    /// When it can't serve as it is.
    fn into_frontend(self) -> Result<Frontend, BuildError>;
}

impl IntoFrontend for Frontend {
    fn into_frontend(self) -> Result<Frontend, BuildError> {
        Ok(self)
    }
}

impl IntoFrontend for super::TcpFrontend {
    fn into_frontend(self) -> Result<Frontend, BuildError> {
        self.build()
    }
}

impl Default for ProxyBuilder {
    fn default() -> Self {
        let snapshot = Snapshot {
            frontends: Vec::new(),
            backends: BTreeMap::new(),
            workers: Workers::default(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            max_connections: 0,
            admin: Vec::new(),
            admin_hosts: Arc::default(),
            access_log: None,
        };
        Self { snapshot, problems: Vec::new(), broken: None }
    }
}

impl Proxy {
    /// Starts putting a proxy together.
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder::default()
    }
}

impl ProxyBuilder {
    /// Adds a frontend with its routes and backends. What is wrong with it shows in [`build`](Self::build).
    #[must_use]
    pub fn frontend(mut self, frontend: impl IntoFrontend) -> Self {
        match frontend.into_frontend() {
            Ok(frontend) => self.snapshot.frontends.push(frontend),
            Err(error) => self.broken = self.broken.or(Some(error)),
        }
        self
    }

    /// Sets how many workers there are. Default: [`Workers::Auto`].
    #[must_use]
    pub fn workers(mut self, workers: Workers) -> Self {
        self.snapshot.workers = workers;
        self
    }

    /// Sets for how long a stopping proxy goes on as before, but not ready, until it closes its listeners: whoever sends
    /// it clients has so much time to notice. Default: not at all.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.snapshot.drain_delay = delay;
        self
    }

    /// Sets how long a stopping proxy or a removed listener waits for its connections. Default 30 s.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.snapshot.drain_timeout = timeout;
        self
    }

    /// Takes at most so many connections at a time over all frontends; more wait. Default 0: no bound but
    /// the limit on open files, of which a quarter is kept for connections to servers.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.snapshot.max_connections = max;
        self
    }

    /// Serves metrics, health and status on this address, beside those given before; `[::]` is IPv6 alone, as for
    /// frontends. Default: nowhere.
    #[must_use]
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.snapshot.admin.push(address);
        self
    }

    /// Answers requests for `/` and under `/api` also by these names, beside addresses and `localhost`: so that no web page can make
    /// a browser ask, others are refused, as are those with a foreign `Origin`. `/metrics`, `/healthz` and `/readyz` are
    /// answered by any name. Default: none.
    #[must_use]
    pub fn admin_hosts(mut self, hosts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut known = Vec::new();
        for host in hosts {
            match host.as_ref().parse::<HostName>() {
                Ok(host) => known.push(host),
                Err(error) => self.problems.push(BuildProblem::AdminHost(error.to_string())),
            }
        }
        self.snapshot.admin_hosts = known.into();
        self
    }

    /// Tells `log` of every exchange and tunnel. Default: nobody.
    #[must_use]
    pub fn access_log(mut self, log: impl AccessLog + 'static) -> Self {
        self.snapshot.access_log = Some(Arc::new(log));
        self
    }

    /// Checks everything and makes the proxy, which nothing of runs yet.
    ///
    /// # Errors
    /// All problems of the whole, or those of the first frontend that has any.
    pub fn build(self) -> Result<Proxy, BuildError> {
        self.snapshot().map(Proxy::new)
    }

    /// Checks everything and makes what [`Handle::apply`](super::Handle::apply) gives a running proxy.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn snapshot(mut self) -> Result<Snapshot, BuildError> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        self.check_frontends();
        self.check_listeners();
        self.collect_backends();
        let circles = self.circles();
        self.problems.extend(circles);
        if self.problems.is_empty() { Ok(self.snapshot) } else { Err(BuildError::proxy(self.problems)) }
    }

    /// Servers that are the proxy itself.
    pub(crate) fn circles(&self) -> Vec<BuildProblem> {
        circle::circles(&self.snapshot.frontends)
    }

    fn check_frontends(&mut self) {
        let frontends = &self.snapshot.frontends;
        if frontends.is_empty() {
            self.problems.push(BuildProblem::NoFrontend);
        }
        for (at, frontend) in frontends.iter().enumerate() {
            if frontends[..at].iter().any(|other| other.name == frontend.name) {
                self.problems.push(BuildProblem::DuplicateFrontend(frontend.name.to_string()));
            }
        }
    }

    fn check_listeners(&mut self) {
        let of_admin = self.snapshot.admin.iter().map(|address| ListenAddress::Tcp(*address));
        let of_frontends =
            self.snapshot.frontends.iter().flat_map(|frontend| frontend.listen.iter().cloned());
        let mut claims = Claims::default();
        for address in of_admin.chain(of_frontends) {
            match claims.claim(&address, ()) {
                Ok(()) => {}
                Err((other, ())) if *other == address => {
                    self.problems.push(BuildProblem::DuplicateListener(address.to_string()));
                }
                Err((other, ())) => {
                    let (one, other) = (address.to_string(), other.to_string());
                    self.problems.push(BuildProblem::OverlappingListeners(one, other));
                }
            }
        }
    }

    fn collect_backends(&mut self) {
        for backend in self.snapshot.frontends.iter().flat_map(|frontend| frontend.mode.backends()) {
            let known =
                self.snapshot.backends.entry(Arc::clone(backend.name())).or_insert_with(|| backend.clone());
            if !known.is_same(backend) {
                self.problems.push(BuildProblem::DuplicateBackend(backend.name().to_string()));
            }
        }
    }
}
