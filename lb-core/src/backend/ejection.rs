//! Passive ejection: a server whose connects fail is left out for a while, then tried with one exchange.
//!
//! [`Failures`] is what workers touch: one relaxed load for a success without earlier failures. [`Ejection`] is
//! what the roster keeps under its lock. Neither reads a clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Passive;

/// Connects that failed in a row, and a hint whether the roster wants to hear of the next result.
///
/// Invariant: the hint is changed under the roster's lock only, and a count that carries it is lowered under
/// that lock only. So an ejected server's first success can't be missed.
#[derive(Debug, Default)]
pub(super) struct Failures(AtomicU32);

impl Failures {
    const WATCHED: u32 = 1 << 31;

    /// Counts a success; `true`: the roster needn't know.
    pub(super) fn succeeded(&self) -> bool {
        // Counter only, here and below: what the roster decides it decides under its lock.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen == 0 {
                return true;
            }
            if seen & Self::WATCHED != 0 {
                return false;
            }
            match self.0.compare_exchange_weak(seen, 0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Counts a failure; `true`: the roster should know, for `threshold` is reached or it is watching.
    pub(super) fn failed(&self, threshold: u32) -> bool {
        let more = |seen: u32| (seen & !Self::WATCHED < !Self::WATCHED).then(|| seen + 1);
        let before = match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(before) | Err(before) => before,
        };
        before & Self::WATCHED != 0 || before.saturating_add(1) >= threshold
    }

    /// Asks to hear of the next success. Under the roster's lock.
    pub(super) fn watch(&self) {
        self.0.fetch_or(Self::WATCHED, Ordering::Relaxed);
    }

    /// Forgets failures and watching. Under the roster's lock.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed) & !Self::WATCHED
    }
}

/// A server left out, or back for its trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ejection {
    pub(super) until: Instant,
    /// The time is over: one exchange at a time may try it, until one succeeds.
    pub(super) is_trial: bool,
    /// Ejections in a row before this one.
    earlier: u32,
}

impl Ejection {
    pub(super) fn first(passive: Passive, now: Instant) -> Self {
        Self { until: now + passive.eject.min(passive.max_eject), is_trial: false, earlier: 0 }
    }

    /// After a trial that failed.
    pub(super) fn again(self, passive: Passive, now: Instant) -> Self {
        let earlier = self.earlier.saturating_add(1);
        Self { until: now + doubled(passive, earlier), is_trial: false, earlier }
    }

    /// Begins the trial when the time is over; whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let ends = !self.is_trial && self.until <= now;
        self.is_trial |= ends;
        ends
    }
}

fn doubled(passive: Passive, times: u32) -> Duration {
    let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
    passive.eject.saturating_mul(factor).min(passive.max_eject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_reach_the_roster_at_the_threshold_and_not_before() {
        let failures = Failures::default();
        assert_eq!([1, 2, 3, 4].map(|_| failures.failed(3)), [false, false, true, true]);
        assert!(failures.succeeded(), "not watched: a success is nobody's business");
        assert_eq!(failures.count(), 0);
        assert!(!failures.failed(3));
    }

    #[test]
    fn a_watched_server_reports_everything_until_cleared() {
        let failures = Failures::default();
        failures.failed(9);
        failures.watch();
        assert_eq!(failures.count(), 1);
        assert!(!failures.succeeded());
        assert_eq!(failures.count(), 1, "only the roster may lower it");
        assert!(failures.failed(9));
        failures.clear();
        assert!(failures.succeeded());
        assert!(!failures.failed(9));
    }

    #[test]
    fn the_count_stops_below_the_hint() {
        let failures = Failures(AtomicU32::new(!Failures::WATCHED));
        assert!(failures.failed(3));
        assert_eq!(failures.count(), !Failures::WATCHED);
        failures.watch();
        assert!(failures.failed(3));
        assert_eq!(failures.count(), !Failures::WATCHED);
        failures.clear();
        assert!(failures.succeeded());
    }

    #[test]
    fn each_failed_trial_doubles_the_time_up_to_the_most() {
        let passive = Passive::default();
        let start = Instant::now();
        let mut ejection = Ejection::first(passive, start);
        let mut seconds = vec![(ejection.until - start).as_secs()];
        for _ in 0..40 {
            ejection = ejection.again(passive, start);
            seconds.push((ejection.until - start).as_secs());
        }
        assert_eq!(seconds[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds[40], 30, "no overflow");
    }

    #[test]
    fn a_trial_begins_once_at_the_end() {
        let start = Instant::now();
        let mut ejection = Ejection::first(Passive::default(), start);
        assert!(!ejection.expire(start + Duration::from_millis(999)));
        assert!(ejection.expire(start + Duration::from_secs(1)));
        assert!(ejection.is_trial);
        assert!(!ejection.expire(start + Duration::from_secs(2)), "it has begun already");
    }
}
