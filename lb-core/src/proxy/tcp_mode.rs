//! Frontends in mode `tcp`.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::frontend::{Frontend, Listening, Mode, WorkerEnv};
use super::limit::Permits;
use super::listener::Acceptor;
use super::{BuildError, BuildProblem, SocketAccess};
use crate::access_log::Warnings;
use crate::backend::Backend;
use crate::live::Live;
use crate::net::{Admission, ClientAddress, Connections, Entrance, Stream};
use crate::tcp::{ClientConnection, Entry, IDLE, NamePattern, Names, Service, Wanted};
use crate::tls::Termination;

/// Builds a frontend that passes bytes to servers. Made by [`Frontend::tcp`].
#[derive(Clone, Debug)]
pub struct TcpFrontend {
    listening: Listening,
    routes: Vec<TcpRoute>,
    idle: Duration,
    keepalive: Duration,
    head: Duration,
}

/// Which connections go to a backend of their own, by what their ClientHello asks for. The bytes pass on as they are:
/// TLS ends at the server, unless the frontend itself ends it.
///
/// ```
/// use lb_core::prelude::*;
/// use lb_core::proxy::TcpRoute;
///
/// let shop = Backend::builder("shop").server("10.0.0.1:443").build()?;
/// let other = Backend::builder("other").server("10.0.0.2:443").build()?;
/// let web = Frontend::tcp("web")
///     .listen("127.0.0.1:0")
///     .route(TcpRoute::sni("*.shop.example").to(&shop))
///     .backend(&other);
/// # let proxy = Proxy::builder().frontend(web).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TcpRoute {
    sni: Option<String>,
    alpn: Option<String>,
    backend: Option<Backend>,
}

impl TcpRoute {
    /// Connections whose client asks for this name, or with `*.example` for any below it. The exact name comes before
    /// the longest that matches with `*.`, and that before routes without a name.
    pub fn sni(name: impl Into<String>) -> Self {
        Self { sni: Some(name.into()), ..Self::any() }
    }

    /// All connections, those that are no TLS too.
    pub fn any() -> Self {
        Self { sni: None, alpn: None, backend: None }
    }

    /// Only clients that offer this protocol by ALPN, such as `h2`. Where the frontend ends TLS itself, it offers none.
    #[must_use]
    pub fn alpn(mut self, protocol: impl Into<String>) -> Self {
        self.alpn = Some(protocol.into());
        self
    }

    /// Sends them to `backend`.
    #[must_use]
    pub fn to(mut self, backend: &Backend) -> Self {
        self.backend = Some(backend.clone());
        self
    }
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
        TcpFrontend {
            listening: Listening::new(name.into()),
            routes: Vec::new(),
            idle: IDLE,
            keepalive: Duration::from_secs(60),
            head: Duration::from_secs(10),
        }
    }
}

impl TcpFrontend {
    /// Adds an address to listen on: `host:port`, `:80`, `[::]:80`, `unix:/run/lb.sock`, or `unix:@name` in the abstract
    /// namespace. The file of a unix socket is removed when nobody listens there any more.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listening.listen.push(address.into());
        self
    }

    /// Sends to `backend` the connections that no other route takes.
    #[must_use]
    pub fn backend(self, backend: &Backend) -> Self {
        self.route(TcpRoute::any().to(backend))
    }

    /// Adds a route. The most specific that matches is taken; among equals the one added first.
    #[must_use]
    pub fn route(mut self, route: TcpRoute) -> Self {
        self.routes.push(route);
        self
    }

    /// Ends TLS: servers get what clients say in clear text, unless their backend speaks TLS to them. A client in
    /// clear text is reset.
    #[must_use]
    pub fn tls(mut self, termination: Termination) -> Self {
        self.listening.tls = Some(termination);
        self
    }

    /// How long a TLS handshake, or a ClientHello, may take. Default 10 s.
    #[must_use]
    pub fn head_timeout(mut self, head: Duration) -> Self {
        self.head = head;
        self
    }

    /// Ends a tunnel that has been silent both ways for so long. Default 1 h.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// From when on the kernel asks the silent ends of a tunnel whether they are still there; those that vanished are
    /// noticed about a minute later. In whole seconds, 9 h at most. Default 60 s; zero: never.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Duration) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// The networks that [`accept_proxy`](Self::accept_proxy) takes headers from. Default: none.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.listening.trusted_proxies.extend(networks);
        self
    }

    /// Expects a PROXY protocol header (version 1 or 2) before anything else, and closes connections that don't come
    /// from [`trusted_proxies`](Self::trusted_proxies) or have none.
    #[must_use]
    pub fn accept_proxy(mut self) -> Self {
        self.listening.accepts_proxy = true;
        self
    }

    /// Takes at most so many connections at a time; more wait. Default 0: no bound.
    #[must_use]
    pub fn max_connections(mut self, max: usize) -> Self {
        self.listening.max_connections = max;
        self
    }

    /// Says who may connect to its unix sockets. Default: whoever may by the process's umask.
    #[must_use]
    pub fn socket_access(mut self, access: SocketAccess) -> Self {
        self.listening.access = access;
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
    /// All problems at once: an address that can't be read, none at all, no backend, a name that is none.
    pub fn build(self) -> Result<Frontend, BuildError> {
        let Self { listening, routes, idle, keepalive, head } = self;
        let (mut problems, mut wanted, mut backends) = (Vec::new(), Vec::new(), Vec::new());
        for TcpRoute { sni, alpn, backend } in routes {
            let Some(backend) = backend else {
                problems.push(BuildProblem::NoBackend);
                continue;
            };
            let name = sni.as_deref().map(NamePattern::parse);
            if name == Some(None) {
                problems.push(BuildProblem::Sni(sni.unwrap_or_default()));
            }
            let protocol = alpn.map(|protocol| protocol.into_bytes().into());
            wanted.push((Wanted { name: name.flatten(), protocol }, backends.len()));
            backends.push(backend);
        }
        if wanted.is_empty() && problems.is_empty() {
            problems.push(BuildProblem::NoBackend);
        }
        let mode = TcpMode {
            backends: backends.into(),
            names: Arc::new(Names::new(wanted)),
            entrance: listening.entrance(&[]),
            idle,
            keepalive,
            head,
        };
        listening.build(Arc::new(mode), problems)
    }
}

/// Mode `tcp` with its backends.
#[derive(Debug)]
struct TcpMode {
    /// By the places that `names` has.
    backends: Box<[Backend]>,
    names: Arc<Names>,
    entrance: Entrance,
    idle: Duration,
    keepalive: Duration,
    head: Duration,
}

impl Mode for TcpMode {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// A ClientHello comes back as it was.
    fn repeats(&self, _: usize) -> bool {
        true
    }

    fn acceptor(&self, env: WorkerEnv<'_>, before: Option<&Arc<dyn Acceptor>>) -> Arc<dyn Acceptor> {
        let service = Service {
            name: Arc::clone(env.frontend),
            entrance: self.entrance.clone(),
            names: Arc::clone(&self.names),
            upstreams: env.upstreams.into(),
            head: self.head,
            idle: self.idle,
            keepalive: self.keepalive,
            metrics: env.metrics.frontend(env.frontend).shard(env.worker),
            access_log: env.access_log.cloned(),
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
            resources: Arc::clone(env.resources),
            worker: env.worker,
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
