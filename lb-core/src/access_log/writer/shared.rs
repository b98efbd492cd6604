//! What workers and the thread share: the lines that wait, and who wakes whom.
//!
//! A worker leaves a line and goes on. It wakes the thread only where that has said that it sleeps, or where the lines
//! have gathered for long enough.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use crossbeam_utils::CachePadded;

use crate::access_log::{AccessEntry, Format, Stamp};
use crate::metrics::Counter;

/// What a worker's buffer holds at most before lines are lost: some 4,000 lines. When it is half full the thread is
/// woken early.
const BUFFER_BYTES: usize = 1 << 20;

/// The buffers, and what each side has told the other.
pub(super) struct Shared {
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

/// What the thread is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// What is recorded by now answers this many flushes.
    pub(super) flushes: u64,
    /// Nothing more will be recorded.
    pub(super) is_closing: bool,
}

impl Shared {
    pub(super) fn new(format: Format) -> Self {
        let buffers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            format,
            buffers: (0..buffers).map(|_| CachePadded::default()).collect(),
            is_asleep: AtomicBool::new(false),
            lost: Counter::default(),
            progress: Mutex::default(),
            written: Condvar::new(),
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// How many lines were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.get()
    }

    pub(super) fn lose(&self, lines: u64) {
        self.lost.add(lines);
    }

    /// Renders `entry` into its worker's buffer, or counts it as lost. Whether the thread should gather no longer,
    /// because the buffer is half full now.
    pub(super) fn append(&self, entry: &AccessEntry<'_>) -> bool {
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
    pub(super) fn wake(&self) -> bool {
        // Relaxed: the buffers' locks order it. If the thread found a buffer empty before something was appended,
        // it had said that it sleeps before it looked.
        self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed)
    }

    /// Waits until what was recorded is written, or the thread is over. False: that took longer than `patience`.
    pub(super) fn flush(&self, thread: &Thread, patience: Duration) -> bool {
        let mut progress = locked(&self.progress);
        progress.wanted += 1;
        let wanted = progress.wanted;
        thread.unpark();
        let is_owed = |progress: &mut Progress| !progress.is_over && progress.done < wanted;
        let waited = self.written.wait_timeout_while(progress, patience, is_owed);
        !waited.is_ok_and(|(_, timeout)| timeout.timed_out())
    }

    /// Says that nothing more will be recorded.
    pub(super) fn close(&self) {
        locked(&self.progress).is_closing = true;
    }

    /// What the thread is asked for now.
    pub(super) fn asked(&self) -> Asked {
        let progress = locked(&self.progress);
        Asked { flushes: progress.wanted, is_closing: progress.is_closing }
    }

    /// How many buffers there are.
    pub(super) fn buffers(&self) -> usize {
        self.buffers.len()
    }

    /// Takes a buffer's lines and leaves `batch` for them.
    pub(super) fn swap(&self, buffer: usize, batch: &mut Vec<u8>) {
        mem::swap(batch, &mut locked(&self.buffers[buffer]).text);
    }

    /// Lets those go on whose flushes were asked for by then.
    pub(super) fn flushed(&self, asked: Asked) {
        locked(&self.progress).done = asked.flushes;
        self.written.notify_all();
    }

    /// Lets everybody go on: the thread writes nothing more.
    pub(super) fn end(&self) {
        locked(&self.progress).is_over = true;
        self.written.notify_all();
    }

    /// Waits until there is something to do. Who flushes unparks without asking whether this sleeps.
    pub(super) fn sleep(&self) {
        self.is_asleep.store(true, Ordering::Relaxed);
        if self.is_idle() {
            thread::park();
        }
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Whether there is nothing for the thread to do.
    fn is_idle(&self) -> bool {
        let progress = locked(&self.progress);
        let is_wanted = progress.done < progress.wanted || progress.is_closing;
        !is_wanted && self.buffers.iter().all(|buffer| locked(buffer).text.is_empty())
    }
}

/// A panic while a buffer is locked leaves at worst half a line in it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::AccessRequest;

    #[test]
    fn a_buffer_asks_once_to_be_emptied_early() {
        let shared = Shared::new(Format::Common);
        let target = [b'x'; 1 << 10];
        let request = Some(AccessRequest { target: &target, ..AccessRequest::default() });
        let entry = AccessEntry { request, ..AccessEntry::default() };
        let asked: Vec<usize> = (0..2000).filter(|_| shared.append(&entry)).collect();
        let line = locked(&shared.buffers[0]).text.len() / (2000 - usize::try_from(shared.lost()).unwrap());
        assert_eq!(asked, [BUFFER_BYTES / 2 / line]);
    }
}
