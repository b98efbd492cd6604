//! What keeps a figure from being measured.

use std::io;
use std::path::PathBuf;

/// Why a run, a peer or a sample was given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line asks for what does not exist.
    #[error("{0}")]
    Usage(String),
    /// Proxy and load must not share a core.
    #[error("two cores are needed, one for the proxy and one for load and origins; this process may use {0}")]
    Cores(u32),
    /// Something listens where an origin or a peer should.
    #[error("port {0} is taken; choose others by --port-base")]
    PortTaken(u16),
    /// A process did not come up or went away. The last lines it wrote follow.
    #[error("{name} {what}{log}")]
    Process { name: String, what: String, log: String },
    /// A peer works, but not as compared: wrong route, no X-Forwarded-For.
    #[error("{name} is not fairly configured: {what}")]
    Unfair { name: String, what: String },
    /// A load ended without a result that can be trusted.
    #[error("{0}")]
    Load(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A system call failed.
    #[error("{what}: {source}")]
    System { what: &'static str, source: io::Error },
    /// The chart could not be drawn.
    #[error("chart: {0}")]
    Chart(String),
}

impl Error {
    /// Says which system call an error came from; for `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System { what, source: source.into() }
    }

    /// Says which file an error came from; for `map_err`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.into(), source }
    }
}
