//! What a client's frames come to, by their heads alone: those that come too late, and those that carry nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::frame::{CONTINUATION, DATA, END_STREAM, HEADERS, Head};

/// What a client does that its connection has to end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// DATA on a stream that it had ended. Where we have ended it, too, that is an error of the connection (RFC 9113
    /// section 5.1); the `h2` crate has forgotten such a stream and resets it.
    AfterEnd(u32),
    /// Frames that carry nothing, or of one head, without measure.
    Flood,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Streams that the client ended last, the next one to be forgotten at `oldest`.
    ended: [u32; REMEMBERED],
    oldest: usize,
    idle: u32,
    /// What passed both ways, in bytes, and did not make good for a frame yet.
    carried: usize,
    since: Instant,
}

/// A client that breaks the rule later than that gets the stream's reset.
const REMEMBERED: usize = 16;
/// Frames that carry nothing may come at this rate: none costs more than a request, which may come as fast.
const MAX_IDLE: u32 = 10_000;
const IN: Duration = Duration::from_secs(1);
/// One is forgiven for so many bytes that pass either way: who takes a large body sends many a WINDOW_UPDATE.
const WORTH: usize = 256;

impl Traffic {
    pub(super) fn new() -> Self {
        Self { ended: [0; REMEMBERED], oldest: 0, idle: 0, carried: 0, since: Instant::now() }
    }

    /// Bytes that passed, whichever way.
    pub(super) fn passed(&mut self, count: usize) {
        if self.idle > 0 {
            self.carried += count;
            let forgiven = u32::try_from(self.carried / WORTH).unwrap_or(u32::MAX);
            self.idle = self.idle.saturating_sub(forgiven);
            self.carried %= WORTH;
        }
    }

    /// A frame has come; what is wrong with that.
    pub(super) fn frame(&mut self, head: Head) -> Option<Fault> {
        let Head { length, kind, flags, stream } = head;
        let ends = flags & END_STREAM != 0;
        if kind == DATA && self.ended.contains(&stream) {
            return Some(Fault::AfterEnd(stream));
        }
        match kind {
            DATA | HEADERS if ends => {
                self.ended[self.oldest] = stream;
                self.oldest = (self.oldest + 1) % REMEMBERED;
                None
            }
            DATA if length > 0 => None,
            HEADERS | CONTINUATION => None,
            _ => self.count_idle(),
        }
    }

    fn count_idle(&mut self) -> Option<Fault> {
        self.idle += 1;
        if self.idle <= MAX_IDLE {
            return None;
        }
        // The clock is asked this seldom.
        let now = Instant::now();
        let is_flood = now - self.since < IN;
        (self.since, self.idle) = (now, 0);
        is_flood.then_some(Fault::Flood)
    }
}
