//! What the proxy counts, and how Prometheus reads it.
//!
//! Counting costs an increment in memory that only one worker writes: a series exists once for each worker and
//! is summed when it is scraped. Handles are resolved when what they count for is built, so the hot path looks up
//! nothing; guards settle when they are dropped, so an early return can't leak. Label values are names from the
//! configuration and words from closed sets, never what a client sent. A series lives as long as its handles:
//! what a reload removes takes its series with it.
//!
//! Left out on purpose: quantiles over sliding windows, which Prometheus computes from the histograms; pushing;
//! and a global registry.
//!
//! ```
//! use std::time::Duration;
//! use lb_core::metrics::Metrics;
//!
//! let metrics = Metrics::new(4);
//! let shop = metrics.backend("shop");
//! let mine = shop.shard(0); // worker 0's, resolved once
//! mine.request_duration.observe(Duration::from_millis(3));
//! assert!(metrics.encode()?.contains(r#"lb_request_duration_seconds_count{backend="shop"} 1"#));
//! # Ok::<(), lb_core::metrics::EncodeError>(())
//! ```

mod counter;
mod counters;
mod exposition;
mod handshake;
mod histogram;
mod names;
mod process;
mod reason;
mod samples;
mod series;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

pub use counter::Counter;
pub use counters::{
    BackendCounters, BackendMetrics, BackendShard, CheckResult, ConnectResult, FrontendCounters,
    FrontendMetrics, FrontendShard, OpenConnection, RequestCounters, RequestMetrics, RequestShard,
    ServerCounters, ServerMetrics, ServerShard,
};
pub use handshake::HandshakeResult;
pub use histogram::Histogram;
pub use reason::Reason;
pub use series::{Series, Shard};

use series::Family;

/// The metrics of one proxy. Cheap to clone; all clones are the same metrics.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

impl Metrics {
    /// Metrics whose series have `shards` parts, one for each worker.
    pub fn new(shards: usize) -> Self {
        Self(Arc::new_cyclic(|inner| Inner {
            frontends: Family::new(shards),
            requests: Family::new(shards),
            backends: Family::new(shards),
            servers: Family::new(shards),
            reloads_succeeded: Counter::default(),
            reloads_failed: Counter::default(),
            settings: Mutex::default(),
            registry: exposition::registry(inner),
        }))
    }

    /// The series of the frontend `name`.
    pub fn frontend(&self, name: &str) -> FrontendMetrics {
        self.0.frontends.series([name])
    }

    /// The series of requests from `frontend` to `backend`; the backend is empty for what the proxy itself
    /// answers (no route, a redirect, a fixed response), which to Prometheus is a label that is not there.
    pub fn requests(&self, frontend: &str, backend: &str) -> RequestMetrics {
        self.0.requests.series([frontend, backend])
    }

    /// The series of the backend `name`.
    pub fn backend(&self, name: &str) -> BackendMetrics {
        self.0.backends.series([name])
    }

    /// The series of a server.
    pub fn server(&self, backend: &str, server: &str) -> ServerMetrics {
        self.0.servers.series([backend, server])
    }

    /// Counts a reload that succeeded `at` this time.
    pub fn reload_succeeded(&self, at: SystemTime) {
        self.0.reloads_succeeded.increment();
        self.configured(at);
    }

    /// Counts a reload that failed: the configuration from before went on.
    pub fn reload_failed(&self) {
        self.0.reloads_failed.increment();
    }

    /// Says when the first configuration was loaded, which is not a reload.
    pub fn configured(&self, at: SystemTime) {
        self.0.settings().configured_at = Some(at);
    }

    /// Says where to read at a scrape what is not counted but is: it replaces the source from before. Held
    /// weakly, since the source usually holds these metrics.
    pub fn read_gauges_from(&self, source: Weak<dyn Gauges>) {
        self.0.settings().gauges = Some(source);
    }

    /// Everything in the Prometheus text format, version 0.0.4 (`text/plain; version=0.0.4`). Sums as it goes:
    /// workers are not stopped, so two counters may be read at slightly different moments.
    ///
    /// # Errors
    ///
    /// Only if the encoder refuses a metric, which would be a mistake of this crate.
    pub fn encode(&self) -> Result<String, EncodeError> {
        exposition::encode(&self.0.registry)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What is read when metrics are scraped, because the truth about it lives elsewhere.
pub trait Gauges: Send + Sync {
    /// Calls `visit` for each server that is configured or still draining.
    fn servers(&self, visit: &mut dyn FnMut(ServerGauge<'_>));

    /// Calls `visit` for each certificate that clients may be shown.
    fn certificates(&self, visit: &mut dyn FnMut(CertificateGauge<'_>)) {
        let _ = visit;
    }

    /// Lines that the access log dropped since the start.
    fn access_log_lost(&self) -> u64;
}

/// A certificate that clients may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateGauge<'a> {
    /// Its file.
    pub certificate: &'a str,
    /// When its time is over.
    pub not_after: SystemTime,
}

/// How a server is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerGauge<'a> {
    /// Name of its backend.
    pub backend: &'a str,
    /// Its name.
    pub server: &'a str,
    /// Whether it takes traffic.
    pub is_up: bool,
    /// Every state that a server may be in, and whether it is in it.
    pub states: &'a [(&'static str, bool)],
    /// Requests and tunnels it is serving.
    pub in_flight: u64,
}

/// The metrics could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metrics can't be rendered, which is a mistake in lb-core; please report it: {0}")]
pub struct EncodeError(String);

struct Inner {
    frontends: Family<FrontendCounters>,
    requests: Family<RequestCounters>,
    backends: Family<BackendCounters>,
    servers: Family<ServerCounters>,
    reloads_succeeded: Counter,
    reloads_failed: Counter,
    settings: Mutex<Settings>,
    registry: prometheus::Registry,
}

/// What the control plane sets now and then.
#[derive(Default)]
struct Settings {
    configured_at: Option<SystemTime>,
    gauges: Option<Weak<dyn Gauges>>,
}

impl Inner {
    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In seconds since 1970.
    fn configured_at(&self) -> Option<f64> {
        let since = self.settings().configured_at?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(since.as_secs_f64())
    }

    fn gauges(&self) -> Option<Arc<dyn Gauges>> {
        self.settings().gauges.as_ref()?.upgrade()
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
