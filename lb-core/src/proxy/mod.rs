//! The proxy as a whole: what is built from frontends and backends, the workers that run it, and changing all of it
//! while it runs.
//!
//! [`ProxyBuilder`] checks and makes a [`Snapshot`]; building starts nothing. [`Proxy::run`] starts workers, binds
//! listeners and applies the snapshot; [`Handle::apply`] replaces it: listeners, servers, pools and counters that are
//! in both are carried over, so that no request notices.

mod admin;
mod builder;
mod circle;
pub(crate) mod control;
mod error;
mod frontend;
mod handle;
#[cfg(feature = "http")]
mod http_mode;
mod limit;
mod listener;
mod listeners;
mod reserve;
mod run;
mod running;
mod snapshot;
mod socket_access;
pub mod status;
mod tcp_mode;
#[cfg(all(feature = "tls", feature = "http"))]
mod tls_frontend;
mod worker;

#[cfg(feature = "config")]
pub(crate) use admin::HostName;
pub use builder::{IntoFrontend, ProxyBuilder};
pub use error::{BindError, BuildError, BuildProblem, RunError};
pub use frontend::Frontend;
pub use handle::Handle;
#[cfg(feature = "http")]
pub use http_mode::HttpFrontend;
pub use run::Proxy;
pub use snapshot::Snapshot;
pub use socket_access::SocketAccess;
pub use tcp_mode::{TcpFrontend, TcpRoute};
pub use worker::Workers;
