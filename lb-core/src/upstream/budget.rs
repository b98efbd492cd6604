//! How many retries a backend may be asked for.
//!
//! When every server fails, retries multiply the load by their limit exactly when it hurts most. So retries are held
//! to a share of the requests of the last 10 to 20 seconds, with a floor that lets small loads retry. Each worker
//! holds its own requests to the share, so that together they keep it, and shares nothing with the others; only the
//! floor is each worker's. Left out: replacing a pooled connection that its server closed, which is no load on a
//! server that had to accept the request anyway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Retries that are always allowed, in each worker's window: three a second.
const FLOOR: u64 = 30;
/// A window ends at the tenth sweep, which comes each second.
const SWEEPS: u32 = 10;

/// One worker's retries of one backend.
#[derive(Debug, Default)]
pub(super) struct Budget {
    requests: AtomicU64,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    retries: u64,
    /// Where the window before this one began, from which everything is counted.
    before: Mark,
    /// Where this window began.
    began: Mark,
    sweeps: u32,
}

/// The counts at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// Counts a request.
    pub(super) fn request(&self) {
        // Counter only.
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one retry out of the budget, which is `share` of the requests; false when it is spent.
    pub(super) fn retry(&self, share: f64) -> bool {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.requests.load(Ordering::Relaxed) - ledger.before.requests;
        let retries = ledger.retries - ledger.before.retries;
        // Both are far below 2^53, where a float would begin to skip whole numbers.
        let is_left = retries < FLOOR || ((retries - FLOOR) as f64) < requests as f64 * share;
        ledger.retries += u64::from(is_left);
        is_left
    }

    /// A second has passed.
    pub(super) fn sweep(&self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.sweeps += 1;
        if ledger.sweeps >= SWEEPS {
            let now = Mark { requests: self.requests.load(Ordering::Relaxed), retries: ledger.retries };
            *ledger = Ledger { retries: ledger.retries, before: ledger.began, began: now, sweeps: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(budget: &Budget, share: f64) -> u64 {
        (0..).take_while(|_| budget.retry(share)).count() as u64
    }

    #[test]
    fn a_share_of_the_requests_and_a_floor() {
        for (requests, share, expected) in [
            (0, 0.2, FLOOR),
            (100, 0.2, FLOOR + 20),
            (101, 0.2, FLOOR + 21),
            (100, 0.0, FLOOR),
            (7, 1.0, FLOOR + 7),
        ] {
            let budget = Budget::default();
            (0..requests).for_each(|_| budget.request());
            assert_eq!(spend(&budget, share), expected, "{share} of {requests}");
            assert!(!budget.retry(share));
        }
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let budget = Budget::default();
        (0..1000).for_each(|_| budget.request());
        assert_eq!(spend(&budget, 0.2), FLOOR + 200);
        (0..SWEEPS).for_each(|_| budget.sweep());
        assert!(!budget.retry(0.2), "the window before still counts");
        (0..SWEEPS).for_each(|_| budget.sweep());
        assert_eq!(spend(&budget, 0.2), FLOOR);
        (0..2 * SWEEPS).for_each(|_| budget.sweep());
        assert_eq!(spend(&budget, 0.2), FLOOR, "nothing is saved up");
    }
}
