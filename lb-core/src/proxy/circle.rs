//! Frontends that send to themselves: servers that are addresses which the same proxy listens on.
//!
//! One request would go round and take every descriptor. What can be seen before anything runs is refused here: a
//! frontend whose backend has the frontend as a server, unless a rewrite may lead the request elsewhere in the next turn,
//! and a ring of frontends of one backend each. A frontend that sends to another is a chain, which people build. Names
//! but `localhost` are known later, and other proxies never: those circles `http::circle` ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::BuildProblem;
use super::frontend::Frontend;
use crate::backend::{Address, Backend, ServerSpec};
use crate::sys::{self, ListenAddress};

/// Every server by which requests come back to a frontend that they have passed.
pub(super) fn circles(frontends: &[Frontend]) -> Vec<BuildProblem> {
    let steps: Vec<Vec<Step<'_>>> = frontends.iter().map(|frontend| steps(frontend, frontends)).collect();
    let mut circles = Vec::new();
    for (from, frontend) in frontends.iter().enumerate() {
        for step in &steps[from] {
            let returns = step.to == from || frontend.is_sole() && leads(step.to, from, frontends, &steps);
            if returns {
                circles.push(BuildProblem::Circle {
                    frontend: frontends[step.to].name.to_string(),
                    backend: step.backend.name().to_string(),
                    server: step.server.name.clone(),
                });
            }
        }
    }
    circles
}

/// A way from one frontend to another.
struct Step<'a> {
    backend: &'a Backend,
    server: &'a ServerSpec,
    /// Where it leads, by its place.
    to: usize,
}

fn steps<'a>(frontend: &'a Frontend, all: &[Frontend]) -> Vec<Step<'a>> {
    let backends = frontend.mode.backends().iter().enumerate();
    let repeated = backends.filter(|(place, _)| frontend.mode.repeats(*place)).map(|(_, backend)| backend);
    let servers = repeated.flat_map(|backend| backend.servers().iter().map(move |server| (backend, server)));
    let reached = servers.flat_map(|(backend, server)| {
        let is_reached = |to: &Frontend| to.listen.iter().any(|listen| reaches(&server.address, listen));
        let reached = all.iter().enumerate().filter(move |(_, to)| is_reached(to));
        reached.map(move |(to, _)| Step { backend, server, to })
    });
    reached.collect()
}

/// Whether requests at the frontend in place `from` come to the one in place `goal`, whatever they ask for.
fn leads(from: usize, goal: usize, all: &[Frontend], steps: &[Vec<Step<'_>>]) -> bool {
    let mut seen = vec![false; all.len()];
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        if at == goal {
            return true;
        }
        if !std::mem::replace(&mut seen[at], true) && all[at].is_sole() {
            next.extend(steps[at].iter().map(|step| step.to));
        }
    }
    false
}

impl Frontend {
    /// Whether all that it serves goes to one backend.
    fn is_sole(&self) -> bool {
        self.mode.backends().len() == 1
    }
}

/// Whether connecting to `server` connects to what listens on `listen`.
fn reaches(server: &Address, listen: &ListenAddress) -> bool {
    match (server, listen) {
        (Address::Unix(server), ListenAddress::Unix(listen)) => server == listen,
        (Address::Unix(server), ListenAddress::Abstract(listen)) => {
            let name = server.as_os_str().as_encoded_bytes().strip_prefix(b"\0");
            name == Some(listen.as_bytes())
        }
        (Address::Socket(server), ListenAddress::Tcp(listen)) => is_at(*server, *listen),
        (Address::Name { host, port }, ListenAddress::Tcp(listen))
            if host.eq_ignore_ascii_case("localhost") =>
        {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            loopback.into_iter().any(|ip| is_at((ip, *port).into(), *listen))
        }
        _ => false,
    }
}

fn is_at(server: SocketAddr, listen: SocketAddr) -> bool {
    // A port that the kernel chooses is nobody's before.
    if server.port() != listen.port() || listen.port() == 0 {
        return false;
    }
    let ip = match server.ip().to_canonical() {
        // Connecting to no address in particular is connecting to oneself (ip(7), ipv6(7)).
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    ip == listen.ip() || listen.ip().is_unspecified() && listen.is_ipv4() == ip.is_ipv4() && sys::is_local(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_at_a_listener_that_takes_its_address() {
        for (server, listen, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.9.9.9:80", "0.0.0.0:80", true),
            ("127.9.9.9:80", "127.0.0.1:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "0.0.0.0:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::]:80", "[::1]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "[::]:80", false),
            ("[::ffff:127.0.0.1]:80", "0.0.0.0:80", true),
            // Of documentation (RFC 5737, RFC 3849), so no machine's.
            ("192.0.2.1:80", "0.0.0.0:80", false),
            ("[2001:db8::1]:80", "[::]:80", false),
            ("localhost:80", "127.0.0.1:80", true),
            ("localhost:80", "[::]:80", true),
            ("web1:80", "0.0.0.0:80", false),
        ] {
            let listener = ListenAddress::Tcp(listen.parse().unwrap());
            assert_eq!(reaches(&server.parse().unwrap(), &listener), expected, "{server} at {listen}");
        }
        let unix = |path: &str| ListenAddress::Unix(path.into());
        assert!(reaches(&"unix:/run/lb.sock".parse().unwrap(), &unix("/run/lb.sock")));
        assert!(!reaches(&"unix:/run/lb.sock".parse().unwrap(), &unix("/run/app.sock")));
        let named = |name: &str| ListenAddress::Abstract(name.into());
        assert!(reaches(&"unix:@lb".parse().unwrap(), &named("lb")));
        assert!(!reaches(&"unix:@lb".parse().unwrap(), &named("app")));
        assert!(!reaches(&"unix:lb".parse().unwrap(), &named("lb")));
    }
}
