//! What a client is told when something is wrong: one total mapping from what happened to status and reason.

use http::StatusCode;

use super::body::SourceError;
use super::ends::HeadError;
use super::reply::Reply;
use crate::metrics::Reason;
use crate::upstream::{ConnectError, LeaseError};

/// An answer of the proxy itself, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: Reason,
    text: &'static str,
    /// Where the next request would begin is not known: the connection closes.
    pub(crate) closes: bool,
}

impl Refusal {
    pub(crate) const BAD_REQUEST: Self =
        Self::closing(StatusCode::BAD_REQUEST, Reason::BadRequest, "the request is malformed\n");
    pub(crate) const CLEAR_TEXT: Self = Self::closing(
        StatusCode::BAD_REQUEST,
        Reason::BadRequest,
        "a request in clear text came to a port that speaks TLS; use https://\n",
    );
    pub(crate) const BAD_PATH: Self =
        Self::keeping(StatusCode::BAD_REQUEST, Reason::BadRequest, "the path is malformed\n");
    pub(crate) const CONNECT: Self =
        Self::closing(StatusCode::METHOD_NOT_ALLOWED, Reason::BadRequest, "this is not a forward proxy\n");
    /// RFC 9110 section 9.3.8: what TRACE shows, credentials included, is better kept from whoever asks.
    pub(crate) const TRACE: Self =
        Self::keeping(StatusCode::METHOD_NOT_ALLOWED, Reason::BadRequest, "TRACE is not served here\n");
    pub(crate) const UNKNOWN_PROTOCOL: Self = Self::keeping(
        StatusCode::NOT_IMPLEMENTED,
        Reason::BadRequest,
        "this protocol is not tunnelled here\n",
    );
    pub(crate) const NO_TUNNEL: Self = Self::keeping(
        StatusCode::NOT_IMPLEMENTED,
        Reason::BadResponse,
        "the server opens no tunnel for this protocol\n",
    );
    pub(crate) const CLIENT_TIMEOUT: Self =
        Self::closing(StatusCode::REQUEST_TIMEOUT, Reason::ClientTimeout, "the request took too long\n");
    pub(crate) const HEAD_TOO_LARGE: Self = Self::closing(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Reason::TooLarge,
        "the request's header fields are too large or too many\n",
    );
    pub(crate) const TARGET_TOO_LONG: Self =
        Self::closing(StatusCode::URI_TOO_LONG, Reason::TooLarge, "the request's target is too long\n");
    pub(crate) const BODY_TOO_LARGE: Self =
        Self::closing(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "the request's body is too large\n");
    pub(crate) const NO_ROUTE: Self =
        Self::keeping(StatusCode::NOT_FOUND, Reason::NoRoute, "nothing is served here\n");
    /// RFC 5842 section 7.2.
    pub(crate) const CIRCLE: Self = Self::keeping(
        StatusCode::LOOP_DETECTED,
        Reason::LoopDetected,
        "the request came through this proxy again and again\n",
    );
    pub(crate) const NO_SERVER: Self =
        Self::keeping(StatusCode::SERVICE_UNAVAILABLE, Reason::NoServer, "no server is available\n");
    pub(crate) const QUEUE_TIMEOUT: Self =
        Self::keeping(StatusCode::SERVICE_UNAVAILABLE, Reason::QueueTimeout, "all servers are busy\n");
    pub(crate) const CONNECT_FAILED: Self =
        Self::keeping(StatusCode::BAD_GATEWAY, Reason::ConnectFailed, "no server could be reached\n");
    pub(crate) const SERVER_CERTIFICATE: Self = Self::keeping(
        StatusCode::BAD_GATEWAY,
        Reason::ServerCertificate,
        "the server's certificate was not accepted\n",
    );
    pub(crate) const BAD_RESPONSE: Self =
        Self::keeping(StatusCode::BAD_GATEWAY, Reason::BadResponse, "the server's response was not valid\n");
    pub(crate) const SERVER_TIMEOUT: Self =
        Self::keeping(StatusCode::GATEWAY_TIMEOUT, Reason::ServerTimeout, "the server took too long\n");

    /// What a head that could not be read is answered with; nothing where nobody is there to be answered.
    pub(crate) fn of_head(error: &HeadError) -> Option<Self> {
        match error {
            HeadError::Closed | HeadError::Io(_) => None,
            HeadError::Truncated | HeadError::Parse(_) | HeadError::TooManyInterims => {
                Some(Self::BAD_REQUEST)
            }
            HeadError::UnknownProtocol => Some(Self::UNKNOWN_PROTOCOL),
            HeadError::TooLarge | HeadError::TooManyFields => Some(Self::HEAD_TOO_LARGE),
            HeadError::TargetTooLong => Some(Self::TARGET_TOO_LONG),
        }
    }

    /// What a request body that could not be read is answered with, if no response has begun.
    pub(crate) fn of_request_body(error: &SourceError) -> Option<Self> {
        match error {
            SourceError::Malformed => Some(Self::BAD_REQUEST),
            SourceError::TooLarge => Some(Self::BODY_TOO_LARGE),
            SourceError::Truncated | SourceError::Io(_) => None,
        }
    }

    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        match error.reason() {
            Reason::ServerCertificate => Self::SERVER_CERTIFICATE,
            _ => Self::CONNECT_FAILED,
        }
    }

    pub(crate) fn of_lease(error: LeaseError) -> Self {
        match error {
            LeaseError::NoServer => Self::NO_SERVER,
            LeaseError::QueueTimeout => Self::QUEUE_TIMEOUT,
        }
    }

    pub(crate) fn reply(&self) -> Reply {
        Reply::text(self.status, self.text)
    }

    const fn closing(status: StatusCode, reason: Reason, text: &'static str) -> Self {
        Self { status, reason, text, closes: true }
    }

    const fn keeping(status: StatusCode, reason: Reason, text: &'static str) -> Self {
        Self { status, reason, text, closes: false }
    }
}
