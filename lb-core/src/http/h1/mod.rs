//! HTTP/1.1 and 1.0: the protocol end to clients and to servers.
//!
//! One [`Connection`] serves both roles: messages come in by [`incoming`], go out by [`outgoing`]. What is ambiguous
//! is refused where it is read ([`parse`], [`framing`], [`chunked`]); what goes out is written by [`encode`] from
//! what was parsed, in one form.

mod answer;
mod chunked;
mod connection;
mod encode;
mod framing;
mod incoming;
mod outgoing;
mod parse;
#[cfg(feature = "fuzz")]
pub(crate) mod properties;
#[cfg(feature = "fuzz")]
pub(crate) mod reference;

pub(crate) use answer::response_status;
pub(crate) use chunked::is_forbidden_trailer;
pub(crate) use connection::Connection;
pub(crate) use parse::{is_target, request as parse_request, response as parse_response};
