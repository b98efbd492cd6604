//! Connections and bytes: a stream of any kind, the buffers and pipes a worker lends to whoever moves bytes now,
//! deadlines, the byte pump (splice or copy), tunnels, and the register of connections that draining needs.
//!
//! Nothing here knows HTTP. Everything here is polled by the one task that owns the connection; an idle connection
//! holds neither buffer nor pipe.

mod accepted;
mod admission;
mod buffer;
mod carried;
mod client_hello;
mod connections;
mod deadline;
mod entrance;
mod linger;
mod listener;
mod proxy_header;
mod pump;
mod resources;
#[cfg(feature = "tls")]
mod secure;
#[cfg(not(feature = "tls"))]
#[path = "secure_absent.rs"]
mod secure;
mod socket;
mod stream;
mod tunnel;

pub use admission::Admission;

pub(crate) use buffer::{Buffer, Fill};
#[cfg(feature = "http")]
pub(crate) use carried::Carried;
pub(crate) use client_hello::ClientHello;
pub(crate) use connections::{Connections, Registration};
pub(crate) use deadline::Deadline;
pub(crate) use entrance::{Entered, Entrance, Refused};
pub(crate) use linger::linger;
pub(crate) use listener::{ClientAddress, Listener};
#[cfg(feature = "fuzz")]
pub(crate) use proxy_header::property as proxy_header_property;
pub(crate) use proxy_header::{Introduction, Said};
pub(crate) use pump::{Blocked, Pump, PumpEnd, PumpError};
pub(crate) use resources::{Pool, Resources, Space};
#[cfg(feature = "http")]
pub(crate) use secure::Terms;
pub(crate) use secure::{Originator, Secure, Terminator, is_certificate_refused};
pub(crate) use socket::Socket;
pub(crate) use stream::Stream;
pub(crate) use tunnel::{Tunnel, TunnelEnd};
