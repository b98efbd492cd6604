//! The L7 journey: a request's head is read, routed and filtered, a server is chosen, and both bodies move.
//!
//! `connection` owns a client's connection from accept to close; each `exchange` on it is one request with its
//! response. An exchange knows no protocol: `h1` and `h2` give it its ends (`ends`), which have heads (`head`) and bodies
//! (`body`).

mod body;
mod circle;
mod connection;
mod date;
pub mod edits;
mod ends;
mod exchange;
mod filter;
mod forwarded;
mod forwarding;
mod h1;
mod h2;
mod head;
mod host;
mod outgoing;
pub mod path;
mod peer;
mod record;
mod refusal;
mod reply;
pub mod route;
mod scratch;
mod server;
mod service;
mod settings;
pub mod template;
mod upgraded;

pub use filter::{Filter, Request, Response, Verdict};
pub use reply::Reply;
pub use settings::{FrontendTimeouts, Limits};

pub(crate) use connection::{ClientConnection, WorkerFrontend};
pub(crate) use h1::response_status;
#[cfg(feature = "fuzz")]
pub(crate) use h1::{properties as h1_properties, reference};
pub(crate) use h2::PROTOCOL as HTTP2;
#[cfg(feature = "fuzz")]
pub(crate) use h2::frames_property as h2_frames_property;
pub(crate) use service::{Entry, RouteTarget, Service, Shared, UpstreamUse};
