//! The thread's side: takes what has gathered, writes it, and says what was lost.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::shared::Shared;

/// What an emptied buffer keeps of its memory.
const KEPT_BYTES: usize = 64 << 10;

/// How long the thread lets lines gather after it wrote some: bounds how often it is woken and how late a line
/// is.
const GATHER: Duration = Duration::from_millis(20);

/// How often at most the diagnostics say that lines are lost.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// What the thread works with.
pub(super) struct Writer {
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
    pub(super) fn new(shared: Arc<Shared>, sink: Box<dyn Write + Send>) -> Self {
        Self { shared, sink, batch: Vec::new(), failure: None, warned: None }
    }

    /// Writes until the log is closed.
    pub(super) fn run(&mut self) {
        // Whoever flushes need not wait if the sink panics.
        let shared = Arc::clone(&self.shared);
        let _over = OnDrop(|| shared.end());
        loop {
            let asked = self.shared.asked();
            let wrote = self.write_batches();
            self.warn();
            self.shared.flushed(asked);
            if asked.is_closing {
                return;
            }
            if wrote {
                thread::park_timeout(GATHER);
            } else {
                self.shared.sleep();
            }
        }
    }

    /// Writes what is in the buffers now; whether there was anything.
    fn write_batches(&mut self) -> bool {
        let mut wrote = false;
        for buffer in 0..self.shared.buffers() {
            self.shared.swap(buffer, &mut self.batch);
            if self.batch.is_empty() {
                continue;
            }
            wrote = true;
            if let Err((error, unwritten)) = write_lines(&mut *self.sink, &self.batch) {
                self.shared.lose(unwritten);
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
        let lost = self.shared.lost();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwritten_lines_are_counted() {
        let mut room = [0; 4];
        let (error, lost) = write_lines(&mut &mut room[..], b"ab\ncd\nef\n").unwrap_err();
        assert_eq!((error.kind(), lost, &room), (io::ErrorKind::WriteZero, 2, b"ab\nc"));
    }
}
