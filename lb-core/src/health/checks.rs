//! What the checkers of all backends share: how many probes run at a time, and how many servers there are to probe.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Holds the checkers of many backends to what one proxy may ask of its machine and of its servers. Cheap to clone;
/// clones are the same.
#[derive(Clone, Debug)]
pub struct Checks {
    probing: Arc<Semaphore>,
    servers: Arc<AtomicU32>,
    /// When it was last said that this machine can't probe.
    warned: Arc<Mutex<Option<Instant>>>,
}

/// Between two lines that say so, whichever the server: what one lacks, all lack.
const QUIET: Duration = Duration::from_secs(10);

/// Each probe takes a descriptor, and so many servers may be silent for their timeout before others wait.
const MOST_PROBES: usize = 256;

/// New servers get their first probe spread over this, for the proxy isn't ready before.
const FIRST_PROBES: Duration = Duration::from_millis(200);
/// Where there are many, over so much for each.
const FIRST_PROBE: Duration = Duration::from_millis(10);

impl Checks {
    /// A turn to probe, given out in the order in which they are asked for; it ends when it is dropped.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.probing.acquire().await.ok()
    }

    /// How long the first probes of new servers are spread over.
    pub(super) fn spread(&self) -> Duration {
        // Counter only, here and below.
        FIRST_PROBE.saturating_mul(self.servers.load(Ordering::Relaxed)).max(FIRST_PROBES)
    }

    /// Whether it is time to say that this machine can't probe.
    pub(super) fn may_warn(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let may = warned.is_none_or(|at| now.duration_since(at) >= QUIET);
        if may {
            *warned = Some(now);
        }
        may
    }

    /// The part of one backend, with no servers yet.
    pub(super) fn share(&self) -> Share {
        Share { servers: Arc::clone(&self.servers), own: 0 }
    }
}

impl Default for Checks {
    fn default() -> Self {
        let probing = Arc::new(Semaphore::new(MOST_PROBES));
        Self { probing, servers: Arc::default(), warned: Arc::default() }
    }
}

/// How many of the servers are of one backend.
#[derive(Debug)]
pub(super) struct Share {
    servers: Arc<AtomicU32>,
    own: u32,
}

impl Share {
    pub(super) fn set(&mut self, servers: usize) {
        let own = u32::try_from(servers).unwrap_or(u32::MAX);
        self.servers.fetch_add(own, Ordering::Relaxed);
        self.servers.fetch_sub(std::mem::replace(&mut self.own, own), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_this_machine_lacks_is_said_now_and_then() {
        let (checks, now) = (Checks::default(), Instant::now());
        let seconds = [0, 1, 9, 10, 11, 20];
        let said = seconds.map(|seconds| checks.clone().may_warn(now + Duration::from_secs(seconds)));
        assert_eq!(said, [true, false, false, true, false, true]);
    }

    #[test]
    fn first_probes_come_soon_where_there_are_few() {
        let checks = Checks::default();
        let (mut few, mut many) = (checks.share(), checks.share());
        few.set(20);
        assert_eq!(checks.spread(), Duration::from_millis(200));
        many.set(2000);
        few.set(1);
        assert_eq!(checks.spread(), Duration::from_millis(20_010));
        drop((few, many));
        assert_eq!(checks.spread(), Duration::from_millis(200));
    }
}
