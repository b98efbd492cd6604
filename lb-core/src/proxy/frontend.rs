//! A frontend: where it listens, what it serves there.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::listener::Acceptor;
use super::{BuildError, BuildProblem, SocketAccess};
use crate::access_log::AccessLog;
use crate::backend::Backend;
use crate::metrics::Metrics;
use crate::net::{Admission, Entrance, Resources, Terminator};
use crate::sys::{self, Access, ListenAddress};
use crate::tls::Termination;
use crate::upstream::Upstream;

/// A checked frontend, ready for [`ProxyBuilder::frontend`](super::ProxyBuilder::frontend).
///
/// Made by [`Frontend::http`](Frontend::http) or [`Frontend::tcp`](Frontend::tcp) and the builders these return.
#[derive(Clone, Debug)]
pub struct Frontend {
    pub(super) name: Arc<str>,
    pub(super) listen: Vec<ListenAddress>,
    pub(super) max_connections: usize,
    /// Who may connect to its unix sockets.
    pub(super) access: Access,
    pub(super) admission: Option<Arc<dyn Admission>>,
    /// How it ends its clients' TLS, if it does.
    pub(super) termination: Option<Termination>,
    pub(super) mode: Arc<dyn Mode>,
}

/// What a frontend does with connections.
pub(crate) trait Mode: fmt::Debug + Send + Sync {
    /// `http` or `tcp`.
    fn name(&self) -> &'static str;

    /// The backends it sends to, in the order in which [`WorkerEnv::upstreams`] has them.
    fn backends(&self) -> &[Backend];

    /// Whether what goes to the backend in this place would go there again if it came back.
    fn repeats(&self, backend: usize) -> bool;

    /// The acceptor of a worker: a new one, or the one from before, which goes on by this mode.
    fn acceptor(&self, env: WorkerEnv<'_>, before: Option<&Arc<dyn Acceptor>>) -> Arc<dyn Acceptor>;
}

/// What a frontend has on one worker.
pub(crate) struct WorkerEnv<'a> {
    pub(crate) frontend: &'a Arc<str>,
    pub(crate) worker: usize,
    pub(crate) resources: &'a Arc<Resources>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) access_log: Option<&'a Arc<dyn AccessLog>>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

/// What both kinds of frontends have in common, while they are built.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) name: String,
    pub(super) listen: Vec<String>,
    pub(super) max_connections: usize,
    pub(super) access: SocketAccess,
    pub(super) admission: Option<Arc<dyn Admission>>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) accepts_proxy: bool,
    pub(super) tls: Option<Termination>,
}

impl Listening {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            listen: Vec::new(),
            max_connections: 0,
            access: SocketAccess::default(),
            admission: None,
            trusted_proxies: Vec::new(),
            accepts_proxy: false,
            tls: None,
        }
    }

    /// What connections go through first; where that is TLS, `protocols` are offered by ALPN, the best first.
    pub(super) fn entrance(&self, protocols: &[&[u8]]) -> Entrance {
        Entrance {
            proxies: self.accepts_proxy.then(|| self.trusted_proxies.as_slice().into()),
            tls: self.tls.as_ref().map(|tls| Terminator::new(tls, protocols)),
        }
    }

    /// Checks what is common and joins it with the mode, whose own problems are `problems`.
    pub(super) fn build(
        self,
        mode: Arc<dyn Mode>,
        problems: Vec<BuildProblem>,
    ) -> Result<Frontend, BuildError> {
        match self.parse() {
            Ok((listen, access)) if problems.is_empty() => {
                let Self { name, max_connections, admission, tls: termination, .. } = self;
                Ok(Frontend {
                    name: name.into(),
                    listen,
                    max_connections,
                    access,
                    admission,
                    termination,
                    mode,
                })
            }
            _ => Err(self.refuse(problems)),
        }
    }

    /// The mode's problems together with those that both kinds can have.
    pub(super) fn refuse(self, mut problems: Vec<BuildProblem>) -> BuildError {
        problems.extend(self.parse().err().into_iter().flatten());
        BuildError::frontend(self.name, problems)
    }

    fn parse(&self) -> Result<(Vec<ListenAddress>, Access), Vec<BuildProblem>> {
        let (mut listen, mut problems) = (Vec::new(), Vec::new());
        if self.accepts_proxy && self.trusted_proxies.is_empty() {
            problems.push(BuildProblem::NoTrustedProxies);
        }
        if self.listen.is_empty() {
            problems.push(BuildProblem::NoListener);
        }
        for address in &self.listen {
            match parse_listen(address) {
                Ok(addresses) => listen.extend(addresses),
                Err(problem) => problems.push(problem),
            }
        }
        match self.access.resolve() {
            Ok(access) if problems.is_empty() => Ok((listen, access)),
            resolved => {
                problems.extend(resolved.err().into_iter().flatten());
                Err(problems)
            }
        }
    }
}

/// Reads `host:port`, `:80`, `[::]:80`, `unix:/run/lb.sock` or `unix:@name`. A host name is looked up, and all its
/// addresses are meant; without a host all of this machine's are.
pub(crate) fn parse_listen(text: &str) -> Result<Vec<ListenAddress>, BuildProblem> {
    let invalid = |why: &str| BuildProblem::Listen { address: text.to_owned(), why: why.to_owned() };
    if let Some(path) = text.strip_prefix("unix:") {
        // unix(7): sun_path holds 108 bytes on Linux, with the NUL behind a path or before an abstract name.
        if path.len() > 107 || path.contains('\0') {
            return Err(invalid("it is longer than 107 bytes, or has a NUL in it"));
        }
        return match path.strip_prefix('@') {
            Some("") => Err(invalid("it has no name behind `@`")),
            Some(name) => Ok(vec![ListenAddress::Abstract(name.to_owned())]),
            None if path.is_empty() => Err(invalid("it names no path")),
            None => Ok(vec![ListenAddress::Unix(PathBuf::from(path))]),
        };
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(vec![ListenAddress::Tcp(addr)]);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid("it has no port"))?;
    let port = port.parse().map_err(|_| invalid("its port is not a number from 0 to 65535"))?;
    if matches!(host, "" | "*") {
        return Ok(sys::every_address(port).into_iter().map(ListenAddress::Tcp).collect());
    }
    let found = text.to_socket_addrs().map_err(|error| invalid(&error.to_string()))?;
    let mut addresses: Vec<_> = found.map(ListenAddress::Tcp).collect();
    addresses.dedup();
    if addresses.is_empty() { Err(invalid("its host has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for (text, expected) in [
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("[::]:80", Some("[::]:80")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("unix:/run/lb.sock", Some("unix:/run/lb.sock")),
            ("unix:@lb", Some("unix:@lb")),
            ("unix:", None),
            ("unix:@", None),
            ("80", None),
            (":80", Some("0.0.0.0:80")),
            ("*:80", Some("0.0.0.0:80")),
            (":", None),
            ("0.0.0.0:99999", None),
            ("0.0.0.0:http", None),
        ] {
            let parsed = parse_listen(text).ok().map(|addresses| addresses[0].to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
