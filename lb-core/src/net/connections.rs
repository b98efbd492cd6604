//! The register of a listener's open connections, for draining.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use tokio::sync::Notify;

/// The open connections of one frontend on one worker.
///
/// A connection registers once, when it is accepted; the request path only reads the flag. Draining sets the flag
/// and wakes every connection, so that an idle one sees it and closes, without any of them waiting on a shared
/// queue.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    draining: AtomicBool,
    aborted: AtomicBool,
    open: Mutex<Open>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    /// Invariant: `free` holds the indices of the empty slots, each once.
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Open {
    fn count(&self) -> usize {
        self.wakers.len() - self.free.len()
    }
}

impl Connections {
    /// Registers a connection by its task's waker, which a task keeps for its whole life.
    fn register(self: &Arc<Self>, waker: Waker) -> Registration {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = open.free.pop().unwrap_or_else(|| {
            open.wakers.push(None);
            open.wakers.len() - 1
        });
        open.wakers[slot] = Some(waker);
        Registration { connections: Arc::clone(self), slot }
    }

    /// What a connection does at each poll: registers at its first, by the waker that its task keeps, and learns
    /// whether it is to end at once.
    pub(crate) fn is_over(self: &Arc<Self>, place: &mut Option<Registration>, cx: &Context<'_>) -> bool {
        place.get_or_insert_with(|| self.register(cx.waker().clone()));
        // Nothing else is published by it.
        self.aborted.load(Ordering::Relaxed)
    }

    /// Whether connections should close as soon as they are between requests.
    pub(crate) fn is_draining(&self) -> bool {
        // Pairs with the release in `drain`: who sees the flag sees the snapshot that set it.
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// Asks every connection to end after what it is doing.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Ends every connection: the time for draining has run out.
    pub(crate) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
        self.drain();
    }

    fn wake_all(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.wakers.iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Waits until no connection is open. Only meaningful once nothing is accepted any more.
    pub(crate) async fn closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A connection's place in the register, given back on drop.
#[derive(Debug)]
pub(crate) struct Registration {
    connections: Arc<Connections>,
    slot: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.wakers[self.slot] = None;
        open.free.push(self.slot);
        if open.count() == 0 {
            open.wakers.clear();
            open.free.clear();
            drop(open);
            self.connections.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn draining_wakes_each_open_connection_and_waits_for_the_last() {
        let connections = Arc::new(Connections::default());
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let first = connections.register(Arc::clone(&woken).into());
        let second = connections.register(Arc::clone(&woken).into());
        drop(first);
        let third = connections.register(Arc::clone(&woken).into());
        assert_eq!((connections.count(), connections.is_draining()), (2, false));
        connections.drain();
        assert_eq!((woken.0.load(Ordering::Relaxed), connections.is_draining()), (2, true));
        let closed = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move { connections.closed().await }
        });
        drop(second);
        drop(third);
        closed.await.unwrap();
        assert_eq!(connections.count(), 0);
    }
}
