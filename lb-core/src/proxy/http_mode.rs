//! Frontends in mode `http`.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::builder::IntoFrontend;
use super::frontend::{Frontend, Listening, Mode, WorkerEnv};
use super::limit::Permits;
use super::listener::Acceptor;
use super::{BuildError, BuildProblem, SocketAccess};
use crate::backend::Backend;
use crate::http::route::{Plan, Route, Router};
use crate::http::{
    ClientConnection, Entry, Filter, FrontendTimeouts, HTTP2, Limits, RouteTarget, Service, Shared,
    UpstreamUse, WorkerFrontend,
};
use crate::live::Live;
use crate::net::{Admission, ClientAddress, Connections, Entrance, Stream};

/// What is offered by ALPN, the best first.
const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1", b"http/1.0"];

/// Builds a frontend that reads requests and routes each to a backend. Made by [`Frontend::http`].
#[derive(Clone)]
pub struct HttpFrontend {
    pub(super) listening: Listening,
    routes: Vec<Route>,
    pub(super) filters: Vec<Arc<dyn Filter>>,
    timeouts: FrontendTimeouts,
    limits: Limits,
    http2: bool,
    via: Option<String>,
}

impl Frontend {
    /// A frontend in mode `http`.
    ///
    /// ```
    /// use lb_core::prelude::*;
    ///
    /// let shop = Backend::builder("shop").server("10.0.0.1:80").server("10.0.0.2:80").build()?;
    /// let admin = Backend::builder("admin").server("10.0.1.1:80").build()?;
    /// let web = Frontend::http("web")
    ///     .listen("127.0.0.1:0")
    ///     .route(Route::prefix("/admin").to(&admin))
    ///     .route(Route::any().to(&shop));
    /// let proxy = Proxy::builder().frontend(web).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn http(name: impl Into<String>) -> HttpFrontend {
        HttpFrontend {
            listening: Listening::new(name.into()),
            routes: Vec::new(),
            filters: Vec::new(),
            timeouts: FrontendTimeouts::default(),
            limits: Limits::default(),
            http2: true,
            via: None,
        }
    }
}

impl HttpFrontend {
    /// Adds an address to listen on: `host:port`, `:80`, `[::]:80`, `unix:/run/lb.sock`, or `unix:@name` in the abstract
    /// namespace. The file of a unix socket is removed when nobody listens there any more.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listening.listen.push(address.into());
        self
    }

    /// Adds a route. The most specific that matches a request is taken; among equals the one added first.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Sends to `backend` what no other route takes.
    #[must_use]
    pub fn backend(self, backend: &Backend) -> Self {
        self.route(Route::any().to(backend))
    }

    /// Adds a filter behind those added before.
    #[must_use]
    pub fn filter(mut self, filter: impl Filter) -> Self {
        self.filters.push(Arc::new(filter));
        self
    }

    /// Sets how long clients are waited for.
    #[must_use]
    pub fn timeouts(mut self, timeouts: FrontendTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets how large requests may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether HTTP/2 is spoken with clients that ask for it, beside HTTP/1.1. Default: yes.
    #[must_use]
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Believes the X-Forwarded fields of clients in these networks, and such as X-Real-IP. Default: nobody's.
    #[must_use]
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.listening.trusted_proxies.extend(networks);
        self
    }

    /// Expects a PROXY protocol header (version 1 or 2) before anything else, TLS included, and closes connections
    /// that don't come from [`trusted_proxies`](Self::trusted_proxies) or have none. The client is then who the header
    /// says; [`admission`](Self::admission) is still asked about the proxy, which connects. Where the header says that
    /// the client came by TLS, X-Forwarded-Proto and `{scheme}` in redirects are `https`.
    #[must_use]
    pub fn accept_proxy(mut self) -> Self {
        self.listening.accepts_proxy = true;
        self
    }

    /// Tells servers in `Via` that a request came by this proxy, which is called `name` there: a host with or without a
    /// port, or any other word (RFC 9110 section 7.6.3). Default: not told.
    #[must_use]
    pub fn via(mut self, name: impl Into<String>) -> Self {
        self.via = Some(name.into());
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
    /// All problems at once: an address that can't be read, none at all, no route, routes that can't be built.
    pub fn build(self) -> Result<Frontend, BuildError> {
        let Self { listening, routes, filters, timeouts, limits, http2, via } = self;
        let mut problems = Vec::new();
        if routes.is_empty() {
            problems.push(BuildProblem::NoRoute);
        }
        if let Some(name) = via.as_ref().filter(|name| !is_received_by(name)) {
            problems.push(BuildProblem::Via(name.clone()));
        }
        let router = match Router::of(routes) {
            Ok(router) => router,
            Err(error) => {
                problems.push(BuildProblem::Route(error));
                return Err(listening.refuse(problems));
            }
        };
        let mut backends = Places::default();
        let router = router.map(|plan| target(plan, &mut backends));
        let mode = HttpMode {
            backends: backends.backends.into(),
            repeated: backends.repeated.into(),
            router: Arc::new(router),
            filters: filters.into(),
            timeouts,
            limits,
            http2,
            trusted_proxies: listening.trusted_proxies.as_slice().into(),
            entrance: listening.entrance(&PROTOCOLS[usize::from(!http2)..]),
            via: via.map(Arc::from),
        };
        listening.build(Arc::new(mode), problems)
    }
}

impl IntoFrontend for HttpFrontend {
    fn into_frontend(self) -> Result<Frontend, BuildError> {
        self.build()
    }
}

/// Whether it is a pseudonym or a host and port (RFC 9110 section 7.6.3), to which a token's characters, `:`, `[` and
/// `]` are enough.
fn is_received_by(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:[]".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// The backends that a frontend uses, each in its place.
#[derive(Default)]
struct Places {
    backends: Vec<Backend>,
    /// Which of them a route sends to that changes nothing about the request.
    repeated: Vec<bool>,
    /// Where each stands in `backends`.
    by_name: HashMap<Arc<str>, usize>,
}

impl Places {
    fn of(&mut self, backend: &Backend) -> usize {
        *self.by_name.entry(Arc::clone(backend.name())).or_insert_with(|| {
            self.backends.push(backend.clone());
            self.repeated.push(false);
            self.backends.len() - 1
        })
    }
}

/// A plan with its backends' places.
fn target(plan: Plan, places: &mut Places) -> RouteTarget {
    let upstreams: Box<[usize]> = plan.backends().map(|backend| places.of(backend)).collect();
    if plan.rewrite().is_none() && plan.request_headers().is_empty() {
        upstreams.iter().for_each(|place| places.repeated[*place] = true);
    }
    RouteTarget { plan, upstreams }
}

/// Mode `http` with all it serves by.
struct HttpMode {
    backends: Box<[Backend]>,
    /// Which of them get requests as they came.
    repeated: Box<[bool]>,
    router: Arc<Router<RouteTarget>>,
    filters: Arc<[Arc<dyn Filter>]>,
    timeouts: FrontendTimeouts,
    limits: Limits,
    http2: bool,
    trusted_proxies: Arc<[IpNet]>,
    entrance: Entrance,
    via: Option<Arc<str>>,
}

impl Mode for HttpMode {
    fn name(&self) -> &'static str {
        "http"
    }

    fn backends(&self) -> &[Backend] {
        &self.backends
    }

    fn repeats(&self, backend: usize) -> bool {
        // What a filter changes is not known before.
        self.filters.is_empty() && self.repeated[backend]
    }

    fn acceptor(&self, env: WorkerEnv<'_>, before: Option<&Arc<dyn Acceptor>>) -> Arc<dyn Acceptor> {
        let requests = |backend: &str| env.metrics.requests(env.frontend, backend).shard(env.worker);
        let upstreams = env.upstreams.iter().map(|upstream| UpstreamUse {
            upstream: Arc::clone(upstream),
            requests: requests(upstream.backend().name()),
        });
        let service = Service {
            name: Arc::clone(env.frontend),
            entrance: self.entrance.clone(),
            router: Arc::clone(&self.router),
            memories: self.router.memories(),
            filters: Arc::clone(&self.filters),
            upstreams: upstreams.collect(),
            timeouts: self.timeouts,
            limits: self.limits,
            http2: self.http2,
            trusted_proxies: Arc::clone(&self.trusted_proxies),
            via: self.via.clone(),
            metrics: env.metrics.frontend(env.frontend).shard(env.worker),
            unrouted: requests(""),
            access_log: env.access_log.cloned(),
        };
        if let Some(acceptor) = before
            && let Some(HttpAcceptor(frontend)) = acceptor.as_any().downcast_ref()
        {
            frontend.entry.service.store(Arc::new(service));
            return Arc::clone(acceptor);
        }
        Arc::new(HttpAcceptor(Arc::new(WorkerFrontend::new(Entry {
            service: Live::new(service),
            connections: Arc::default(),
            shared: Arc::new(Shared::new(env.worker, Arc::clone(env.resources))),
        }))))
    }
}

#[derive(Debug)]
struct HttpAcceptor(Arc<WorkerFrontend>);

impl Acceptor for HttpAcceptor {
    fn serve(&self, stream: Stream, client: ClientAddress, permits: Permits) {
        tokio::spawn(permits.hold(ClientConnection::new(stream, client, Arc::clone(&self.0))));
    }

    fn connections(&self) -> &Arc<Connections> {
        &self.0.entry.connections
    }

    fn accept_failed(&self) {
        self.0.entry.service.load().metrics.accept_failed();
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

impl std::fmt::Debug for HttpMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpMode").field("backends", &self.backends).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HttpFrontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpFrontend").field("name", &self.listening.name).finish_non_exhaustive()
    }
}
