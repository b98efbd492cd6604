//! The numbers of a backend: passive ejection, timeouts, pool. Their defaults are those of the configuration file.

use std::time::Duration;

/// When requests themselves show that a server can't be reached, and for how long it is left out then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passive {
    /// Connects that failed or timed out in a row. Default 3; 0: never.
    pub failures: u32,
    /// How long the server is left out the first time; doubled each time it fails again. Default 1 s.
    pub eject: Duration,
    /// What the doubling stops at. Default 30 s.
    pub max_eject: Duration,
}

impl Passive {
    /// Sets [`failures`](Self::failures).
    pub fn failures(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// Sets [`eject`](Self::eject).
    pub fn eject(self, eject: Duration) -> Self {
        Self { eject, ..self }
    }

    /// Sets [`max_eject`](Self::max_eject).
    pub fn max_eject(self, max_eject: Duration) -> Self {
        Self { max_eject, ..self }
    }
}

impl Default for Passive {
    fn default() -> Self {
        Self { failures: 3, eject: Duration::from_secs(1), max_eject: Duration::from_secs(30) }
    }
}

/// How long a backend's servers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendTimeouts {
    /// For one connection to open. Default 2 s.
    pub connect: Duration,
    /// From a request's last byte to the response head's last. Default 60 s.
    pub response: Duration,
    /// Between two reads of a response body. Default 60 s.
    pub body: Duration,
    /// For an upgraded connection without a byte in either direction. Default 1 h.
    pub tunnel: Duration,
    /// For a server below its `max_connections`. Default 5 s.
    pub queue: Duration,
}

impl BackendTimeouts {
    /// Sets [`connect`](Self::connect).
    pub fn connect(self, connect: Duration) -> Self {
        Self { connect, ..self }
    }

    /// Sets [`response`](Self::response).
    pub fn response(self, response: Duration) -> Self {
        Self { response, ..self }
    }

    /// Sets [`body`](Self::body).
    pub fn body(self, body: Duration) -> Self {
        Self { body, ..self }
    }

    /// Sets [`tunnel`](Self::tunnel).
    pub fn tunnel(self, tunnel: Duration) -> Self {
        Self { tunnel, ..self }
    }

    /// Sets [`queue`](Self::queue).
    pub fn queue(self, queue: Duration) -> Self {
        Self { queue, ..self }
    }
}

impl Default for BackendTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            body: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            queue: Duration::from_secs(5),
        }
    }
}

/// How many idle connections to servers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Per server and worker. Default 128; 0: none is kept.
    pub idle_per_server: usize,
    /// Then closed. Default 4 s, below the 5 s at which Apache, Node and gunicorn close.
    pub idle_timeout: Duration,
}

impl PoolLimits {
    /// Sets [`idle_per_server`](Self::idle_per_server).
    pub fn idle_per_server(self, idle_per_server: usize) -> Self {
        Self { idle_per_server, ..self }
    }

    /// Sets [`idle_timeout`](Self::idle_timeout).
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        Self { idle_timeout, ..self }
    }
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { idle_per_server: 128, idle_timeout: Duration::from_secs(4) }
    }
}
