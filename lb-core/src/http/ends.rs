//! The two ends of an exchange, as it knows them: heads, and bodies by [`Source`] and [`Sink`].
//!
//! A protocol implements [`ClientEnd`] for one request of a client, and [`ServerEnd`] for one connection or stream to
//! a server. Everything that differs from protocol to protocol is behind these traits; nothing of it is asked by name.

use std::io;
use std::task::{Context, Poll};

use super::body::{Sink, Source};
use super::head::{Asked, BodyLength, RequestHead, ResponseHead};
use super::outgoing::{OutgoingReply, OutgoingRequest, OutgoingResponse};
use crate::net::Said;

/// Where requests come from and responses go to.
pub(crate) trait ClientEnd: Source + Sink {
    /// Reads the next request's head.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Poll<Result<(), HeadError>>;

    /// The bytes that the request's head is ranges of.
    fn head_bytes(&self) -> &[u8];

    /// Whether bytes have arrived that no request has taken yet.
    fn has_more(&self) -> bool;

    /// Whether TLS protects the client's connection.
    fn is_secure(&self) -> bool;

    /// The subject of the certificate that the client showed.
    fn client_subject(&self) -> Option<&str>;

    /// What a server may be told of the client's connection, of which `front` is what the proxy in front said.
    fn said(&self, front: Option<&Said>) -> Said;

    /// Whether this response is one that the request may have.
    fn admits(&self, head: &ResponseHead, bytes: &[u8]) -> bool {
        let _ = (head, bytes);
        true
    }

    /// The scheme of what is asked for: `https` also where TLS ends at the proxy in front, if that says so.
    fn scheme(&self, front: Option<&Said>) -> &'static str {
        if self.is_secure() || front.is_some_and(Said::is_secure) { "https" } else { "http" }
    }

    /// Ready when the client's connection was reset, where that is found out without a system call and not by
    /// [`Sink::poll_flush`] already. Meant for a wait of which nothing is read meanwhile.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }

    /// Whether [`poll_gone`](Self::poll_gone) would see a reset.
    fn is_watched(&self) -> bool {
        true
    }

    /// Has [`poll_gone`](Self::poll_gone) see resets, at the price of two system calls.
    fn watch(&mut self) {}

    /// Bounds the body whose head was just read.
    fn limit_body(&mut self, bytes: u64);

    /// Whether the request has been read to its end.
    fn is_body_ended(&self) -> bool;

    /// Whether the body, of which nothing has been sent yet, can perhaps be sent again.
    fn is_replayable(&self) -> bool;

    /// Makes a replayable body whole again; false if too much of it has been sent by now.
    fn rewind(&mut self, body: BodyLength) -> bool;

    /// Throws away the body where all of it has arrived; false if some is still to come.
    fn discard_body(&mut self) -> bool;

    /// Queues an interim response.
    fn write_interim(&mut self, head: &ResponseHead, bytes: &[u8]);

    /// Queues a response's head and returns its size in bytes.
    fn write_response(&mut self, response: OutgoingResponse<'_>) -> u64;

    /// Queues an answer of our own and returns its size in bytes. Replaces a response of which nothing was written.
    fn write_reply(&mut self, reply: OutgoingReply<'_>) -> u64;

    /// Whether anything of the response has left.
    fn has_written(&self) -> bool;

    /// The response can't be finished: lets the client tell that it is not whole.
    fn break_off(&mut self);
}

/// Where requests go to and responses come from.
pub(crate) trait ServerEnd: Source + Sink {
    /// Queues a request's head.
    fn write_request(&mut self, request: OutgoingRequest<'_>);

    /// Whether anything of the request has left.
    fn has_written(&self) -> bool;

    /// Whether everything queued has left.
    fn is_flushed(&self) -> bool;

    /// Reads the next response's head.
    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>>;

    /// The bytes that the response's head is ranges of.
    fn head_bytes(&self) -> &[u8];

    /// Whether bytes have arrived that no response has taken yet.
    fn has_more(&self) -> bool;

    /// Whether the response has been read to its end.
    fn is_body_ended(&self) -> bool;
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

impl HeadLimits {
    /// Heads of responses are bounded as the default is for requests, twice over: no configuration can know what its
    /// servers send.
    pub(crate) const OF_RESPONSES: Self = Self { bytes: 64 * 1024, fields: 256 };
}

/// Why there is no head.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    /// Closed between messages; not an error of anybody.
    #[error("closed before a message")]
    Closed,
    #[error("closed inside a head")]
    Truncated,
    #[error("head over the limit")]
    TooLarge,
    #[error("request target over the limit")]
    TargetTooLong,
    #[error("more fields than the limit")]
    TooManyFields,
    #[error("more interim responses than the limit")]
    TooManyInterims,
    /// What is asked for is a protocol that the other end does not speak.
    #[error("a tunnel for a protocol that is not known")]
    UnknownProtocol,
    #[error(transparent)]
    Parse(ParseError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a head was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("malformed start line or field")]
    Malformed,
    #[error("bare carriage return or line feed")]
    BareLineEnd,
    #[error("more fields than the limit")]
    TooManyFields,
    #[error("Content-Length and Transfer-Encoding together, repeated, or malformed")]
    Framing,
    #[error("Host missing, repeated, malformed, or not that of the target")]
    Host,
    #[error("malformed request target")]
    Target,
    #[error("invalid status code")]
    Status,
}

impl From<ParseError> for HeadError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::TooManyFields => Self::TooManyFields,
            error => Self::Parse(error),
        }
    }
}
