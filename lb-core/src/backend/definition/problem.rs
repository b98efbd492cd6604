//! What can be wrong with a backend, in words for who wrote it.

use std::fmt;

use thiserror::Error;

use crate::backend::AddressError;

/// Everything that is wrong with one backend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct BackendError {
    pub(super) backend: String,
    /// Invariant: not empty.
    pub(super) problems: Vec<BackendProblem>,
}

/// One thing that is wrong with a backend. `index` counts the servers in the order given, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackendProblem {
    /// The backend has no name.
    #[error("the backend's name is empty; give it one, it is the label in logs and metrics")]
    NoName,
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
