//! What can be wrong with a proxy before it runs.

use std::fmt;
use std::io;

use crate::sys::ListenAddress;

/// What was built can't run. All problems are reported at once.
#[derive(Debug, thiserror::Error)]
pub struct BuildError {
    frontend: Option<String>,
    problems: Vec<BuildProblem>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildProblem {
    /// Nothing would ever connect.
    #[error("there is no address to listen on; add one")]
    NoListener,
    /// An address to listen on can't be read.
    #[error("`{address}` is no address to listen on: {why}")]
    Listen {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// A frontend in mode `tcp` has nowhere to send to.
    #[error("there is no backend; name one")]
    NoBackend,
    /// A frontend in mode `http` answers nothing.
    #[error("there is no route; add one, or a backend")]
    NoRoute,
    /// PROXY headers are expected, and from nobody.
    #[error(
        "accept_proxy believes nobody without trusted_proxies; name the networks that the proxies in front are in"
    )]
    NoTrustedProxies,
    /// What the proxy is to be called in `Via` is no name.
    #[error("{0:?} is no name for `via`; write a host or a word, such as \"lb\"")]
    Via(String),
    /// The routes can't be built.
    #[cfg(feature = "http")]
    #[error(transparent)]
    Route(crate::http::route::RouteError),
    /// A name that no client can ask for.
    #[error("`{0}` is no name that a ClientHello can have; write a host name, or one behind `*.`")]
    Sni(String),
    /// Two frontends have one name.
    #[error("there are two frontends called `{0}`; rename one")]
    DuplicateFrontend(String),
    /// Two backends have one name and are different.
    #[error("there are two different backends called `{0}`; rename one")]
    DuplicateBackend(String),
    /// The mode of unix sockets is none.
    #[error("{0:#o} is no mode of a socket; write the permission bits, such as 0o660")]
    SocketMode(u32),
    /// Who is to own unix sockets is nobody.
    #[error("`{name}` can't own a socket: there is no {kind} `{name}`: {why}; create it, or name another")]
    Account {
        /// `user` or `group`.
        kind: &'static str,
        /// As it was given.
        name: String,
        /// What is known of it.
        why: String,
    },
    /// Two frontends, or one and the admin listener, listen on one address.
    #[error("`{0}` is listened on twice; remove one")]
    DuplicateListener(String),
    /// Two addresses are listened on that a connection could be meant for at a time.
    #[error("`{0}` and `{1}` overlap: only one of them can be listened on; remove one")]
    OverlappingListeners(String, String),
    /// A name of the admin listener is none.
    #[error("{0}")]
    AdminHost(String),
    /// A server is the proxy itself.
    #[error(
        "server `{server}` of backend {backend} is where frontend {frontend} listens: requests would go round in a \
         circle; name the server's own address"
    )]
    Circle {
        /// Where it listens.
        frontend: String,
        /// By which a request comes back there.
        backend: String,
        /// The server's name.
        server: String,
    },
    /// There is nothing to run.
    #[error("there is no frontend; add one")]
    NoFrontend,
}

impl BuildError {
    pub(super) fn frontend(name: String, problems: Vec<BuildProblem>) -> Self {
        Self { frontend: Some(name), problems }
    }

    pub(super) fn proxy(problems: Vec<BuildProblem>) -> Self {
        Self { frontend: None, problems }
    }

    /// The frontend that the problems are of; `None` if they are of the whole.
    pub fn frontend_name(&self) -> Option<&str> {
        self.frontend.as_deref()
    }

    /// The problems; at least one.
    pub fn problems(&self) -> &[BuildProblem] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.frontend {
            write!(f, "frontend {name}: ")?;
        }
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// An address could not be bound.
#[derive(Debug)]
pub struct BindError {
    pub(super) what: String,
    pub(super) address: ListenAddress,
    pub(super) source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, address, source } = self;
        let is_tcp = matches!(address, ListenAddress::Tcp(_));
        let way_out = match source.kind() {
            io::ErrorKind::AddrInUse => "; another process listens there: stop it, or listen elsewhere",
            io::ErrorKind::AlreadyExists => "; name another path, or remove it if nothing needs it",
            io::ErrorKind::NotFound => "; create its directory, or name another path",
            io::ErrorKind::PermissionDenied if is_tcp => {
                "; ports below 1024 need the capability CAP_NET_BIND_SERVICE, \
                 or a lower sysctl net.ipv4.ip_unprivileged_port_start: grant one, or listen elsewhere"
            }
            io::ErrorKind::PermissionDenied => "; let this user write to its directory, or name another path",
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address: listen on one it has",
            _ => "",
        };
        write!(f, "{what}: can't listen on {address}: {source}{way_out}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The proxy could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A worker could not be started.
    #[error("can't start a worker: {0}; is the limit on threads or open files too low?")]
    Worker(io::Error),
}
