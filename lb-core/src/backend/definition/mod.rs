//! What a backend is: its servers, policy, checks, timeouts. Immutable once built.
//!
//! Here are the finished definition and when two of them are the same. [`builder`] collects and checks one, [`problem`]
//! says what can be wrong with it, [`spec`] is one server of it. What becomes of the servers while they serve is the
//! [`Roster`](super::Roster)'s.

mod builder;
mod problem;
mod spec;

use std::sync::Arc;

use super::policy::Policy;
use super::{BackendTimeouts, HealthCheck, Passive, PoolLimits, Server};
use crate::tls::Origination;

pub use builder::BackendBuilder;
pub use problem::{BackendError, BackendProblem};
pub use spec::ServerSpec;

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
    /// Invariant: once built with distinct names. Empty: scaled to zero.
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
    real_ip: bool,
    http2: bool,
    tls: Option<Origination>,
    send_proxy: SendProxy,
}

impl Backend {
    /// A backend of this name, with the defaults of the configuration file: round robin, no health check, 2 retries.
    pub fn builder(name: impl Into<String>) -> BackendBuilder {
        BackendBuilder::new(name.into())
    }

    /// The name, unique in a configuration; the label in logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.definition.name
    }

    /// The servers in the order given, names distinct; none where it is scaled to zero.
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

    /// Whether X-Forwarded-For, -Proto, -Host and -Port are set.
    pub fn forwarded(&self) -> bool {
        self.definition.forwarded
    }

    /// Whether X-Real-IP is set.
    pub fn real_ip(&self) -> bool {
        self.definition.real_ip
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
            real_ip,
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
            && *real_ip == other.real_ip
            && *http2 == other.http2
            && *tls == other.tls
            && *send_proxy == other.send_proxy
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::backend::Random;

    #[test]
    fn backends_are_equal_when_all_of_their_definitions_is() {
        let shop = || Backend::builder("shop").server("web1:80").health(HealthCheck::http("/health"));
        let build = |builder: BackendBuilder| builder.build().unwrap();
        assert_eq!(build(shop()), build(shop()));
        assert!(!build(shop()).is_same(&build(shop())));
        let timeouts = BackendTimeouts::default().queue(Duration::from_secs(1));
        for other in [
            shop().server("web2:80"),
            shop().policy(Random),
            shop().health(HealthCheck::tcp()),
            shop().passive(Passive { failures: 9, ..Passive::default() }),
            shop().timeouts(timeouts),
            shop().pool(PoolLimits { idle_per_server: 9, ..PoolLimits::default() }),
            shop().retries(9),
            shop().retry_budget(0.9),
            shop().forwarded(false),
            shop().real_ip(true),
            shop().http2(true),
            shop().send_proxy(SendProxy::V2),
            Backend::builder("other").server("web1:80").health(HealthCheck::http("/health")),
        ] {
            let other = build(other);
            assert_ne!(build(shop()), other);
            assert_eq!(other, other.clone());
        }
    }
}
