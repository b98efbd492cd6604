//! Collects a backend's definition and checks it as a whole.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Backend, BackendError, BackendProblem, Definition, SendProxy, ServerSpec};
use crate::backend::policy::{Policy, RoundRobin};
use crate::backend::{AddressError, BackendTimeouts, HealthCheck, Passive, PoolLimits};
use crate::tls::Origination;

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

impl BackendBuilder {
    pub(super) fn new(name: String) -> Self {
        let definition = Definition {
            name: name.into(),
            servers: Vec::new(),
            policy: Arc::new(RoundRobin),
            health: None,
            passive: Passive::default(),
            timeouts: BackendTimeouts::default(),
            pool: PoolLimits::default(),
            retries: 2,
            retry_budget: 0.2,
            forwarded: true,
            real_ip: false,
            http2: false,
            tls: None,
            send_proxy: SendProxy::Off,
        };
        Self { definition, problems: Vec::new(), given: 0, names: HashSet::new() }
    }

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

    /// Whether X-Forwarded-For, -Proto, -Host and -Port are set, and -Prefix where a route strips one; what clients that
    /// nobody trusts say in these, in the other X-Forwarded fields, in Forwarded, X-Real-IP, X-Original-URL and X-Rewrite-URL
    /// is left out then. Default true.
    pub fn forwarded(mut self, forwarded: bool) -> Self {
        self.definition.forwarded = forwarded;
        self
    }

    /// Whether servers are told the client's address in X-Real-IP: who connected, or where that is a trusted proxy, the
    /// last address in its X-Forwarded-For that is not one. Default: no.
    pub fn real_ip(mut self, real_ip: bool) -> Self {
        self.definition.real_ip = real_ip;
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
        let Self { definition, mut problems, .. } = self;
        if definition.name.is_empty() {
            problems.push(BackendProblem::NoName);
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
    use crate::backend::Address;

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
    fn a_backend_may_be_empty() {
        assert!(Backend::builder("shop").build().unwrap().servers().is_empty());
    }
}
