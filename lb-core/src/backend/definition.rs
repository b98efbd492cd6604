//! What a backend is: its servers, policy, checks, timeouts. Immutable once built.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::policy::{Policy, RoundRobin};
use super::{Address, AddressError, BackendTimeouts, HealthCheck, Passive, PoolLimits, Server};
use crate::tls::Origination;

/// A named group of interchangeable servers and the policy over them. Cheap to clone; clones are the same backend.
///
/// Two backends are equal when their definitions are: a reload disturbs nothing of a backend that it repeats.
///
/// ```
/// use lb_core::backend::{Backend, HealthCheck};
/// let shop = Backend::builder("shop")
///     .server("10.0.0.1:80")
///     .server("10.0.0.2:80")
///     .health(HealthCheck::http("/health"))
///     .build()?;
/// assert_eq!(shop.servers().len(), 2);
/// # Ok::<(), lb_core::backend::BackendError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Backend {
    definition: Arc<Definition>,
}

/// Collects a backend's definition; what is wrong is reported all at once by [`BackendBuilder::build`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct BackendBuilder {
    definition: Definition,
    problems: Vec<BackendProblem>,
    /// How many servers were given, the wrong ones included.
    given: usize,
    names: HashSet<String>,
}

/// One server as defined: a name, an address and how much it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSpec {
    /// Unique in its backend; the label in logs and metrics.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Its share among the servers. Default 1; 0: takes no traffic.
    pub weight: u32,
    /// How many exchanges may be in flight to it at once, over all workers. Default: no limit.
    pub max_connections: Option<NonZeroU32>,
    /// Takes traffic only when no server that isn't a backup can. Default false.
    pub backup: bool,
}

/// Everything that is wrong with one backend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct BackendError {
    backend: String,
    problems: Vec<BackendProblem>,
}

/// One thing that is wrong with a backend. `index` counts the servers in the order given, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackendProblem {
    /// The backend has no name.
    #[error("the backend's name is empty; give it one, it is the label in logs and metrics")]
    NoName,
    /// The backend has no servers.
    #[error("no servers; add at least one")]
    NoServers,
    /// A server's address is none.
    #[error("server {}: {error}", index + 1)]
    Address {
        /// Which server.
        index: usize,
        /// What is wrong with its address.
        error: AddressError,
    },
    /// A server has an empty name.
    #[error("server {}: its name is empty; give it one or leave the name out", index + 1)]
    ServerName {
        /// Which server.
        index: usize,
    },
    /// Two servers have one name.
    #[error("server {}: the name {name:?} is taken by an earlier server; give each its own name", index + 1)]
    Duplicate {
        /// Which server.
        index: usize,
        /// The name both have.
        name: String,
    },
    /// A server that no certificate can name.
    #[error("server {}: it has no host name for its certificate; give `tls` a `server_name`", index + 1)]
    TlsName {
        /// Which server.
        index: usize,
    },
    /// A header for one client, and connections that clients share.
    #[error(
        "`send_proxy` tells one client for the whole of a connection, which `http2` shares between clients; take one of them away"
    )]
    SharedIntroduction,
    /// The health check makes no sense.
    #[error("health check: {0}")]
    Health(&'static str),
    /// The passive ejection makes no sense.
    #[error("passive: {0}")]
    Passive(&'static str),
    /// A timeout of zero, which would fail every request.
    #[error("timeout {0} is zero; give at least 1ms")]
    Timeout(&'static str),
    /// The retry budget is no share.
    #[error("the retry budget is not a share; give a number from 0 to 1")]
    RetryBudget,
}

/// Whether servers are told who the client is by a PROXY protocol header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendProxy {
    /// They are not. The default.
    #[default]
    Off,
    /// A line of text: addresses and ports.
    V1,
    /// Binary; it also says what a client under TLS agreed on: its version, the protocol, the name asked for.
    V2,
}

#[derive(Debug)]
struct Definition {
    name: Arc<str>,
    /// Invariant: once built not empty, with distinct names.
    servers: Vec<ServerSpec>,
    policy: Arc<dyn Policy>,
    health: Option<HealthCheck>,
    passive: Passive,
    timeouts: BackendTimeouts,
    pool: PoolLimits,
    retries: u32,
    /// Invariant: once built from 0 to 1.
    retry_budget: f64,
    forwarded: bool,
    http2: bool,
    tls: Option<Origination>,
    send_proxy: SendProxy,
}

impl Backend {
    /// A backend of this name, with the defaults of the configuration file: round robin, no health check, 2 retries.
    pub fn builder(name: impl Into<String>) -> BackendBuilder {
        let definition = Definition {
            name: name.into().into(),
            servers: Vec::new(),
            policy: Arc::new(RoundRobin),
            health: None,
            passive: Passive::default(),
            timeouts: BackendTimeouts::default(),
            pool: PoolLimits::default(),
            retries: 2,
            retry_budget: 0.2,
            forwarded: true,
            http2: false,
            tls: None,
            send_proxy: SendProxy::Off,
        };
        BackendBuilder { definition, problems: Vec::new(), given: 0, names: HashSet::new() }
    }

    /// The name, unique in a configuration; the label in logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.definition.name
    }

    /// The servers in the order given; at least one, names distinct.
    pub fn servers(&self) -> &[ServerSpec] {
        &self.definition.servers
    }

    /// How a server is chosen.
    pub fn policy(&self) -> &Arc<dyn Policy> {
        &self.definition.policy
    }

    /// How servers are checked; `None`: they count as up.
    pub fn health(&self) -> Option<&HealthCheck> {
        self.definition.health.as_ref()
    }

    /// When requests themselves take a server out.
    pub fn passive(&self) -> Passive {
        self.definition.passive
    }

    /// How long servers are waited for.
    pub fn timeouts(&self) -> BackendTimeouts {
        self.definition.timeouts
    }

    /// How many idle connections are kept.
    pub fn pool(&self) -> PoolLimits {
        self.definition.pool
    }

    /// How many other servers are tried, where it is safe.
    pub fn retries(&self) -> u32 {
        self.definition.retries
    }

    /// Retries on other servers as a share of the backend's requests.
    pub fn retry_budget(&self) -> f64 {
        self.definition.retry_budget
    }

    /// Whether X-Forwarded-For, -Proto and -Host are set.
    pub fn forwarded(&self) -> bool {
        self.definition.forwarded
    }

    /// Whether servers are spoken to in HTTP/2.
    pub fn http2(&self) -> bool {
        self.definition.http2
    }

    /// How TLS to servers is begun; `None`: they are spoken to in clear text.
    pub fn tls(&self) -> Option<&Origination> {
        self.definition.tls.as_ref()
    }

    /// Whether and how servers are told who the client is.
    pub fn send_proxy(&self) -> SendProxy {
        self.definition.send_proxy
    }

    /// The host of one of its servers as configured: a host name or an IP address; `None` for a unix socket.
    pub fn host(&self, server: &Server) -> Option<String> {
        let address = server.address().to_string();
        // What a name has been resolved to is called `name/address`.
        let is_of = |spec: &&ServerSpec| match server.name().strip_prefix(&*spec.name) {
            Some("") => true,
            rest => rest.and_then(|rest| rest.strip_prefix('/')) == Some(&address),
        };
        self.servers().iter().find(is_of).and_then(ServerSpec::host)
    }

    /// Whether two handles are one definition (not: two equal ones).
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.definition, &other.definition)
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || *self.definition == *other.definition
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        // Taken apart, so that a key that is added can't be forgotten here.
        let Self {
            name,
            servers,
            policy,
            health,
            passive,
            timeouts,
            pool,
            retries,
            retry_budget,
            forwarded,
            http2,
            tls,
            send_proxy,
        } = self;
        let identity = policy.identity();
        *name == other.name
            && *servers == other.servers
            && identity.is_some()
            && identity == other.policy.identity()
            && *health == other.health
            && *passive == other.passive
            && *timeouts == other.timeouts
            && *pool == other.pool
            && *retries == other.retries
            && *retry_budget == other.retry_budget
            && *forwarded == other.forwarded
            && *http2 == other.http2
            && *tls == other.tls
            && *send_proxy == other.send_proxy
    }
}

impl BackendBuilder {
    /// Adds a server: address text such as `"web1:80"` (which is its name too), a socket address, or a [`ServerSpec`].
    pub fn server<S>(mut self, server: S) -> Self
    where
        S: TryInto<ServerSpec>,
        AddressError: From<S::Error>,
    {
        let index = self.given;
        self.given += 1;
        match server.try_into() {
            Ok(spec) if spec.name.is_empty() => self.problems.push(BackendProblem::ServerName { index }),
            Ok(spec) if !self.names.insert(spec.name.clone()) => {
                self.problems.push(BackendProblem::Duplicate { index, name: spec.name });
            }
            Ok(spec) => self.definition.servers.push(spec),
            Err(error) => self.problems.push(BackendProblem::Address { index, error: error.into() }),
        }
        self
    }

    /// Adds several servers.
    pub fn servers<S>(self, servers: impl IntoIterator<Item = S>) -> Self
    where
        S: TryInto<ServerSpec>,
        AddressError: From<S::Error>,
    {
        servers.into_iter().fold(self, Self::server)
    }

    /// How a server is chosen. Default [`RoundRobin`].
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.definition.policy = Arc::new(policy);
        self
    }

    /// How servers are checked. Default: not at all, they count as up.
    pub fn health(mut self, health: HealthCheck) -> Self {
        self.definition.health = Some(health);
        self
    }

    /// When requests themselves take a server out. Default [`Passive::default`].
    pub fn passive(mut self, passive: Passive) -> Self {
        self.definition.passive = passive;
        self
    }

    /// How long servers are waited for. Default [`BackendTimeouts::default`].
    pub fn timeouts(mut self, timeouts: BackendTimeouts) -> Self {
        self.definition.timeouts = timeouts;
        self
    }

    /// How many idle connections are kept. Default [`PoolLimits::default`].
    pub fn pool(mut self, pool: PoolLimits) -> Self {
        self.definition.pool = pool;
        self
    }

    /// How many other servers are tried, where it is safe. Default 2.
    pub fn retries(mut self, retries: u32) -> Self {
        self.definition.retries = retries;
        self
    }

    /// How many retries on other servers there may be, as a share (from 0 to 1) of the backend's requests of the last
    /// 10 to 20 seconds, so that a sick backend is not stormed; three a second on each worker are always allowed.
    /// Default 0.2.
    pub fn retry_budget(mut self, share: f64) -> Self {
        self.definition.retry_budget = share;
        self
    }

    /// Whether X-Forwarded-For, -Proto and -Host are set. Default true.
    pub fn forwarded(mut self, forwarded: bool) -> Self {
        self.definition.forwarded = forwarded;
        self
    }

    /// Speaks HTTP/2 to servers: at once in clear text, and by ALPN under TLS, where a server may still choose
    /// HTTP/1.1. Requests share connections then. Default: HTTP/1.1.
    pub fn http2(mut self, http2: bool) -> Self {
        self.definition.http2 = http2;
        self
    }

    /// Speaks TLS to servers. Default: clear text.
    pub fn tls(mut self, origination: Origination) -> Self {
        self.definition.tls = Some(origination);
        self
    }

    /// Tells servers who the client is by a PROXY protocol header before anything else, TLS included. Each request then
    /// gets a connection of its own, since what is said holds for the whole of a connection. Default
    /// [`SendProxy::Off`].
    pub fn send_proxy(mut self, send_proxy: SendProxy) -> Self {
        self.definition.send_proxy = send_proxy;
        self
    }

    /// The backend, or everything that is wrong with it.
    pub fn build(self) -> Result<Backend, BackendError> {
        let Self { definition, mut problems, given, .. } = self;
        if definition.name.is_empty() {
            problems.push(BackendProblem::NoName);
        }
        if given == 0 {
            problems.push(BackendProblem::NoServers);
        }
        problems.extend(definition.health.iter().flat_map(HealthCheck::problems).map(BackendProblem::Health));
        problems.extend(passive_problem(definition.passive).map(BackendProblem::Passive));
        problems.extend(zero_timeouts(definition.timeouts).map(BackendProblem::Timeout));
        if !(0.0..=1.0).contains(&definition.retry_budget) {
            problems.push(BackendProblem::RetryBudget);
        }
        if definition.http2 && definition.send_proxy != SendProxy::Off {
            problems.push(BackendProblem::SharedIntroduction);
        }
        if let Some(tls) = &definition.tls
            && problems.is_empty()
        {
            let nameless = |(_, spec): &(usize, &ServerSpec)| !tls.has_name(spec.host().as_deref());
            let servers = definition.servers.iter().enumerate().filter(nameless);
            problems.extend(servers.map(|(index, _)| BackendProblem::TlsName { index }));
        }
        if problems.is_empty() {
            return Ok(Backend { definition: Arc::new(definition) });
        }
        Err(BackendError { backend: definition.name.to_string(), problems })
    }
}

impl ServerSpec {
    /// A server of weight 1 without a limit.
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        Self { name: name.into(), address, weight: 1, max_connections: None, backup: false }
    }

    /// The host in its address; `None` for a unix socket.
    fn host(&self) -> Option<String> {
        match &self.address {
            Address::Socket(addr) => Some(addr.ip().to_string()),
            Address::Name { host, .. } => Some(host.clone()),
            Address::Unix(_) => None,
        }
    }

    /// Sets [`weight`](Self::weight).
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Sets [`max_connections`](Self::max_connections); 0: no limit.
    pub fn max_connections(self, max_connections: u32) -> Self {
        Self { max_connections: NonZeroU32::new(max_connections), ..self }
    }

    /// Makes it a [`backup`](Self::backup).
    pub fn backup(self) -> Self {
        Self { backup: true, ..self }
    }
}

impl From<Address> for ServerSpec {
    fn from(address: Address) -> Self {
        Self::new(address.to_string(), address)
    }
}

impl From<std::net::SocketAddr> for ServerSpec {
    fn from(addr: std::net::SocketAddr) -> Self {
        Address::from(addr).into()
    }
}

impl FromStr for ServerSpec {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Ok(Self::new(text, text.parse()?))
    }
}

impl TryFrom<&str> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl BackendError {
    /// The backend it is about.
    pub fn backend(&self) -> &str {
        &self.backend
    }

    /// Each problem, servers in the order given first; at least one.
    pub fn problems(&self) -> &[BackendProblem] {
        &self.problems
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend {}", self.backend)?;
        let mut separator = ": ";
        for problem in &self.problems {
            write!(f, "{separator}{problem}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl BackendProblem {
    /// The server it is about, counted from 0 in the order given.
    pub fn server(&self) -> Option<usize> {
        match self {
            Self::Address { index, .. }
            | Self::ServerName { index }
            | Self::Duplicate { index, .. }
            | Self::TlsName { index } => Some(*index),
            _ => None,
        }
    }
}

fn passive_problem(passive: Passive) -> Option<&'static str> {
    if passive.failures == 0 {
        return None;
    }
    if passive.eject.is_zero() {
        return Some("eject is zero; give at least 1ms, or failures = 0 to never eject");
    }
    (passive.max_eject < passive.eject).then_some("max_eject is below eject; raise it")
}

fn zero_timeouts(timeouts: BackendTimeouts) -> impl Iterator<Item = &'static str> {
    let BackendTimeouts { connect, response, body, tunnel, queue } = timeouts;
    [("connect", connect), ("response", response), ("body", body), ("tunnel", tunnel), ("queue", queue)]
        .into_iter()
        .filter_map(|(name, timeout)| timeout.is_zero().then_some(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_backend_has_the_defaults_of_the_reference() {
        let backend = Backend::builder("shop").server("web1:80").build().unwrap();
        assert_eq!((&**backend.name(), backend.policy().name()), ("shop", "round_robin"));
        assert_eq!((backend.retries(), backend.forwarded()), (2, true));
        assert!(backend.health().is_none());
        let spec = &backend.servers()[0];
        assert_eq!(
            (spec.name.as_str(), spec.weight, spec.max_connections, spec.backup),
            ("web1:80", 1, None, false)
        );
    }

    #[test]
    fn backends_are_equal_when_all_of_their_definitions_is() {
        let shop = || Backend::builder("shop").server("web1:80").health(HealthCheck::http("/health"));
        let build = |builder: BackendBuilder| builder.build().unwrap();
        assert_eq!(build(shop()), build(shop()));
        assert!(!build(shop()).is_same(&build(shop())));
        let timeouts = BackendTimeouts::default().queue(Duration::from_secs(1));
        for other in [
            shop().server("web2:80"),
            shop().policy(super::super::Random),
            shop().health(HealthCheck::tcp()),
            shop().passive(Passive { failures: 9, ..Passive::default() }),
            shop().timeouts(timeouts),
            shop().pool(PoolLimits { idle_per_server: 9, ..PoolLimits::default() }),
            shop().retries(9),
            shop().retry_budget(0.9),
            shop().forwarded(false),
            shop().send_proxy(SendProxy::V2),
            Backend::builder("other").server("web1:80").health(HealthCheck::http("/health")),
        ] {
            let other = build(other);
            assert_ne!(build(shop()), other);
            assert_eq!(other, other.clone());
        }
    }

    #[test]
    fn servers_come_from_texts_addresses_and_specs() {
        let addr: std::net::SocketAddr = "10.0.0.2:80".parse().unwrap();
        let backend = Backend::builder("shop")
            .server("web1:80")
            .server(addr)
            .server(ServerSpec::new("third", addr.into()).weight(3).max_connections(9).backup())
            .servers(vec![String::from("unix:/run/a.sock")])
            .build()
            .unwrap();
        let names: Vec<_> = backend.servers().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["web1:80", "10.0.0.2:80", "third", "unix:/run/a.sock"]);
        assert_eq!(backend.servers()[2].max_connections, NonZeroU32::new(9));
        assert_eq!(ServerSpec::from(addr).max_connections(0).max_connections, None);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let error = Backend::builder("")
            .server("web1")
            .server("web2:80")
            .server("web2:80")
            .server(ServerSpec::new("", Address::Unix("/a".into())))
            .health(HealthCheck::http("x").rise(0))
            .passive(Passive::default().max_eject(Duration::from_millis(1)))
            .timeouts(BackendTimeouts::default().connect(Duration::ZERO))
            .build()
            .unwrap_err();
        assert_eq!(error.problems().len(), 8, "{error}");
        let servers: Vec<_> = error.problems().iter().map(BackendProblem::server).collect();
        assert_eq!(servers[..4], [Some(0), Some(2), Some(3), None]);
        let text = error.to_string();
        assert!(text.contains("server 1: address \"web1\" has no port"), "{text}");
        assert!(text.contains("server 3: the name \"web2:80\" is taken"), "{text}");
    }

    #[test]
    fn a_connection_is_introduced_as_one_clients_or_shared() {
        let error = Backend::builder("shop")
            .server("web1:80")
            .http2(true)
            .send_proxy(SendProxy::V2)
            .build()
            .unwrap_err();
        assert_eq!(error.problems(), [BackendProblem::SharedIntroduction]);
    }

    #[test]
    fn an_empty_backend_says_so() {
        let error = Backend::builder("shop").build().unwrap_err();
        assert_eq!(error.to_string(), "backend shop: no servers; add at least one");
    }
}
