//! Durations in buckets.

use std::time::Duration;

use super::counter::Counter;

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// Upper bounds, each included in its bucket. From a server on the same machine (100 µs) to a response timeout
/// (60 s), two or three a decade: enough for a quantile, few enough for a series per backend and worker.
const BOUNDS: [Duration; 17] = [
    us(100),
    us(250),
    us(500),
    us(1_000),
    us(2_500),
    us(5_000),
    us(10_000),
    us(25_000),
    us(50_000),
    us(100_000),
    us(250_000),
    us(500_000),
    us(1_000_000),
    us(2_500_000),
    us(5_000_000),
    us(15_000_000),
    us(60_000_000),
];

/// How often things took how long: one worker's part of a histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what took longer. Not cumulative: an observation is one increment.
    buckets: [Counter; BOUNDS.len() + 1],
    /// In microseconds, rounded: in nanoseconds, ten thousand long-polling clients would overflow it in weeks.
    sum: Counter,
}

impl Histogram {
    /// Counts something that took `duration`.
    pub fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[bucket].increment();
        let micros = duration.saturating_add(Duration::from_nanos(500)).as_micros();
        self.sum.add(u64::try_from(micros).unwrap_or(u64::MAX));
    }
}

/// The sum of several histograms at one moment, as the exposition format wants it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HistogramTotals {
    buckets: [u64; BOUNDS.len() + 1],
    sum_micros: u64,
}

impl HistogramTotals {
    pub(super) fn of<'a>(shards: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut totals = Self::default();
        for shard in shards {
            for (total, bucket) in totals.buckets.iter_mut().zip(&shard.buckets) {
                *total += bucket.get();
            }
            totals.sum_micros = totals.sum_micros.wrapping_add(shard.sum.get());
        }
        totals
    }

    /// Upper bound in seconds and cumulative count of each bucket but the infinite one.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.iter().zip(&self.buckets).scan(0, |below, (bound, count)| {
            *below += count;
            Some((bound.as_secs_f64(), *below))
        })
    }

    /// All observations, which is the infinite bucket: they agree because the one is made of the other.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn sum(&self) -> Duration {
        us(self.sum_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let ns = Duration::from_nanos;
        let cases = [
            (ns(0), 0),
            (us(100) - ns(1), 0),
            (us(100), 0),
            (us(100) + ns(1), 1),
            (Duration::from_secs(60), 16),
            (Duration::from_secs(60) + ns(1), 17),
            (Duration::MAX, 17),
        ];
        for (duration, bucket) in cases {
            let histogram = Histogram::default();
            histogram.observe(duration);
            let filled = histogram.buckets.iter().position(|bucket| bucket.get() == 1);
            assert_eq!(filled, Some(bucket), "{duration:?}");
        }
    }

    #[test]
    fn totals_are_cumulative_over_shards() {
        let shards = [Histogram::default(), Histogram::default()];
        shards[0].observe(us(50));
        shards[1].observe(us(200));
        shards[1].observe(Duration::from_secs(61));
        let totals = HistogramTotals::of(shards.iter());
        let counts: Vec<u64> = totals.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts[..3], [1, 2, 2]);
        assert_eq!((counts[16], totals.count()), (2, 3));
        assert_eq!(totals.sum(), us(61_000_250));
    }

    #[test]
    fn the_sum_rounds_to_microseconds() {
        let histogram = Histogram::default();
        for nanos in [400, 600] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        assert_eq!(HistogramTotals::of([&histogram].into_iter()).sum(), us(1));
    }
}
