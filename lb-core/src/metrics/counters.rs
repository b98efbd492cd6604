//! What is counted for a frontend, a route's requests, a backend, a server.
//!
//! Each type is one worker's part of a series, reached through its [`Shard`], and knows which metrics its sums
//! over the workers are.

use super::counter::{Counter, Level};
use super::handshake::HandshakeResult;
use super::histogram::{Histogram, HistogramTotals};
use super::names;
use super::reason::Reason;
use super::samples::Samples;
use super::series::{Series, Shard, Sharded};

/// Counters of a frontend.
pub type FrontendMetrics = Series<FrontendCounters>;
/// One worker's counters of a frontend.
pub type FrontendShard = Shard<FrontendCounters>;
/// Counters of the requests that a frontend gave to a backend.
pub type RequestMetrics = Series<RequestCounters>;
/// One worker's counters of the requests that a frontend gave to a backend.
pub type RequestShard = Shard<RequestCounters>;
/// Counters of a backend.
pub type BackendMetrics = Series<BackendCounters>;
/// One worker's counters of a backend.
pub type BackendShard = Shard<BackendCounters>;
/// Counters of a server.
pub type ServerMetrics = Series<ServerCounters>;
/// One worker's counters of a server.
pub type ServerShard = Shard<ServerCounters>;

/// What can be exposed: a series adds its samples.
pub(super) trait Exposed: Default {
    fn expose(series: &Sharded<Self>, samples: &mut Samples);
}

/// What is counted of a frontend: reach it through a [`FrontendShard`].
#[derive(Debug, Default)]
pub struct FrontendCounters {
    open: Level,
    accepted: Counter,
    accept_errors: Counter,
    received_bytes: Counter,
    sent_bytes: Counter,
    errors: [Counter; Reason::COUNT],
    handshakes: [Counter; HandshakeResult::COUNT],
    renewals: Renewals,
}

impl FrontendCounters {
    /// Counts bytes that came from clients.
    pub fn received(&self, bytes: u64) {
        self.received_bytes.add(bytes);
    }

    /// Counts bytes that went to clients.
    pub fn sent(&self, bytes: u64) {
        self.sent_bytes.add(bytes);
    }

    /// Counts a request or a connection that went wrong.
    pub fn error(&self, reason: Reason) {
        self.errors[reason as usize].increment();
    }

    /// Counts a TLS handshake with a client.
    pub fn handshake(&self, result: HandshakeResult) {
        self.handshakes[result as usize].increment();
    }

    /// From now on its certificates are watched: so many renewals, of which there are none yet.
    pub fn certificates_watched(&self) {
        self.renewals.watched.increment();
    }

    /// Counts a certificate, or a file of authorities, that changed; `is_taken`: and that is in use now.
    pub fn certificate_renewed(&self, is_taken: bool) {
        self.renewals.count(is_taken);
    }

    /// Counts a call of accept that failed.
    pub fn accept_failed(&self) {
        self.accept_errors.increment();
    }
}

impl FrontendShard {
    /// Counts an accepted connection, which is open until the guard is dropped.
    pub fn connection_opened(&self) -> OpenConnection {
        self.accepted.increment();
        self.open.rise();
        OpenConnection(self.clone())
    }
}

impl FrontendMetrics {
    /// Connections of clients accepted so far, for the status page.
    pub fn connections(&self) -> u64 {
        self.sum(|c| c.accepted.get())
    }

    /// Connections of clients that are open now.
    pub fn open_connections(&self) -> u64 {
        self.sum(|c| c.open.get())
    }
}

/// A client's connection is open while this lives.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct OpenConnection(FrontendShard);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fall();
    }
}

impl Exposed for FrontendCounters {
    fn expose(series: &Sharded<Self>, samples: &mut Samples) {
        let sum = |counter: fn(&Self) -> u64| series.sum(counter);
        let labels = || series.labels();
        samples.gauge(&names::FRONTEND_CONNECTIONS, labels(), sum(|c| c.open.get()));
        samples.counter(&names::FRONTEND_CONNECTIONS_TOTAL, labels(), sum(|c| c.accepted.get()));
        samples.counter(&names::ACCEPT_ERRORS_TOTAL, labels(), sum(|c| c.accept_errors.get()));
        let bytes = &names::FRONTEND_BYTES_TOTAL;
        samples.counter(bytes, labels().chain(["in"]), sum(|c| c.received_bytes.get()));
        samples.counter(bytes, labels().chain(["out"]), sum(|c| c.sent_bytes.get()));
        for reason in Reason::ALL {
            let count = series.sum(|c| c.errors[reason as usize].get());
            samples.counter(&names::REQUEST_ERRORS_TOTAL, labels().chain([reason.as_str()]), count);
        }
        let handshakes =
            HandshakeResult::ALL.map(|result| (result, series.sum(|c| c.handshakes[result as usize].get())));
        // A frontend in clear text has none, and says nothing of them.
        if handshakes.iter().any(|(_, count)| *count > 0) {
            for (result, count) in handshakes {
                samples.counter(&names::TLS_HANDSHAKES_TOTAL, labels().chain([result.as_str()]), count);
            }
        }
        Renewals::expose(series, |c| &c.renewals, &names::TLS_CERTIFICATE_RENEWALS_TOTAL, samples);
    }
}

/// What is counted of the requests between a frontend and a backend: reach it through a [`RequestShard`].
#[derive(Debug, Default)]
pub struct RequestCounters {
    by_class: StatusClasses,
}

impl RequestCounters {
    /// Counts a request by the status of its response.
    pub fn count(&self, status: u16) {
        self.by_class.count(status);
    }
}

impl Exposed for RequestCounters {
    fn expose(series: &Sharded<Self>, samples: &mut Samples) {
        StatusClasses::expose(series, |c| &c.by_class, &names::REQUESTS_TOTAL, samples);
    }
}

/// What is counted of a backend: reach it through a [`BackendShard`].
#[derive(Debug, Default)]
pub struct BackendCounters {
    /// From the last byte of a request's head to the last byte of its response.
    pub request_duration: Histogram,
    /// From the start of connecting to the connection's being usable.
    pub connect_duration: Histogram,
    retries: Counter,
    renewals: Renewals,
}

impl BackendCounters {
    /// Counts another try of a request or a connection.
    pub fn retry(&self) {
        self.retries.increment();
    }

    /// From now on its certificates are watched: so many renewals, of which there are none yet.
    pub fn certificates_watched(&self) {
        self.renewals.watched.increment();
    }

    /// Counts a certificate, or a file of authorities, that changed; `is_taken`: and that is in use now.
    pub fn certificate_renewed(&self, is_taken: bool) {
        self.renewals.count(is_taken);
    }
}

impl Exposed for BackendCounters {
    fn expose(series: &Sharded<Self>, samples: &mut Samples) {
        let requests = HistogramTotals::of(series.shards().map(|c| &c.request_duration));
        samples.histogram(&names::REQUEST_DURATION_SECONDS, series.labels(), &requests);
        let connects = HistogramTotals::of(series.shards().map(|c| &c.connect_duration));
        samples.histogram(&names::CONNECT_DURATION_SECONDS, series.labels(), &connects);
        samples.counter(&names::RETRIES_TOTAL, series.labels(), series.sum(|c| c.retries.get()));
        Renewals::expose(series, |c| &c.renewals, &names::BACKEND_CERTIFICATE_RENEWALS_TOTAL, samples);
    }
}

/// How a request came by its connection to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectResult {
    /// A connection was opened.
    Opened,
    /// An idle one was taken from the pool.
    Reused,
    /// Opening one failed.
    Failed,
}

/// What a health check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// The server answered as expected.
    Passed,
    /// It did not, or not in time.
    Failed,
}

/// What is counted of a server: reach it through a [`ServerShard`].
#[derive(Debug, Default)]
pub struct ServerCounters {
    by_class: StatusClasses,
    connections: [Counter; 3],
    checks: [Counter; 2],
}

impl ServerCounters {
    /// Counts a response of the server by its status.
    pub fn request(&self, status: u16) {
        self.by_class.count(status);
    }

    /// Counts a connection to the server.
    pub fn connection(&self, result: ConnectResult) {
        self.connections[result as usize].increment();
    }

    /// Counts a health check of the server.
    pub fn check(&self, result: CheckResult) {
        self.checks[result as usize].increment();
    }
}

impl ServerMetrics {
    /// Responses of the server so far, for the status page.
    pub fn requests(&self) -> u64 {
        self.sum(|c| c.by_class.0.iter().map(Counter::get).sum())
    }
}

impl Exposed for ServerCounters {
    fn expose(series: &Sharded<Self>, samples: &mut Samples) {
        StatusClasses::expose(series, |c| &c.by_class, &names::SERVER_REQUESTS_TOTAL, samples);
        let connections = [
            (ConnectResult::Opened, "opened"),
            (ConnectResult::Reused, "reused"),
            (ConnectResult::Failed, "failed"),
        ];
        for (result, label) in connections {
            let count = series.sum(|c| c.connections[result as usize].get());
            samples.counter(&names::SERVER_CONNECTIONS_TOTAL, series.labels().chain([label]), count);
        }
        for (result, label) in [(CheckResult::Passed, "passed"), (CheckResult::Failed, "failed")] {
            let count = series.sum(|c| c.checks[result as usize].get());
            samples.counter(&names::SERVER_CHECKS_TOTAL, series.labels().chain([label]), count);
        }
    }
}

/// Counts by class of status, `1xx` to `5xx`; what is outside is counted with its nearest class.
#[derive(Debug, Default)]
struct StatusClasses([Counter; 5]);

impl StatusClasses {
    fn count(&self, status: u16) {
        self.0[usize::from((status / 100).clamp(1, 5) - 1)].increment();
    }

    fn expose<T>(series: &Sharded<T>, of: fn(&T) -> &Self, name: &names::Name, samples: &mut Samples) {
        for (class, label) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
            let count = series.sum(|c| of(c).0[class].get());
            // The only response that is 1xx and final is a 101: without an upgrade it is nobody's question.
            if class > 0 || count > 0 {
                samples.counter(name, series.labels().chain([label]), count);
            }
        }
    }
}

/// Counts files of TLS that were renewed.
#[derive(Debug, Default)]
struct Renewals {
    watched: Counter,
    refused: Counter,
    taken: Counter,
}

impl Renewals {
    fn count(&self, is_taken: bool) {
        if is_taken { self.taken.increment() } else { self.refused.increment() }
    }

    fn expose<T>(series: &Sharded<T>, of: fn(&T) -> &Self, name: &names::Name, samples: &mut Samples) {
        // Who has no such files says nothing of them.
        if series.sum(|c| of(c).watched.get()) == 0 {
            return;
        }
        let (refused, taken) = (series.sum(|c| of(c).refused.get()), series.sum(|c| of(c).taken.get()));
        samples.counter(name, series.labels().chain(["error"]), refused);
        samples.counter(name, series.labels().chain(["success"]), taken);
    }
}
