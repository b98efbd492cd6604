//! Diagnostics on standard error.
//!
//! A thread of its own writes them: who reads standard error may stall (a full pipe, a slow log driver), and no
//! worker waits for it. Lines that find the queue full are dropped and counted in the next line that fits.

mod line;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use lb_core::config::{LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

use self::line::Fields;
pub(crate) use self::line::Line;

/// The log of this process.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    filter: reload::Handle<Targets, Registry>,
    format: Format,
    stderr: Stderr,
}

/// Lines that wait to be written.
const QUEUE: usize = 1024;
/// How long the end of the process waits for a reader that has stalled.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

impl Log {
    /// Starts logging for the whole process; call it once.
    pub(crate) fn start(level: LogLevel, format: LogFormat) -> io::Result<Self> {
        let current = Format::default();
        current.set(format);
        let stderr = Stderr::start(current.clone())?;
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines = Lines { format: current.clone(), stderr: stderr.clone() };
        let subscriber = Registry::default().with(filter).with(lines);
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        Ok(Self { filter: handle, format: current, stderr })
    }

    /// Shows `level` and what is worse from now on, in this form.
    pub(crate) fn set(&self, level: LogLevel, format: LogFormat) {
        self.format.set(format);
        // Fails only when there is no subscriber any more, and then there is nothing to show.
        let _ = self.filter.reload(targets(level));
    }

    pub(crate) fn format(&self) -> LogFormat {
        self.format.get()
    }

    /// Writes lines as they are, after those that came before.
    pub(crate) fn print(&self, lines: impl Into<Vec<u8>>) {
        self.stderr.send(lines.into());
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

/// The form of lines; a reload may change it.
#[derive(Clone, Debug, Default)]
struct Format {
    is_json: Arc<AtomicBool>,
}

impl Format {
    fn get(&self) -> LogFormat {
        // A flag of its own: nothing else is published by it.
        if self.is_json.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Logfmt }
    }

    fn set(&self, format: LogFormat) {
        self.is_json.store(format == LogFormat::Json, Ordering::Relaxed);
    }
}

/// Makes a line of each event.
struct Lines {
    format: Format,
    stderr: Stderr,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.stderr.send(fields.line(self.format.get(), *event.metadata().level()).end());
    }
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
    fn start(format: Format) -> io::Result<Self> {
        let (queue, items) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = thread::Builder::new().name("lb-log".to_owned());
        let lost_to_tell = Arc::clone(&lost);
        writer.spawn(move || write(&items, &lost_to_tell, &format))?;
        Ok(Self { queue, lost })
    }

    fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Lines(lines)) {
            // Counter only.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(items: &Receiver<Item>, lost: &AtomicU64, format: &Format) {
    for item in items {
        // A closed standard error is no reason to stop serving.
        match item {
            Item::Lines(lines) => drop(io::stderr().write_all(&lines)),
            Item::Flush(done) => drop(done.try_send(())),
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let message = "lines were dropped here: standard error was not read";
            let line = Line::new(format.get(), Level::WARN, message).plain("lines", lost);
            let _ = io::stderr().write_all(&line.end());
        }
    }
}
