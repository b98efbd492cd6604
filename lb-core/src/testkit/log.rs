//! An access log that remembers.

use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;
use crate::access_log::{AccessEntry, AccessLog};

/// What was recorded, in order. A clone is the same log.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<Vec<Entry>>,
    recorded: Condvar,
}

/// An [`AccessEntry`] that owns what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The frontend's name.
    pub frontend: String,
    /// The backend's, if one was chosen.
    pub backend: Option<String>,
    /// The server's, if one was tried.
    pub server: Option<String>,
    /// The request's method and target, if its head could be read.
    pub request: Option<String>,
    /// The status the client got.
    pub status: Option<u16>,
    /// What went wrong.
    pub reason: Option<&'static str>,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
    /// How often it was tried again.
    pub retries: u32,
}

impl Log {
    /// Waits until at least `count` entries are there and returns all.
    ///
    /// # Panics
    /// When they don't come.
    pub fn wait_for(&self, count: usize) -> Vec<Entry> {
        let entries = self.0.entries.lock().unwrap();
        let (entries, waited) =
            self.0.recorded.wait_timeout_while(entries, PATIENCE, |entries| entries.len() < count).unwrap();
        assert!(!waited.timed_out(), "{count} entries, not {entries:?}");
        entries.clone()
    }

    /// Waits for the first entry and returns it, which must be the only one.
    ///
    /// # Panics
    /// When none comes, or there are more.
    pub fn only(&self) -> Entry {
        let mut entries = self.wait_for(1);
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.swap_remove(0)
    }
}

impl AccessLog for Log {
    fn record(&self, entry: &AccessEntry<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.entries.lock().unwrap().push(Entry {
            frontend: entry.frontend.to_owned(),
            backend: entry.backend.map(str::to_owned),
            server: entry.server.map(str::to_owned),
            request: entry
                .request
                .map(|request| format!("{} {}", text(request.method), text(request.target))),
            status: entry.status,
            reason: entry.reason.map(|reason| reason.as_str()),
            received_bytes: entry.received_bytes,
            sent_bytes: entry.sent_bytes,
            retries: entry.retries,
        });
        self.0.recorded.notify_all();
    }
}
