//! What went wrong, for the diagnostics log: a line for an operator who keeps no access log, and never a flood.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::AccessEntry;
use crate::metrics::{HandshakeResult, Reason};

/// Lines about one cause in one window; the rest is counted.
const LINES: u32 = 3;
const WINDOW: Duration = Duration::from_secs(1);

/// Warns of exchanges and of TLS handshakes that failed, at most a few times a second for each cause.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    exchanges: Limit<Reason>,
    handshakes: Limit<HandshakeResult>,
}

/// How many lines there may be about each cause. There are as many entries as causes, at most.
#[derive(Debug)]
struct Limit<C>(Mutex<Vec<(C, Window)>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Warnings {
    /// Warns of `entry`, whose `reason` is what went wrong. A client that went away is nobody's concern.
    pub(crate) fn warn(&self, entry: &AccessEntry<'_>) {
        let Some(reason) = entry.reason.filter(|reason| *reason != Reason::ClientAbort) else { return };
        let Some(left_out) = self.exchanges.admit(reason, Instant::now()) else { return };
        tracing::warn!(
            reason = reason.as_str(),
            frontend = entry.frontend,
            backend = entry.backend,
            server = entry.server,
            client = entry.client.map(tracing::field::display),
            status = entry.status,
            retries = entry.retries,
            left_out,
            "an exchange failed"
        );
    }

    /// Warns of a TLS handshake with a client that ended so, by what `why` says. Clear text is warned of as an exchange.
    pub(crate) fn warn_of_handshake(
        &self,
        frontend: &str,
        client: Option<SocketAddr>,
        result: HandshakeResult,
        why: &dyn fmt::Display,
    ) {
        let Some(left_out) = self.handshakes.admit(result, Instant::now()) else { return };
        tracing::warn!(
            cause = result.as_str(),
            %why,
            frontend,
            client = client.map(tracing::field::display),
            left_out,
            "a TLS handshake failed"
        );
    }
}

impl<C> Default for Limit<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: PartialEq> Limit<C> {
    /// How many of this cause were left out since the last line, if there may be a line now.
    fn admit(&self, cause: C, now: Instant) -> Option<u64> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = windows.iter().position(|(known, _)| *known == cause).unwrap_or_else(|| {
            windows.push((cause, Window { since: now, lines: 0, left_out: 0 }));
            windows.len() - 1
        });
        let window = &mut windows[at].1;
        if now.duration_since(window.since) >= WINDOW {
            (window.since, window.lines) = (now, 0);
        }
        if window.lines == LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_other_reasons_are_heard() {
        let (limit, start) = (Limit::default(), Instant::now());
        let admitted = |reason, seconds| limit.admit(reason, start + Duration::from_secs(seconds));
        assert_eq!([0; 5].map(|at| admitted(Reason::NoServer, at)), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(admitted(Reason::NoRoute, 0), Some(0));
        assert_eq!(admitted(Reason::NoServer, 1), Some(2));
        assert_eq!(admitted(Reason::NoServer, 1), Some(0));
    }
}
