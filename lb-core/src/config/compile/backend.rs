//! `[backend.NAME]` to [`crate::backend::Backend`].

use std::path::Path;

use super::tls;
use crate::backend::{
    Address, Backend, BackendBuilder, BackendError, BackendProblem, BackendTimeouts, HealthCheck,
    LeastConnections, Passive, PoolLimits, PowerOfTwo, Random, RoundRobin, SendProxy, ServerSpec,
};
use crate::config::diagnostics::{At, Place, Problems};
use crate::config::schema::{self, Balance, Health};

/// Builds a backend; what the builder refuses is noted where it stands. `directory` is that of a place's file.
pub(super) fn compile<'s>(
    name: &str,
    backend: &At<schema::Backend>,
    directory: impl Fn(Place) -> &'s Path,
    problems: &Problems,
) -> Option<Backend> {
    let passive = Passive::default().failures(backend.passive.failures).eject(backend.passive.eject.0);
    // However long the first time is, doubling starts there.
    let max_eject = passive.max_eject.max(passive.eject);
    let mut builder = balanced(Backend::builder(name), backend.balance)
        .servers(backend.servers.iter().map(|server| spec(server, &directory)))
        .forwarded(backend.forwarded)
        .real_ip(backend.real_ip)
        .http2(backend.http2)
        .send_proxy(match backend.send_proxy {
            schema::SendProxy::Off => SendProxy::Off,
            schema::SendProxy::V1 => SendProxy::V1,
            schema::SendProxy::V2 => SendProxy::V2,
        })
        .retries(backend.retries)
        .retry_budget(backend.retry_budget.0)
        .timeouts(timeouts(&backend.timeouts))
        .pool(
            PoolLimits::default()
                .idle_per_server(backend.pool.idle_per_server)
                .idle_timeout(backend.pool.idle_timeout.duration()),
        )
        .passive(passive.max_eject(max_eject));
    if let Some(health) = &backend.health {
        builder = builder.health(health_check(health));
    }
    if let Some(tls) = &backend.tls {
        builder = builder.tls(tls::origination(tls, &directory, problems)?);
    }
    builder.build().map_err(|error| note(&error, backend, problems)).ok()
}

fn balanced(builder: BackendBuilder, balance: Balance) -> BackendBuilder {
    match balance {
        Balance::RoundRobin => builder.policy(RoundRobin),
        Balance::LeastConnections => builder.policy(LeastConnections),
        Balance::Random => builder.policy(Random),
        Balance::P2c => builder.policy(PowerOfTwo),
    }
}

fn spec<'s>(server: &schema::Server, directory: &impl Fn(Place) -> &'s Path) -> ServerSpec {
    let address = match &server.address.value.value {
        // An abstract name begins with NUL and is in no directory.
        Address::Unix(path) if !path.as_os_str().as_encoded_bytes().starts_with(b"\0") => {
            Address::Unix(directory(server.address.place).join(path))
        }
        address => address.clone(),
    };
    let spec = ServerSpec::new(server.name.value.as_str(), address)
        .weight(server.weight)
        .max_connections(server.max_connections);
    if server.backup { spec.backup() } else { spec }
}

fn timeouts(timeouts: &schema::BackendTimeouts) -> BackendTimeouts {
    BackendTimeouts::default()
        .connect(timeouts.connect.duration())
        .response(timeouts.response.duration())
        .body(timeouts.body.duration())
        .tunnel(timeouts.tunnel.duration())
        .queue(timeouts.queue.duration())
}

fn health_check(health: &Health) -> HealthCheck {
    let mut check = match &health.path {
        Some(path) => HealthCheck::http(path.value.as_str()),
        None => HealthCheck::tcp(),
    };
    check = check
        .interval(health.interval.duration())
        .timeout(health.timeout.duration())
        .rise(health.rise)
        .fall(health.fall)
        .initial(health.initial.0);
    if let Some(expect) = &health.expect {
        check = check.expect(expect.value.value);
    }
    match &health.host {
        Some(host) => check.host(host.value.as_str()),
        None => check,
    }
}

fn note(error: &BackendError, backend: &At<schema::Backend>, problems: &Problems) {
    for problem in error.problems() {
        let place = match problem {
            // The schema has said where the name should be.
            BackendProblem::NoName => continue,
            BackendProblem::Health(message) => health_place(message, backend),
            BackendProblem::Passive(_) => Some(backend.passive.eject.place),
            _ => problem.server().and_then(|index| backend.servers.get(index)).map(|server| server.place),
        };
        // The place says which server; the builder's count leaves out those that could not be read.
        let message = problem.to_string();
        let numbered = message.strip_prefix("server ").and_then(|rest| rest.split_once(": "));
        problems.said(place.unwrap_or(backend.place), numbered.map_or(message.as_str(), |(_, rest)| rest));
    }
}

/// The health check's messages begin with the key they are about.
fn health_place(message: &str, backend: &schema::Backend) -> Option<Place> {
    let health = backend.health.as_ref()?;
    let keys = [("path", &health.path), ("host", &health.host)];
    let key = keys.into_iter().find(|(key, _)| message.starts_with(key)).and_then(|(_, at)| at.as_ref());
    Some(key.map_or(health.place, |at| at.place))
}
