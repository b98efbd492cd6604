//! Why a request or a connection went wrong.

use std::fmt;

/// What went wrong with a request or a connection: the `reason` of the access log and a label of
/// `lb_request_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The client sent a malformed head, ambiguous framing, a bad chunk or a bad host: 400.
    BadRequest,
    /// The client sent its head or body too slowly, or did not read its response: 408.
    ClientTimeout,
    /// A tunnel (mode `tcp`, an upgrade, CONNECT) carried no byte in either direction for too long.
    IdleTimeout,
    /// Head, target, number of fields or body over the frontend's limits: 431, 414 or 413.
    TooLarge,
    /// No route matches: 404.
    NoRoute,
    /// The request came through lb again and again: 508.
    LoopDetected,
    /// The backend has no server that takes traffic: 503.
    NoServer,
    /// All servers stayed at their `max_connections` past `timeouts.queue`: 503.
    QueueTimeout,
    /// Connecting failed on every server tried: 502.
    ConnectFailed,
    /// A server's certificate was not accepted, and no other could be connected to: 502.
    ServerCertificate,
    /// The server sent no valid response head, or closed before it: 502.
    BadResponse,
    /// The server took too long: 504 if before its head, otherwise the client's stream is broken.
    ServerTimeout,
    /// The server closed or failed in the middle of a body; the client's stream is broken.
    ServerAbort,
    /// The client went away before its exchange was over.
    ClientAbort,
    /// The proxy stopped, and the time for draining ran out.
    Shutdown,
}

impl Reason {
    /// How many reasons there are; each one's discriminant is below it.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// All reasons, in the order of their discriminants.
    pub(super) const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::ClientTimeout,
        Self::IdleTimeout,
        Self::TooLarge,
        Self::NoRoute,
        Self::LoopDetected,
        Self::NoServer,
        Self::QueueTimeout,
        Self::ConnectFailed,
        Self::ServerCertificate,
        Self::BadResponse,
        Self::ServerTimeout,
        Self::ServerAbort,
        Self::ClientAbort,
        Self::Shutdown,
    ];

    /// The word for it in logs and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::ClientTimeout => "client_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::TooLarge => "too_large",
            Self::NoRoute => "no_route",
            Self::LoopDetected => "loop_detected",
            Self::NoServer => "no_server",
            Self::QueueTimeout => "queue_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::ServerCertificate => "server_certificate",
            Self::BadResponse => "bad_response",
            Self::ServerTimeout => "server_timeout",
            Self::ServerAbort => "server_abort",
            Self::ClientAbort => "client_abort",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_order_of_discriminants() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
        }
    }
}
