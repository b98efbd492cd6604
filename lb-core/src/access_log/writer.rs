//! Lines to a writer, without a worker ever waiting for it.
//!
//! Each worker renders its lines into a buffer of its own; a thread takes the full buffers and leaves empty ones,
//! so that a line costs its rendering and a lock that nobody else wants, and in steady state no allocation and no
//! system call. (A channel of lines costs a hand-over for each; this costs one for as many as gather.) The buffers
//! are bounded: when what reads the log is slower than the traffic, lines are dropped and counted.
//!
//! Order: a worker's lines stay in theirs; lines of different workers come in the order of their batches, some
//! milliseconds apart.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_utils::CachePadded;

use super::stamp::Stamp;
use super::{AccessEntry, AccessLog, Format};
use crate::metrics::Counter;

/// What a worker's buffer holds at most before lines are lost: some 4,000 lines. When it is half full the thread is
/// woken early.
const BUFFER_BYTES: usize = 1 << 20;

/// What an emptied buffer keeps of its memory.
const KEPT_BYTES: usize = 64 << 10;

/// How long the thread lets lines gather after it wrote some: bounds how often it is woken and how late a line
/// is.
const GATHER: Duration = Duration::from_millis(20);

/// How long flushing waits for a reader that has stalled.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// How often at most the diagnostics say that lines are lost.
const WARN_EVERY: Duration = Duration::from_secs(10);

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
        let buffers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            shared: Arc::new(Shared {
                format,
                buffers: (0..buffers).map(|_| CachePadded::default()).collect(),
                is_asleep: AtomicBool::new(false),
                lost: Counter::default(),
                progress: Mutex::default(),
                written: Condvar::new(),
            }),
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
        let mut writer = Writer {
            shared: Arc::clone(&self.shared),
            sink: locked(&self.sink).take()?,
            batch: Vec::new(),
            failure: None,
            warned: None,
        };
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
        let mut progress = locked(&self.shared.progress);
        progress.wanted += 1;
        let wanted = progress.wanted;
        thread.unpark();
        let waited = self
            .shared
            .written
            .wait_timeout_while(progress, patience, |progress| !progress.is_over && progress.done < wanted);
        if waited.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            tracing::warn!("the access log's reader has stalled; its last lines may be lost");
        }
    }
}

impl AccessLog for WriterLog {
    fn record(&self, entry: &AccessEntry<'_>) {
        let Some(thread) = self.thread() else { return self.shared.lost.increment() };
        let is_filling = self.shared.append(entry);
        if is_filling || self.shared.wake() {
            thread.unpark();
        }
    }

    fn flush(&self) {
        self.flush_within(FLUSH_PATIENCE);
    }

    fn lost(&self) -> u64 {
        self.shared.lost.get()
    }
}

impl Drop for WriterLog {
    fn drop(&mut self) {
        locked(&self.shared.progress).is_closing = true;
        self.flush();
    }
}

impl fmt::Debug for WriterLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterLog")
            .field("format", &self.shared.format)
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

/// What workers and the thread share.
struct Shared {
    format: Format,
    /// Invariant: never empty. A worker takes the one of its index; more workers than buffers share.
    buffers: Box<[CachePadded<Mutex<Lines>>]>,
    /// Whether the thread must be woken.
    is_asleep: AtomicBool,
    lost: Counter,
    progress: Mutex<Progress>,
    /// Signals that `progress` went on.
    written: Condvar,
}

/// Rendered lines that wait for the thread.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    stamp: Option<Stamp>,
}

/// How far the thread is.
#[derive(Default)]
struct Progress {
    /// How many flushes were asked for, and how many of them are done.
    wanted: u64,
    done: u64,
    is_closing: bool,
    is_over: bool,
}

impl Shared {
    /// Renders `entry` into its worker's buffer, or counts it as lost. Whether the thread should gather no longer,
    /// because the buffer is half full now.
    fn append(&self, entry: &AccessEntry<'_>) -> bool {
        let mut lines = locked(&self.buffers[entry.worker % self.buffers.len()]);
        let Lines { text, stamp } = &mut *lines;
        let before = text.len();
        self.format.render(entry, stamp.get_or_insert_with(|| Stamp::new(SystemTime::UNIX_EPOCH)), text);
        if text.len() > BUFFER_BYTES {
            text.truncate(before);
            self.lost.increment();
        }
        before < BUFFER_BYTES / 2 && text.len() >= BUFFER_BYTES / 2
    }

    /// Whether the thread sleeps and the caller, who appended something, is the one to wake it.
    fn wake(&self) -> bool {
        // Relaxed: the buffers' locks order it. If the thread found a buffer empty before something was appended,
        // it had said that it sleeps before it looked.
        self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed)
    }

    /// Whether there is nothing for the thread to do.
    fn is_idle(&self) -> bool {
        let progress = locked(&self.progress);
        let is_wanted = progress.done < progress.wanted || progress.is_closing;
        !is_wanted && self.buffers.iter().all(|buffer| locked(buffer).text.is_empty())
    }
}

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Write + Send>,
    /// The empty buffer that is swapped for a full one.
    batch: Vec<u8>,
    /// The last error of the sink that was not reported yet.
    failure: Option<io::Error>,
    /// When lost lines were last reported, and how many there were.
    warned: Option<(Instant, u64)>,
}

impl Writer {
    fn run(&mut self) {
        // Whoever flushes need not wait if the sink panics.
        let shared = Arc::clone(&self.shared);
        let _over = OnDrop(|| {
            locked(&shared.progress).is_over = true;
            shared.written.notify_all();
        });
        loop {
            let (wanted, is_closing) = {
                let progress = locked(&self.shared.progress);
                (progress.wanted, progress.is_closing)
            };
            let wrote = self.write_batches();
            self.warn();
            locked(&self.shared.progress).done = wanted;
            self.shared.written.notify_all();
            if is_closing {
                return;
            }
            if wrote {
                thread::park_timeout(GATHER);
            } else {
                self.sleep();
            }
        }
    }

    /// Waits until there is something to do. Who flushes unparks without asking whether this sleeps.
    fn sleep(&self) {
        self.shared.is_asleep.store(true, Ordering::Relaxed);
        if self.shared.is_idle() {
            thread::park();
        }
        self.shared.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Writes what is in the buffers now; whether there was anything.
    fn write_batches(&mut self) -> bool {
        let mut wrote = false;
        for index in 0..self.shared.buffers.len() {
            mem::swap(&mut self.batch, &mut locked(&self.shared.buffers[index]).text);
            if self.batch.is_empty() {
                continue;
            }
            wrote = true;
            if let Err((error, unwritten)) = write_lines(&mut *self.sink, &self.batch) {
                self.shared.lost.add(unwritten);
                self.failure = Some(error);
            }
            let used = self.batch.len();
            self.batch.clear();
            if used <= KEPT_BYTES {
                self.batch.shrink_to(KEPT_BYTES);
            }
        }
        wrote
    }

    /// Says that lines are lost: in the diagnostics, since the log itself can't.
    fn warn(&mut self) {
        let lost = self.shared.lost.get();
        let (since, known) = self.warned.map_or((None, 0), |(at, known)| (Some(at.elapsed()), known));
        if lost == known || since.is_some_and(|since| since < WARN_EVERY) {
            return;
        }
        match self.failure.take() {
            Some(error) => {
                tracing::warn!(lines = lost - known, %error, "access log can't be written, lines lost")
            }
            None => tracing::warn!(lines = lost - known, "access log's reader is too slow, lines lost"),
        }
        self.warned = Some((Instant::now(), lost));
    }
}

/// Writes all of `lines`; on an error also says how many of them were not written whole.
fn write_lines(sink: &mut dyn Write, mut lines: &[u8]) -> Result<(), (io::Error, u64)> {
    while !lines.is_empty() {
        let error = match sink.write(lines) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(written) => {
                lines = &lines[written..];
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err((error, lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()));
    }
    // What the sink itself keeps counts as written.
    sink.flush().map_err(|error| (error, 0))
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// A panic while a buffer is locked leaves at worst half a line in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::access_log::AccessRequest;

    /// A sink that keeps what is written, after an errand.
    struct Sink<F> {
        kept: Arc<Mutex<Vec<u8>>>,
        errand: F,
    }

    impl<F: FnMut(&[u8]) -> io::Result<usize>> Write for Sink<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = (self.errand)(bytes)?;
            locked(&self.kept).extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Kept = Arc<Mutex<Vec<u8>>>;

    fn log(errand: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> (WriterLog, Kept) {
        let kept = Kept::default();
        (WriterLog::new(Format::Common, Sink { kept: Arc::clone(&kept), errand }), kept)
    }

    /// A log whose sink says that it was called and then waits for a permission, for each write.
    fn stalled_log() -> (WriterLog, Kept, Receiver<()>, Sender<()>) {
        let (called, calls) = channel();
        let (permit, permits) = channel();
        let (log, kept) = log(move |bytes| {
            called.send(()).unwrap();
            // The test may have given up its end: then all is permitted.
            let _ = permits.recv();
            Ok(bytes.len())
        });
        (log, kept, calls, permit)
    }

    fn record(log: &WriterLog, worker: usize, target: &str) {
        let request = Some(AccessRequest { target: target.as_bytes(), ..AccessRequest::default() });
        log.record(&AccessEntry { worker, request, ..AccessEntry::default() });
    }

    /// The targets of the lines, which must all be whole.
    fn targets(kept: &Kept) -> Vec<String> {
        let text = String::from_utf8(locked(kept).clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        let target = |line: &str| {
            assert!(line.starts_with("- - - [") && line.ends_with(" - 0"), "{line}");
            line.split(' ').nth(6).unwrap().to_owned()
        };
        text.lines().map(target).collect()
    }

    #[test]
    fn dropping_writes_the_last_lines() {
        let (log, kept) = log(|bytes| Ok(bytes.len()));
        record(&log, 0, "/a");
        record(&log, 1, "/b");
        drop(log);
        assert_eq!(targets(&kept), ["/a", "/b"]);
    }

    #[test]
    fn flushing_writes_what_was_recorded_and_goes_on() {
        let (log, kept) = log(|bytes| Ok(bytes.len()));
        log.flush();
        for round in 1..=20 {
            record(&log, round, "/a");
            log.flush();
            assert_eq!(targets(&kept).len(), round);
        }
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn a_line_is_written_without_being_asked_for() {
        let (log, kept, calls, permit) = stalled_log();
        for line in 1..=3 {
            record(&log, 0, "/a");
            permit.send(()).unwrap();
            calls.recv().unwrap();
            // The next round's line finds the thread writing, gathering or asleep.
            if line % 2 == 0 {
                log.flush();
            }
        }
        drop((permit, log));
        assert_eq!(targets(&kept).len(), 3);
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_no_worker_waits() {
        let (log, kept, calls, permit) = stalled_log();
        record(&log, 0, "/first");
        calls.recv().unwrap();
        // The thread is stuck in the sink now: what follows must return all the same.
        let long = format!("/{}", "x".repeat(1000));
        for _ in 0..3000 {
            record(&log, 0, &long);
        }
        let lost = log.lost();
        assert!((1900..2100).contains(&lost), "{lost} of 3000 lines of 1 kB over a buffer of 1 MiB");
        log.flush_within(Duration::from_millis(1));
        drop(permit);
        log.flush();
        record(&log, 0, "/last");
        drop(log);
        let targets = targets(&kept);
        assert_eq!(targets.len() as u64 + lost, 3002);
        assert_eq!(targets.last().unwrap(), "/last");
    }

    #[test]
    fn a_buffer_asks_once_to_be_emptied_early() {
        let (log, _kept) = log(|bytes| Ok(bytes.len()));
        let target = [b'x'; 1 << 10];
        let request = Some(AccessRequest { target: &target, ..AccessRequest::default() });
        let entry = AccessEntry { request, ..AccessEntry::default() };
        let asked: Vec<usize> = (0..2000).filter(|_| log.shared.append(&entry)).collect();
        let line = locked(&log.shared.buffers[0]).text.len() / (2000 - usize::try_from(log.lost()).unwrap());
        assert_eq!(asked, [BUFFER_BYTES / 2 / line]);
    }

    #[test]
    fn a_sink_that_fails_costs_the_lines_of_its_failure() {
        let mut failures = 1;
        let (log, kept) = log(move |bytes| {
            if failures > 0 {
                failures -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(bytes.len())
        });
        record(&log, 0, "/lost");
        log.flush();
        assert_eq!(log.lost(), 1);
        record(&log, 0, "/kept");
        drop(log);
        assert_eq!(targets(&kept), ["/kept"]);
    }

    #[test]
    fn a_closed_pipe_costs_lines_only() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let log = WriterLog::new(Format::Json, writer);
        for _ in 0..3 {
            record(&log, 0, "/a");
            log.flush();
        }
        assert_eq!(log.lost(), 3);
    }

    #[test]
    fn a_sink_that_panics_holds_up_nobody() {
        let (log, _kept) = log(|_| panic!("a broken sink"));
        record(&log, 0, "/a");
        log.flush();
        record(&log, 0, "/b");
    }

    #[test]
    fn short_and_interrupted_writes_are_gone_on_with() {
        let mut calls = 0;
        let (log, kept) = log(move |bytes| {
            calls += 1;
            if calls % 2 == 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(bytes.len().min(7)) }
        });
        record(&log, 0, "/a");
        record(&log, 0, "/b");
        drop(log);
        assert_eq!(targets(&kept), ["/a", "/b"]);
    }

    #[test]
    fn unwritten_lines_are_counted() {
        let mut calls = 0;
        let mut sink = Sink {
            kept: Kept::default(),
            errand: |_: &[u8]| {
                calls += 1;
                if calls == 1 { Ok(4) } else { Ok(0) }
            },
        };
        let (error, lost) = write_lines(&mut sink, b"ab\ncd\nef\n").unwrap_err();
        assert_eq!((error.kind(), lost), (io::ErrorKind::WriteZero, 2));
    }

    #[test]
    fn lines_of_many_threads_are_whole_and_in_each_ones_order() {
        let (log, kept) = log(|bytes| Ok(bytes.len()));
        thread::scope(|scope| {
            for worker in 0..8 {
                let log = &log;
                scope.spawn(move || (0..500).for_each(|n| record(log, worker, &format!("/{worker}/{n:03}"))));
            }
        });
        drop(log);
        let targets = targets(&kept);
        assert_eq!(targets.len(), 4000);
        for worker in 0..8 {
            let own = targets.iter().filter(|target| target.starts_with(&format!("/{worker}/")));
            assert!(own.is_sorted(), "worker {worker}");
        }
    }
}
