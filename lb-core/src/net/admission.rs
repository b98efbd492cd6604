//! Who may connect at all.

use std::fmt;
use std::net::IpAddr;

/// Says yes or no to a client's address, before a byte of the connection is read.
///
/// ```
/// use std::net::IpAddr;
/// use lb_core::net::Admission;
///
/// /// Only this machine.
/// #[derive(Debug)]
/// struct LoopbackOnly;
///
/// impl Admission for LoopbackOnly {
///     fn admits(&self, client: Option<IpAddr>) -> bool {
///         client.is_none_or(|ip| ip.is_loopback())
///     }
/// }
/// ```
pub trait Admission: fmt::Debug + Send + Sync + 'static {
    /// Whether a connection from `client` is served; otherwise it is closed. `None` is a unix socket's peer. Called
    /// on a worker for each connection, so it must not wait.
    fn admits(&self, client: Option<IpAddr>) -> bool;
}
