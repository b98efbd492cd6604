//! When to look a name up again.

use std::time::Duration;

/// A name is looked up again after as long at the latest.
pub(super) const LATEST: Duration = Duration::from_secs(5);

/// After an answer: when its TTL ends, but at least every 5 s, since Docker's resolver says 600 s for addresses that
/// change at any time, and not more often than each second. Jittered by a fifth, so that the names of a
/// configuration don't march in step; `chance` is from 0 to 1.
pub(super) fn after_answer(ttl: Duration, chance: f64) -> Duration {
    let earliest = ttl.mul_f64(0.8).clamp(Duration::from_secs(1), Duration::from_secs(4));
    let latest = ttl.clamp(Duration::from_millis(1250), LATEST);
    earliest + (latest - earliest).mul_f64(chance)
}

/// After so many failures in a row, at least one: soon at first, for a container may be about to start.
pub(super) fn after_failure(failures: u32, chance: f64) -> Duration {
    after_answer(Duration::from_secs(1 << failures.saturating_sub(1).min(3)), chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pace: impl Fn(f64) -> Duration) -> (u128, u128) {
        (pace(0.0).as_millis(), pace(1.0).as_millis())
    }

    #[test]
    fn the_ttl_rules_between_one_and_five_seconds() {
        let cases = [
            (0, (1000, 1250)),
            (1, (1000, 1250)),
            (2, (1600, 2000)),
            (3, (2400, 3000)),
            (5, (4000, 5000)),
            (600, (4000, 5000)),
        ];
        for (ttl, expected) in cases {
            assert_eq!(
                millis(|chance| after_answer(Duration::from_secs(ttl), chance)),
                expected,
                "ttl {ttl}"
            );
        }
    }

    #[test]
    fn failures_are_retried_soon_then_slower() {
        let cases = [
            (1, (1000, 1250)),
            (2, (1600, 2000)),
            (3, (3200, 4000)),
            (4, (4000, 5000)),
            (u32::MAX, (4000, 5000)),
        ];
        for (failures, expected) in cases {
            assert_eq!(millis(|chance| after_failure(failures, chance)), expected, "{failures}");
        }
    }
}
