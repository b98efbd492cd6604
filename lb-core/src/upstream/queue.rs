//! Waiting for a server below its `max_connections`.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Those who wait for a slot of one backend, on all workers.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    freed: Notify,
}

impl Queue {
    /// Counts the caller as waiting until the guard is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        // Sequentially consistent with the load in `left`: either a leaver sees the waiter, or the waiter, who looks
        // for a slot after this, sees the slot that the leaver gave back before.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// Resolves when a slot was given back, for one of those who wait, in the order they came.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// A slot was given back.
    pub(crate) fn left(&self) {
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// Who may be chosen has changed.
    pub(crate) fn changed(&self) {
        self.freed.notify_waiters();
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
