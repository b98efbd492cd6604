//! When a server is probed: at a place of its own in the interval, which it keeps, so that the probes of many servers
//! don't march in step. Points in time in, points in time out; no clock.

use std::time::Duration;

use tokio::time::Instant;

/// Where in the interval the next server of a backend is probed, from 0 to 1.
#[derive(Debug)]
pub(super) struct Phases(f64);

/// One server's probes.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    first: Instant,
    /// When its place in the interval comes next.
    slot: Instant,
}

/// What n steps of this size make is as even as it can be for every n: nobody has to know how many will come.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

impl Phases {
    /// Begins anywhere, so that backends and proxies don't agree.
    pub(super) fn new() -> Self {
        Self(fastrand::f64())
    }

    pub(super) fn next(&mut self) -> f64 {
        self.0 = (self.0 + GOLDEN_RATIO).fract();
        self.0
    }
}

impl Pace {
    /// From `now` on, at `place` in each `interval`; for once, within `soon`.
    pub(super) fn new(now: Instant, place: f64, interval: Duration, soon: Duration) -> Self {
        let first = now + soon.min(interval).mul_f64(place);
        Self { interval, first, slot: now + interval.mul_f64(place) }
    }

    /// When the first probe is due.
    pub(super) fn first(&self) -> Instant {
        self.first
    }

    /// When the next one is due after one that began at `start`: at its place, unless that is hardly over.
    pub(super) fn after(&mut self, start: Instant) -> Instant {
        let behind = (start + self.interval / 2).saturating_duration_since(self.slot);
        let rounds = behind.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        self.slot += self.interval.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        self.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn places_are_even_however_many_there_are() {
        let mut phases = Phases::new();
        for count in [2, 3, 10, 100, 2000] {
            let mut taken: Vec<f64> = (0..count).map(|_| phases.next()).collect();
            taken.sort_unstable_by(f64::total_cmp);
            let around = [taken[0] + 1.0];
            let next = taken.iter().skip(1).chain(&around);
            let widest = taken.iter().zip(next).map(|(here, next)| next - here).fold(0.0, f64::max);
            assert!(widest * f64::from(count) < 3.0, "{count}: {widest}");
        }
    }

    #[tokio::test]
    async fn a_server_keeps_its_place() {
        let now = Instant::now();
        for place in [0.0, 0.1, 0.5, 0.9] {
            let mut pace = Pace::new(now, place, INTERVAL, INTERVAL / 10);
            let first = pace.first();
            assert_eq!(first - now, (INTERVAL / 10).mul_f64(place));
            let second = pace.after(first);
            assert!(second - first >= INTERVAL / 2 && second - first <= INTERVAL * 3 / 2);
            // A little late, or as late as a timeout makes it.
            let third = pace.after(second + INTERVAL / 10);
            assert_eq!(third - second, INTERVAL);
            let later = pace.after(third + INTERVAL * 7 / 2);
            assert_eq!(later - third, INTERVAL * 4);
        }
    }
}
