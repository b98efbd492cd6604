//! From the schema to the public builders: what an embedder would have written by hand.
//!
//! The builders are the last judges of what they are given. What they refuse becomes a diagnostic at the key.

mod backend;
mod frontend;
mod route;
mod tls;

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnostics::{Place, Problems};
use super::schema::{Admin, Config, ListenAddress, Workers};
use super::source::Source;
use crate::proxy::{self, BuildProblem, Proxy, ProxyBuilder};
use crate::sys;

/// Builds everything; what is refused is noted, and the builder is of use only if nothing was.
pub(crate) fn compile(config: &Config, sources: &[Source], problems: &Problems) -> ProxyBuilder {
    // Relative names start from the file that holds them.
    let directory = |place: Place| {
        sources.get(place.file).and_then(|source| source.path.parent()).unwrap_or_else(|| Path::new(""))
    };
    let mut backends = BTreeMap::new();
    for (name, backend) in &config.backend {
        if let Some(built) = backend::compile(name, backend, directory, problems) {
            backends.insert(name.as_str(), built);
        }
    }
    let mut builder = Proxy::builder()
        .workers(match config.global.workers {
            Workers::Auto => proxy::Workers::Auto,
            Workers::Count(count) => proxy::Workers::Threads(count.get()),
        })
        .drain_delay(config.global.drain_delay.0)
        .drain_timeout(config.global.drain_timeout.0)
        .max_connections(config.global.max_connections);
    if let Some(admin) = &config.admin {
        builder = with_admin(builder, admin, problems);
    }
    // As people wrote them, for whoever lists them.
    let mut frontends: Vec<_> = config.frontend.iter().collect();
    frontends.sort_by_key(|(_, frontend)| frontend.place);
    for (name, frontend) in frontends {
        if let Some(built) = frontend::compile(name, frontend, &backends, directory, problems) {
            builder = builder.frontend(built);
        }
    }
    builder
}

/// Notes a server that is the proxy itself, where its address is written.
pub(crate) fn note_circle(problem: &BuildProblem, config: &Config, problems: &Problems) {
    let BuildProblem::Circle { backend, server, .. } = problem else { return };
    let servers = config.backend.get(backend).into_iter().flat_map(|backend| &backend.servers);
    let place = servers.into_iter().find(|at| at.name.value == *server).map(|at| at.address.place);
    problems.said(place.unwrap_or_default(), problem);
}

fn with_admin(builder: ProxyBuilder, admin: &Admin, problems: &Problems) -> ProxyBuilder {
    let builder = builder.admin_hosts(admin.hosts.0.iter().map(|host| host.text.as_str()));
    match &admin.listen.value.value {
        ListenAddress::Socket(addr) => builder.admin(*addr),
        ListenAddress::Every(port) => {
            sys::every_address(*port).into_iter().fold(builder, ProxyBuilder::admin)
        }
        ListenAddress::Name(_) | ListenAddress::Unix(_) | ListenAddress::Abstract(_) => {
            let remedy = "write an IP address and a port, such as \"127.0.0.1:9090\"";
            problems.wrong(admin.listen.place, "the admin listener takes only an IP address", remedy);
            builder
        }
    }
}
