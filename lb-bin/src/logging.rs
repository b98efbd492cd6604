//! Diagnostics on standard error.
//!
//! A thread of its own writes them: who reads standard error may stall (a full pipe, a slow log driver), and no
//! worker waits for it. Lines that find the queue full are dropped and counted in the next line that fits.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use lb_core::config::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

/// The log of this process.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    filter: reload::Handle<Targets, Registry>,
    stderr: Stderr,
}

/// Lines that wait to be written.
const QUEUE: usize = 1024;
/// How long the end of the process waits for a reader that has stalled.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

impl Log {
    /// Starts logging for the whole process; call it once.
    pub(crate) fn start(level: LogLevel) -> io::Result<Self> {
        let stderr = Stderr::start()?;
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines =
            fmt::layer().with_writer(stderr.clone()).with_ansi(io::stderr().is_terminal()).with_target(false);
        let subscriber = Registry::default().with(filter).with(lines);
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        Ok(Self { filter: handle, stderr })
    }

    /// Shows `level` and what is worse from now on.
    pub(crate) fn set_level(&self, level: LogLevel) {
        // Fails only when there is no subscriber any more, and then there is nothing to show.
        let _ = self.filter.reload(targets(level));
    }

    /// Writes text as it is, after the lines that came before.
    pub(crate) fn print(&self, text: String) {
        self.stderr.send(text.into_bytes());
    }

    /// Waits until everything is written, for a second at most.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(0);
        if self.stderr.queue.send(Item::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_PATIENCE);
        }
    }
}

/// Our own lines as asked; of libraries, only what is wrong, unless everything is wanted.
fn targets(level: LogLevel) -> Targets {
    let (ours, libraries) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new().with_default(libraries).with_target("lb", ours).with_target("lb_core", ours)
}

enum Item {
    Lines(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Standard error, written by a thread.
#[derive(Clone, Debug)]
struct Stderr {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Stderr {
    fn start() -> io::Result<Self> {
        let (queue, items) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = thread::Builder::new().name("lb-log".to_owned());
        let lost_to_tell = Arc::clone(&lost);
        writer.spawn(move || write(&items, &lost_to_tell))?;
        Ok(Self { queue, lost })
    }

    fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Lines(lines)) {
            // Counter only.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(items: &Receiver<Item>, lost: &AtomicU64) {
    for item in items {
        // A closed standard error is no reason to stop serving.
        match item {
            Item::Lines(lines) => drop(io::stderr().write_all(&lines)),
            Item::Flush(done) => drop(done.try_send(())),
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(io::stderr(), "{lost} lines were dropped here: standard error was not read");
        }
    }
}

/// One event on its way to the queue; the formatter writes each in one call.
impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
