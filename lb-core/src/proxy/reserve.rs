//! Descriptors that clients don't get: a client whose server can't be reached for want of one is better not accepted.

use std::time::Duration;

use crate::net::Stream;
use crate::sys;

/// How long accepting rests when descriptors or memory have run out: something has to close first.
pub(super) const REST: Duration = Duration::from_millis(50);

/// The share that is left to connections to servers and to pipes.
const SHARE: u64 = 4;

/// From which number on descriptors are no client's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    first: u64,
}

impl Reserve {
    /// A quarter of the limit on open files, or nothing where a bound on connections was chosen, which knows better.
    pub(crate) fn new(max_connections: usize) -> Self {
        let limit = if max_connections == 0 { sys::open_files_limit() } else { None };
        Self { first: limit.map_or(u64::MAX, |limit| limit - limit / SHARE) }
    }

    /// Holds an accepted client back while fewer descriptors are free; `on_wait` is told once.
    ///
    /// The kernel gives out the least number that is free, so the client's own says how many are taken: no count has to
    /// be kept, and no system call be made, where there are enough.
    pub(crate) async fn spare(self, client: &Stream, on_wait: impl FnOnce()) {
        let Some(socket) = client.socket() else { return };
        if sys::number(socket) < self.first {
            return;
        }
        on_wait();
        tracing::warn!(
            "file descriptors run short, clients wait; raise the limit on open files, or set max_connections"
        );
        while sys::next_number(socket).is_none_or(|next| next >= self.first) {
            tokio::time::sleep(REST).await;
        }
    }
}
