//! The loads: who asks, how fast, and what the client saw.

pub(crate) mod h2load;
pub(crate) mod idle;
pub(crate) mod open_loop;
pub(crate) mod wrk;

use std::time::Duration;

use crate::error::Error;

/// What a load generator saw from its side of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Read by the client, heads included, or uploaded by it.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// Responses with another status than 2xx.
    pub(crate) bad_statuses: u64,
    /// Connections refused, reset or ended in the middle, and responses that never came.
    pub(crate) broken: u64,
    /// Absent where the generator does not tell.
    pub(crate) latency: Option<Latency>,
}

/// From when a request was due (open loop) or sent (closed loop) to its response's last byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Absent where the generator does not tell.
    pub(crate) p999: Option<Duration>,
}

impl Outcome {
    pub(crate) fn failed(&self) -> u64 {
        self.bad_statuses + self.broken
    }

    /// An outcome that counts: something came back and nothing failed.
    pub(crate) fn clean(self) -> Result<Self, Error> {
        match self {
            Self { requests: 0, .. } => Err(Error::Load("no response came back".into())),
            Self { bad_statuses: 0, broken: 0, .. } => Ok(self),
            Self { bad_statuses, broken, requests, .. } => Err(Error::Load(format!(
                "of {requests} requests {bad_statuses} were not answered with 2xx and {broken} broke"
            ))),
        }
    }
}
