//! What one scrape shows, in the types of the `prometheus` crate.

use std::collections::BTreeMap;

use prometheus::proto;

use super::histogram::HistogramTotals;
use super::names::{Kind, Name};

/// The samples of one scrape, by metric.
#[derive(Default)]
pub(super) struct Samples(BTreeMap<&'static str, (Name, Vec<proto::Metric>)>);

impl Samples {
    pub(super) fn counter<'a>(&mut self, name: &Name, labels: impl Iterator<Item = &'a str>, value: u64) {
        self.counter_f64(name, labels, to_f64(value));
    }

    pub(super) fn counter_f64<'a>(&mut self, name: &Name, labels: impl Iterator<Item = &'a str>, value: f64) {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        self.push(name, Kind::Counter, labels).set_counter(counter);
    }

    pub(super) fn gauge<'a>(&mut self, name: &Name, labels: impl Iterator<Item = &'a str>, value: u64) {
        self.gauge_f64(name, labels, to_f64(value));
    }

    pub(super) fn gauge_f64<'a>(&mut self, name: &Name, labels: impl Iterator<Item = &'a str>, value: f64) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        self.push(name, Kind::Gauge, labels).set_gauge(gauge);
    }

    pub(super) fn histogram<'a>(
        &mut self,
        name: &Name,
        labels: impl Iterator<Item = &'a str>,
        totals: &HistogramTotals,
    ) {
        let bucket = |(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(totals.cumulative().map(bucket).collect());
        histogram.set_sample_count(totals.count());
        histogram.set_sample_sum(totals.sum().as_secs_f64());
        self.push(name, Kind::Histogram, labels).set_histogram(histogram);
    }

    fn push<'a>(
        &mut self,
        name: &Name,
        kind: Kind,
        values: impl Iterator<Item = &'a str>,
    ) -> &mut proto::Metric {
        debug_assert_eq!(name.kind, kind, "{}", name.name);
        let mut labels = Vec::with_capacity(name.labels.len());
        for (label, value) in name.labels.iter().zip(values) {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*label).to_owned());
            pair.set_value(value.to_owned());
            labels.push(pair);
        }
        debug_assert_eq!(labels.len(), name.labels.len(), "{}", name.name);
        let (_, metrics) = self.0.entry(name.name).or_insert_with(|| (*name, Vec::new()));
        metrics.push(proto::Metric::from_label(labels));
        metrics.last_mut().expect("pushed just now")
    }

    pub(super) fn into_families(self) -> Vec<proto::MetricFamily> {
        let family = |(name, metrics): (Name, Vec<proto::Metric>)| {
            let mut family = proto::MetricFamily::default();
            family.set_name(name.name.to_owned());
            family.set_help(name.help.to_owned());
            family.set_field_type(match name.kind {
                Kind::Counter => proto::MetricType::COUNTER,
                Kind::Gauge => proto::MetricType::GAUGE,
                Kind::Histogram => proto::MetricType::HISTOGRAM,
            });
            family.set_metric(metrics);
            family
        };
        self.0.into_values().map(family).collect()
    }
}

/// The exposition format knows only floating point; past 2^53 a count loses its last digits.
#[allow(clippy::cast_precision_loss)]
fn to_f64(value: u64) -> f64 {
    value as f64
}
