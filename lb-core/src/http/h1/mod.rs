//! HTTP/1.1 and 1.0: the protocol end to clients and to servers.
//!
//! One [`Connection`] serves both roles: messages come in by [`incoming`], go out by [`outgoing`]. What is ambiguous
//! is refused where it is read ([`parse`], [`framing`], [`chunked`]); what goes out is written by [`encode`] from
//! what was parsed, never copied through.

mod chunked;
mod connection;
mod encode;
mod framing;
mod host;
mod incoming;
mod outgoing;
mod parse;
#[cfg(feature = "fuzz")]
pub(crate) mod properties;

pub(crate) use connection::Connection;
pub(crate) use encode::{
    HeadEdits, OutgoingRequest, OutgoingResponse, Persistence, encode_interim, encode_reply, encode_request,
    encode_response, request_encoder,
};
pub(crate) use host::without_port;
pub(crate) use incoming::{HeadError, HeadLimits};
pub(crate) use outgoing::Encoder;
