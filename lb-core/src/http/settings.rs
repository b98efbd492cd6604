//! The numbers of an HTTP frontend. Their defaults are those of the configuration file.

use std::time::Duration;

/// How long a frontend's clients are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrontendTimeouts {
    /// From a request's first byte (or from accept) to its head's last. Default 10 s.
    pub head: Duration,
    /// A kept-alive connection between requests. Default 60 s.
    pub idle: Duration,
    /// Between two reads of a request body, and between two writes to a client that does not read. Default 30 s.
    pub body: Duration,
    /// From when on the kernel asks the silent ends of a tunnel (an upgrade, CONNECT, mode `tcp`) whether they are
    /// still there; those that vanished are noticed about a minute later. Default 60 s; zero: never.
    pub keepalive: Duration,
}

impl FrontendTimeouts {
    /// Sets [`head`](Self::head).
    #[must_use]
    pub fn head(self, head: Duration) -> Self {
        Self { head, ..self }
    }

    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// Sets [`body`](Self::body).
    #[must_use]
    pub fn body(self, body: Duration) -> Self {
        Self { body, ..self }
    }

    /// Sets [`keepalive`](Self::keepalive).
    #[must_use]
    pub fn keepalive(self, keepalive: Duration) -> Self {
        Self { keepalive, ..self }
    }
}

impl Default for FrontendTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
        }
    }
}

/// How large a frontend's requests may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a head; over it 431, or 414 where the target alone is over it. Default 32 KiB.
    pub head_bytes: usize,
    /// Fields of a head; over it 431. Default 128.
    pub headers: usize,
    /// Bytes of a body; over it 413. Default `None`: no limit.
    pub body_bytes: Option<u64>,
}

impl Limits {
    /// Sets [`head_bytes`](Self::head_bytes).
    #[must_use]
    pub fn head_bytes(self, head_bytes: usize) -> Self {
        Self { head_bytes, ..self }
    }

    /// Sets [`headers`](Self::headers).
    #[must_use]
    pub fn headers(self, headers: usize) -> Self {
        Self { headers, ..self }
    }

    /// Sets [`body_bytes`](Self::body_bytes).
    #[must_use]
    pub fn body_bytes(self, body_bytes: u64) -> Self {
        Self { body_bytes: Some(body_bytes), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 32 * 1024, headers: 128, body_bytes: None }
    }
}
