//! The signals that `lb` listens to.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What stops it twice within this time is one wish: a supervisor signals a process and its group, a wrapper passes on
/// what a terminal has sent to all.
const SAME: Duration = Duration::from_millis(500);

/// Takes signals from when it is made: none of them ends the process by itself any more.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) stop: Stop,
    pub(crate) hangup: Hangup,
}

/// SIGTERM, which supervisors send, SIGINT, which Ctrl-C sends, and SIGQUIT, by which nginx drains.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    last: Option<Instant>,
}

/// SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangup(Signal);

impl Signals {
    /// Must be called on a runtime.
    pub(crate) fn take() -> io::Result<Self> {
        let stop = Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            last: None,
        };
        let hangup = Hangup(signal(SignalKind::hangup())?);
        let (user1, user2) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
        tokio::spawn(ignore(user1, user2));
        Ok(Self { stop, hangup })
    }
}

impl Stop {
    /// Waits for the next of the three, but not for one that only repeats the last; its name.
    pub(crate) async fn asked(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => "SIGQUIT",
            };
            if self.last.is_none_or(|last| last.elapsed() >= SAME) {
                self.last = Some(Instant::now());
                return name;
            }
        }
    }
}

impl Hangup {
    /// Waits for the next one. Those that came close together are one.
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}

/// Says of signals that mean something to other servers that they mean nothing here. By itself the kernel would end
/// the process for them.
async fn ignore(mut user1: Signal, mut user2: Signal) {
    loop {
        tokio::select! {
            _ = user1.recv() => {
                tracing::info!(signal = "SIGUSR1", "ignored: no log file is open, lines go to standard output and error");
            }
            _ = user2.recv() => {
                tracing::info!(signal = "SIGUSR2", "ignored: listeners can't be handed to another process");
            }
        }
    }
}
