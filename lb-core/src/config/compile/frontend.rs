//! `[frontend.NAME]` to [`crate::proxy::Frontend`].

use std::collections::BTreeMap;
use std::path::Path;

use ipnet::IpNet;

use super::{route, tls};
use crate::backend::Backend;
use crate::config::diagnostics::{At, Place, Problems};
use crate::config::schema::{self, Action, ListenAddress, Mode};
use crate::http::{FrontendTimeouts, Limits};
use crate::proxy::{BuildError, BuildProblem, Frontend, HttpFrontend, SocketAccess, TcpFrontend, TcpRoute};

/// Builds a frontend; what the builder refuses is noted where it stands.
///
/// `None` when anything at all is wrong by now: building looks up the names to listen on, which is worth while only
/// for a configuration that is going to run.
pub(super) fn compile<'s>(
    name: &str,
    frontend: &At<schema::Frontend>,
    backends: &BTreeMap<&str, Backend>,
    directory: impl Fn(Place) -> &'s Path,
    problems: &Problems,
) -> Option<Frontend> {
    let listen = frontend.listen.0.iter().map(|listen| match &listen.value.value {
        ListenAddress::Unix(path) => format!("unix:{}", directory(listen.place).join(path).display()),
        ListenAddress::Socket(_)
        | ListenAddress::Every(_)
        | ListenAddress::Name(_)
        | ListenAddress::Abstract(_) => listen.text.clone(),
    });
    let access = access(frontend);
    let built = match frontend.mode {
        Mode::Http => {
            let http = listen.fold(http(name, frontend, backends, problems), HttpFrontend::listen);
            let http = http.socket_access(access);
            let http = match &frontend.tls {
                Some(tls) => match tls::termination(tls, &directory, problems) {
                    Some(termination) => tls::subject_header(http, tls, problems).tls(termination),
                    None => return None,
                },
                None => http,
            };
            problems.is_empty().then(|| http.build())
        }
        Mode::Tcp => {
            let tcp = listen.fold(tcp(name, frontend, backends), TcpFrontend::listen).socket_access(access);
            let tcp = match &frontend.tls {
                Some(tls) => tcp.tls(tls::tcp_termination(tls, &directory, problems)?),
                None => tcp,
            };
            problems.is_empty().then(|| tcp.build())
        }
    };
    built?.map_err(|error| note(&error, frontend, problems)).ok()
}

fn http(
    name: &str,
    frontend: &schema::Frontend,
    backends: &BTreeMap<&str, Backend>,
    problems: &Problems,
) -> HttpFrontend {
    let mut http = Frontend::http(name)
        .max_connections(frontend.max_connections)
        .trusted_proxies(trusted_proxies(frontend))
        .timeouts(timeouts(&frontend.timeouts))
        .limits(limits(&frontend.limits))
        .http2(frontend.http2);
    if accepts_proxy(frontend) {
        http = http.accept_proxy();
    }
    if let Some(via) = &frontend.via {
        http = http.via(via.value.as_str());
    }
    for route in frontend.routes.iter().flat_map(|routes| routes.iter()) {
        http = http.route(route::compile(route, backends, problems));
    }
    match frontend.backend.as_ref().and_then(|name| backends.get(name.as_str())) {
        Some(backend) => http.backend(backend),
        None => http,
    }
}

fn timeouts(timeouts: &schema::FrontendTimeouts) -> FrontendTimeouts {
    let compiled = FrontendTimeouts::default()
        .head(timeouts.head.duration())
        .body(timeouts.body.duration())
        .keepalive(timeouts.keepalive.0);
    match timeouts.idle {
        Some(idle) => compiled.idle(idle.duration()),
        None => compiled,
    }
}

fn access(frontend: &schema::Frontend) -> SocketAccess {
    let mut access = SocketAccess::new();
    if let Some(mode) = &frontend.listen_mode {
        access = access.mode(mode.0);
    }
    if let Some(owner) = &frontend.listen_owner {
        access = access.owner(&*owner.0);
    }
    if let Some(group) = &frontend.listen_group {
        access = access.group(&*group.0);
    }
    access
}

fn accepts_proxy(frontend: &schema::Frontend) -> bool {
    frontend.accept_proxy.value
}

fn trusted_proxies(frontend: &schema::Frontend) -> impl Iterator<Item = IpNet> + '_ {
    frontend.trusted_proxies.iter().flat_map(|list| &list.0).map(|network| network.value.value.0)
}

fn limits(limits: &schema::Limits) -> Limits {
    // A head that no memory can hold is as good as no limit.
    let head_bytes = usize::try_from(limits.head_bytes.0).unwrap_or(usize::MAX);
    let compiled = Limits::default().head_bytes(head_bytes).headers(limits.headers.value);
    if limits.body_bytes.0 == 0 { compiled } else { compiled.body_bytes(limits.body_bytes.0) }
}

fn tcp(name: &str, frontend: &schema::Frontend, backends: &BTreeMap<&str, Backend>) -> TcpFrontend {
    let mut tcp = Frontend::tcp(name)
        .max_connections(frontend.max_connections)
        .keepalive(frontend.timeouts.keepalive.0)
        .head_timeout(frontend.timeouts.head.duration())
        .trusted_proxies(trusted_proxies(frontend));
    if let Some(idle) = frontend.timeouts.idle {
        tcp = tcp.idle_timeout(idle.duration());
    }
    if accepts_proxy(frontend) {
        tcp = tcp.accept_proxy();
    }
    let named = frontend.routes.iter().flat_map(|routes| routes.iter()).filter_map(|route| {
        let Some(Action::Backend(backend)) = &route.action else { return None };
        let compiled = match &route.sni {
            Some(name) => TcpRoute::sni(name.value.as_str()),
            None => TcpRoute::any(),
        };
        let compiled = match &route.alpn {
            Some(protocol) => compiled.alpn(protocol.value.as_str()),
            None => compiled,
        };
        Some(compiled.to(backends.get(backend.as_str())?))
    });
    let tcp = named.fold(tcp, TcpFrontend::route);
    match frontend.backend.as_ref().and_then(|name| backends.get(name.as_str())) {
        Some(backend) => tcp.backend(backend),
        None => tcp,
    }
}

fn note(error: &BuildError, frontend: &At<schema::Frontend>, problems: &Problems) {
    for problem in error.problems() {
        let place = match problem {
            BuildProblem::Listen { address, .. } => {
                frontend.listen.0.iter().find(|listen| listen.text == *address).map(|listen| listen.place)
            }
            BuildProblem::Sni(name) => {
                let names =
                    frontend.routes.iter().flat_map(|routes| routes.iter()).filter_map(|r| r.sni.as_ref());
                names.into_iter().find(|sni| sni.value == *name).map(|sni| sni.place)
            }
            _ => None,
        };
        let place = place.or(match problem {
            BuildProblem::NoTrustedProxies => Some(frontend.accept_proxy.place),
            BuildProblem::Via(_) => frontend.via.as_ref().map(|via| via.place),
            BuildProblem::SocketMode(_) => frontend.listen_mode.as_ref().map(|mode| mode.place),
            BuildProblem::Account { kind: "user", .. } => frontend.listen_owner.as_ref().map(|at| at.place),
            BuildProblem::Account { .. } => frontend.listen_group.as_ref().map(|at| at.place),
            _ => None,
        });
        let place = place.unwrap_or(frontend.place);
        match problem {
            // Names that are looked up.
            BuildProblem::Listen { .. } | BuildProblem::Account { .. } => problems.outside(place, problem),
            _ => problems.said(place, problem),
        }
    }
}
