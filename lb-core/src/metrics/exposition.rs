//! From living series to what Prometheus reads. This file and `samples` alone know the `prometheus` crate's types.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto;
use prometheus::{Registry, TextEncoder};

use super::counters::Exposed;
use super::names::{self, Name};
use super::process;
use super::samples::Samples;
use super::series::Family;
use super::{EncodeError, Gauges, Inner};

/// A registry over the series of `inner`, this process and nothing else: not the crate's global one, so that two
/// proxies in a process don't mix.
pub(super) fn registry(inner: &Weak<Inner>) -> Registry {
    let registry = Registry::new();
    let proxy = SeriesCollector { inner: Weak::clone(inner), descriptions: descriptions() };
    registry.register(Box::new(proxy)).expect("names are valid and unique, as tests of names.rs show");
    registry
}

/// All metrics of `registry` in the Prometheus text format.
pub(super) fn encode(registry: &Registry) -> Result<String, EncodeError> {
    TextEncoder::new().encode_to_string(&registry.gather()).map_err(|error| EncodeError(error.to_string()))
}

fn descriptions() -> Vec<Desc> {
    let describe = |name: &Name| {
        let labels = name.labels.iter().map(ToString::to_string).collect();
        Desc::new(name.name.to_owned(), name.help.to_owned(), labels, HashMap::new())
            .expect("names and labels in names.rs are of letters and underscores")
    };
    names::ALL.iter().map(describe).collect()
}

/// Sums the shards of every living series when it is asked to.
struct SeriesCollector {
    inner: Weak<Inner>,
    descriptions: Vec<Desc>,
}

impl Collector for SeriesCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut samples = Samples::default();
        process::expose(&mut samples);
        if let Some(inner) = self.inner.upgrade() {
            expose_family(&inner.frontends, &mut samples);
            expose_family(&inner.requests, &mut samples);
            expose_family(&inner.backends, &mut samples);
            expose_family(&inner.servers, &mut samples);
            expose_whole(&inner, &mut samples);
            if let Some(gauges) = inner.gauges() {
                expose_gauges(&gauges, &mut samples);
            }
        }
        samples.into_families()
    }
}

fn expose_family<T: Exposed>(family: &Family<T>, samples: &mut Samples) {
    for series in family.living() {
        T::expose(&series, samples);
    }
}

fn expose_whole(inner: &Inner, samples: &mut Samples) {
    samples.counter(&names::CONFIG_RELOADS_TOTAL, ["success"].into_iter(), inner.reloads_succeeded.get());
    samples.counter(&names::CONFIG_RELOADS_TOTAL, ["error"].into_iter(), inner.reloads_failed.get());
    if let Some(seconds) = inner.configured_at() {
        samples.gauge_f64(&names::CONFIG_LAST_SUCCESS_TIMESTAMP_SECONDS, [].into_iter(), seconds);
    }
    samples.gauge(&names::BUILD_INFO, [env!("CARGO_PKG_VERSION")].into_iter(), 1);
}

/// All servers of one name.
#[derive(Default)]
struct Server {
    is_up: bool,
    states: Vec<(&'static str, bool)>,
    in_flight: u64,
}

fn expose_gauges(gauges: &Arc<dyn Gauges>, samples: &mut Samples) {
    samples.counter(&names::ACCESS_LOG_LOST_TOTAL, [].into_iter(), gauges.access_log_lost());
    // Two frontends may show one certificate.
    let mut certificates: BTreeMap<String, f64> = BTreeMap::new();
    gauges.certificates(&mut |certificate| {
        let since = certificate.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        certificates.insert(certificate.certificate.to_owned(), since.as_secs_f64());
    });
    for (certificate, expiry) in &certificates {
        let labels = [certificate.as_str()].into_iter();
        samples.gauge_f64(&names::TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS, labels, *expiry);
    }
    // A server that drains and its successor of the same name are one series: two would spoil the scrape.
    let mut servers: BTreeMap<(String, String), Server> = BTreeMap::new();
    gauges.servers(&mut |gauge| {
        let server = servers.entry((gauge.backend.to_owned(), gauge.server.to_owned())).or_default();
        // The one that takes traffic says what state they are in.
        if server.states.is_empty() || gauge.is_up {
            server.states = gauge.states.to_vec();
        }
        server.is_up |= gauge.is_up;
        server.in_flight += gauge.in_flight;
    });
    for ((backend, server), Server { is_up, states, in_flight }) in &servers {
        let labels = || [backend.as_str(), server.as_str()].into_iter();
        samples.gauge(&names::SERVER_UP, labels(), u64::from(*is_up));
        for (state, is_it) in states {
            samples.gauge(&names::SERVER_STATE, labels().chain([*state]), u64::from(*is_it));
        }
        samples.gauge(&names::SERVER_INFLIGHT, labels(), *in_flight);
    }
}
