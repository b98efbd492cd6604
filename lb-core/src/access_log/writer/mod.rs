//! Lines to a writer, without a worker ever waiting for it.
//!
//! Each worker renders its lines into a buffer of its own; a thread takes the full buffers and leaves empty ones,
//! so that a line costs its rendering and a lock that nobody else wants, and in steady state no allocation and no
//! system call. (A channel of lines costs a hand-over for each; this costs one for as many as gather.) The buffers
//! are bounded: when what reads the log is slower than the traffic, lines are dropped and counted.
//!
//! Order: a worker's lines stay in theirs; lines of different workers come in the order of their batches, some
//! milliseconds apart.
//!
//! What a line meets is in [`shared`], what writes it in [`writing`].

mod shared;
#[cfg(test)]
mod tests;
mod writing;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use self::shared::{Shared, locked};
use self::writing::Writer;
use super::{AccessEntry, AccessLog, Format};

/// How long flushing waits for a reader that has stalled.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// An access log that a thread of its own writes.
///
/// The thread starts with the first entry and ends when the log is dropped, after it has written what was
/// recorded; dropping waits for that, two seconds at most. A writer that fails (a closed pipe, a full disk) costs
/// the lines it would have written and nothing else: they are counted as lost, and the next are tried again.
///
/// ```
/// use lb_core::access_log::{AccessEntry, AccessLog, Format, WriterLog};
///
/// let log = WriterLog::new(Format::Common, std::io::stdout());
/// log.record(&AccessEntry { frontend: "web", ..AccessEntry::default() });
/// ```
pub struct WriterLog {
    shared: Arc<Shared>,
    /// Where lines go, until the thread takes it.
    sink: Mutex<Option<Box<dyn Write + Send>>>,
    /// The thread, once it was needed; none if the system refused one.
    thread: OnceLock<Option<Thread>>,
}

impl WriterLog {
    /// A log that writes lines of `format` to `sink`, which needs no buffer of its own: it is given many lines at
    /// once.
    pub fn new(format: Format, sink: impl Write + Send + 'static) -> Self {
        Self {
            shared: Arc::new(Shared::new(format)),
            sink: Mutex::new(Some(Box::new(sink))),
            thread: OnceLock::new(),
        }
    }

    /// A log that writes lines of `format` to standard output.
    pub fn stdout(format: Format) -> Self {
        Self::new(format, io::stdout())
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.get_or_init(|| self.start()).as_ref()
    }

    fn start(&self) -> Option<Thread> {
        let mut writer = Writer::new(Arc::clone(&self.shared), locked(&self.sink).take()?);
        match thread::Builder::new().name("lb-access-log".to_owned()).spawn(move || writer.run()) {
            Ok(handle) => Some(handle.thread().clone()),
            Err(error) => {
                tracing::error!(%error, "the access log has no thread to write it; all its lines are lost");
                None
            }
        }
    }

    fn flush_within(&self, patience: Duration) {
        // Nothing was recorded if there is no thread.
        let Some(Some(thread)) = self.thread.get() else { return };
        if !self.shared.flush(thread, patience) {
            tracing::warn!("the access log's reader has stalled; its last lines may be lost");
        }
    }
}

impl AccessLog for WriterLog {
    fn record(&self, entry: &AccessEntry<'_>) {
        let Some(thread) = self.thread() else { return self.shared.lose(1) };
        let is_filling = self.shared.append(entry);
        if is_filling || self.shared.wake() {
            thread.unpark();
        }
    }

    fn flush(&self) {
        self.flush_within(FLUSH_PATIENCE);
    }

    fn lost(&self) -> u64 {
        self.shared.lost()
    }
}

impl Drop for WriterLog {
    fn drop(&mut self) {
        self.shared.close();
        self.flush();
    }
}

impl fmt::Debug for WriterLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterLog")
            .field("format", &self.shared.format())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
