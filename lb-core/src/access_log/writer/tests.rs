//! The log by its public face, over sinks that stall, fail and panic.

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
