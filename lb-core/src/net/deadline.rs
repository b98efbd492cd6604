//! One timer for a connection's whole life.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// A point in time that moves with what the connection waits for.
///
/// A request moves it several times, nearly always to a later time, so the timer behind it stays where it is and
/// looks at the deadline when it fires: an exchange costs no timer operation in steady state, and a wait of 60 s
/// behind one of 5 s costs twelve early wake-ups at most.
///
/// It belongs to one task for its whole life, by whose waker the timer wakes: until it fires it need not be polled
/// again. It fires for a task that has used up its budget, too: a peer that never pauses is not to outlive it.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    /// Invariant: polled since it was set.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, timer: None }
    }

    pub(crate) fn set(&mut self, at: Instant) {
        self.at = at;
    }

    /// Moves the deadline, but never to a later time.
    pub(crate) fn advance(&mut self, at: Instant) {
        self.at = self.at.min(at);
    }

    /// Ready when the deadline has passed; otherwise the task wakes when it does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.as_ref().is_some_and(|timer| timer.deadline() <= self.at && !timer.is_elapsed()) {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.at)));
        if timer.deadline() > self.at {
            timer.as_mut().reset(self.at);
        }
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::ready;
    use std::time::Duration;

    use tokio::task::coop;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_later_fires_at_the_later_time() {
        let start = Instant::now();
        let mut deadline = Deadline::at(start + Duration::from_secs(1));
        let first = poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await;
        assert!(first.is_pending());
        deadline.set(start + Duration::from_secs(5));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_earlier_fires_at_the_earlier_time() {
        let start = Instant::now();
        let mut deadline = Deadline::at(start + Duration::from_secs(60));
        let first = poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await;
        assert!(first.is_pending());
        deadline.set(start + Duration::from_secs(2));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_fires_for_a_task_that_is_busy() {
        let mut deadline = Deadline::at(Instant::now());
        tokio::time::advance(Duration::from_millis(2)).await;
        let fired = poll_fn(|cx| {
            while coop::has_budget_remaining() {
                ready!(coop::poll_proceed(cx)).made_progress();
            }
            Poll::Ready(deadline.poll(cx))
        });
        assert!(fired.await.is_ready());
    }
}
