//! What there is to say about an exchange when it is over: metrics and the access log.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::head::{Known, RequestHead, values};
use super::service::{Service, Shared};
use crate::access_log::{AccessEntry, AccessRequest};
use crate::metrics::Reason;
use crate::net::ClientAddress;
use crate::upstream::Endpoint;

/// Filled in as an exchange goes on.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When the request's head was complete (or its reading failed).
    pub(crate) began: Instant,
    pub(crate) status: Option<u16>,
    pub(crate) reason: Option<Reason>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// Where the chosen backend stands in [`Service::upstreams`].
    pub(crate) upstream: Option<usize>,
    /// The last server tried.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    pub(crate) connect: Option<Duration>,
    /// Only where there is a log to tell it.
    pub(crate) first_byte: Option<Duration>,
    /// A server's response is what the client gets.
    pub(crate) is_answered: bool,
    pub(crate) retries: u32,
    /// When the response had been passed on, if it was: the clock is not read twice.
    pub(crate) ended: Option<Instant>,
}

impl Record {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            began,
            status: None,
            reason: None,
            received_bytes: 0,
            sent_bytes: 0,
            upstream: None,
            endpoint: None,
            connect: None,
            first_byte: None,
            is_answered: false,
            retries: 0,
            ended: None,
        }
    }

    /// Counts the exchange.
    pub(crate) fn count(&self, service: &Service, ended: Instant) {
        service.metrics.received(self.received_bytes);
        service.metrics.sent(self.sent_bytes);
        if let Some(reason) = self.reason {
            service.metrics.error(reason);
        }
        let status = self.status.unwrap_or(0);
        match self.upstream.map(|at| &service.upstreams[at]) {
            Some(used) => {
                used.requests.count(status);
                used.upstream.metrics().request_duration.observe(ended - self.began);
            }
            None => service.unrouted.count(status),
        }
        // Only a response that a server gave is that server's.
        if let (Some(endpoint), true) = (&self.endpoint, self.is_answered) {
            endpoint.metrics().request(status);
        }
    }

    /// Writes the exchange's line in the access log, and warns of what went wrong.
    pub(crate) fn log(
        &self,
        service: &Service,
        shared: &Shared,
        client: ClientAddress,
        request: Option<(&RequestHead, &[u8])>,
        ended: Instant,
    ) {
        if service.access_log.is_none() && self.reason.is_none() {
            return;
        }
        let duration = ended - self.began;
        let entry = AccessEntry {
            worker: shared.worker,
            time: std::time::SystemTime::now() - duration,
            client: client.socket(),
            frontend: &service.name,
            backend: self.upstream.map(|at| &**service.upstreams[at].upstream.backend().name()),
            server: self.endpoint.as_ref().map(|endpoint| &**endpoint.server().name()),
            request: request.map(|(head, bytes)| access_request(head, bytes)),
            status: self.status,
            reason: self.reason,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            duration,
            connect: self.connect,
            first_byte: self.first_byte,
            retries: self.retries,
        };
        shared.warnings.warn(&entry);
        if let Some(log) = &service.access_log {
            log.record(&entry);
        }
    }
}

fn access_request<'a>(head: &'a RequestHead, bytes: &'a [u8]) -> AccessRequest<'a> {
    let first = |name: &'static [u8]| values(&head.fields, bytes, name).next();
    AccessRequest {
        method: &bytes[head.method],
        target: &bytes[head.target.raw],
        version: head.version.as_str(),
        host: head.field(Known::Host).map(|field| &bytes[field.value]),
        referer: first(b"referer"),
        user_agent: first(b"user-agent"),
    }
}
