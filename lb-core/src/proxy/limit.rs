//! `max_connections`: how many connections may be open at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::Semaphore;

/// A bound on open connections that a reload can change while they are open.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    free: Semaphore,
    /// 0: no bound.
    max: AtomicUsize,
    /// Slots that a lowered bound took away while they were in use: they go when their connections do.
    owed: Mutex<usize>,
}

/// Leave to be open under each limit, given back on drop. Takes no memory where nothing is bounded.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    _slots: Option<Box<[Slot]>>,
}

#[derive(Debug)]
struct Slot(Arc<ConnectionLimit>);

/// A connection with its permits.
#[derive(Debug)]
pub(crate) struct Held<F> {
    connection: F,
    _permits: Permits,
}

impl ConnectionLimit {
    /// At most `max` connections; 0: no bound.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { free: Semaphore::new(slots(max)), max: max.into(), owed: Mutex::default() })
    }

    /// Changes the bound. Connections above a lower one stay; no new one is taken until they are below it.
    pub(crate) fn set(&self, max: usize) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        // Counter only: the semaphore orders everything else, and `owed`'s lock the writers.
        let before = self.max.swap(max, Ordering::Relaxed);
        let (before, wanted) = (slots(before), slots(max));
        if wanted >= before {
            let settled = (wanted - before).min(*owed);
            *owed -= settled;
            self.free.add_permits(wanted - before - settled);
        } else {
            *owed += before - wanted - self.free.forget_permits(before - wanted);
        }
    }

    async fn take(self: &Arc<Self>) -> Option<Slot> {
        if self.max.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // The semaphore is never closed.
        self.free.acquire().await.ok()?.forget();
        Some(Slot(Arc::clone(self)))
    }
}

/// What stands for "no bound": more than there can be descriptors, far below the semaphore's own maximum.
fn slots(max: usize) -> usize {
    const ALL: usize = 1 << 28;
    if max == 0 { ALL } else { max.min(ALL) }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut owed = self.0.owed.lock().unwrap_or_else(PoisonError::into_inner);
        match owed.checked_sub(1) {
            Some(rest) => *owed = rest,
            None => self.0.free.add_permits(1),
        }
    }
}

impl Permits {
    /// Waits for leave under each of `limits`.
    pub(crate) async fn acquire(limits: &[Arc<ConnectionLimit>]) -> Self {
        let mut slots = Vec::new();
        for limit in limits {
            slots.extend(limit.take().await);
        }
        Self { _slots: (!slots.is_empty()).then(|| slots.into_boxed_slice()) }
    }

    /// Keeps them for as long as the connection lives.
    pub(crate) fn hold<F>(self, connection: F) -> Held<F> {
        Held { connection, _permits: self }
    }
}

impl<F: Future<Output = ()> + Unpin> Future for Held<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.connection).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    fn try_acquire(limit: &Arc<ConnectionLimit>) -> Option<Permits> {
        let limits = [Arc::clone(limit)];
        let acquired = pin!(Permits::acquire(&limits));
        match acquired.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permits) => Some(permits),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_limit_holds_at_its_edge_and_follows_a_reload() {
        let limit = ConnectionLimit::new(2);
        let (first, second) = (try_acquire(&limit), try_acquire(&limit));
        assert!(first.is_some() && second.is_some());
        assert!(try_acquire(&limit).is_none());
        limit.set(3);
        let third = try_acquire(&limit);
        assert!(third.is_some() && try_acquire(&limit).is_none());
        limit.set(1);
        drop((first, second));
        assert!(try_acquire(&limit).is_none(), "one is still open");
        drop(third);
        let fourth = try_acquire(&limit);
        assert!(fourth.is_some() && try_acquire(&limit).is_none());
        limit.set(0);
        assert!(try_acquire(&limit).is_some());
    }
}
