//! The signals that `lb` listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes signals from when it is made: none of them ends the process by itself any more.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) stop: Stop,
    pub(crate) hangup: Hangup,
}

/// SIGTERM, which supervisors send, and SIGINT, which Ctrl-C sends.
#[derive(Debug)]
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP.
#[derive(Debug)]
pub(crate) struct Hangup(Signal);

impl Signals {
    /// Must be called on a runtime.
    pub(crate) fn take() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = Hangup(signal(SignalKind::hangup())?);
        Ok(Self { stop: Stop { terminate, interrupt }, hangup })
    }
}

impl Stop {
    /// Waits for the next of the two; its name.
    pub(crate) async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl Hangup {
    /// Waits for the next one. Those that came close together are one.
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}
