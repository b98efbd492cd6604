//! A client's frames as they pass, read by their heads alone: for what the `h2` crate, which reads them whole, lets
//! go on.

use std::time::Duration;

use tokio::time::Instant;

use super::PREFACE;

/// What a client does that its connection has to end for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// DATA on a stream that it had ended. Where we have ended it, too, that is an error of the connection (RFC 9113
    /// section 5.1); the `h2` crate has forgotten such a stream and resets it.
    AfterEnd(u32),
    /// Frames that carry nothing, without measure.
    Flood,
}

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes until the next head.
    left: usize,
    /// Streams that the client ended last, the next one to be forgotten at `oldest`.
    ended: [u32; REMEMBERED],
    oldest: usize,
    idle: u32,
    /// What passed both ways, in bytes, and did not make good for a frame yet.
    carried: usize,
    since: Instant,
}

const HEAD: usize = 9;
/// A client that breaks the rule later than that gets the stream's reset.
const REMEMBERED: usize = 16;
/// Frames that carry nothing may come at this rate: none costs more than a request, which may come as fast.
const MAX_IDLE: u32 = 10_000;
const IN: Duration = Duration::from_secs(1);
/// One is forgiven for so many bytes that pass either way: who takes a large body sends many a WINDOW_UPDATE.
const WORTH: usize = 256;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

impl Frames {
    /// Those of a connection that begins with the preface.
    pub(super) fn new() -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left: PREFACE.len(),
            ended: [0; REMEMBERED],
            oldest: 0,
            idle: 0,
            carried: 0,
            since: Instant::now(),
        }
    }

    /// Looks at what the client has sent; the last of what is wrong with it.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Option<Fault> {
        let mut fault = None;
        self.passed(bytes.len());
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.have).min(bytes.len());
            if self.left > 0 || taken == 0 {
                continue;
            }
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                self.have = 0;
                fault = self.frame().or(fault);
            }
        }
        fault
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

    fn frame(&mut self) -> Option<Fault> {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
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
            DATA if self.left > 0 => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        assert_eq!(frames.received(PREFACE), None);
        frames
    }

    #[tokio::test]
    async fn data_behind_the_end_shows_however_it_is_cut() {
        let bytes = [
            PREFACE.to_vec(),
            frame(4, 0, 0, &[0; 12]),
            frame(HEADERS, END_STREAM | 4, 1, b"head"),
            frame(HEADERS, 4, 3, b"head"),
            frame(DATA, 0, 3, b"more"),
            frame(DATA, END_STREAM, 3, b"last"),
            frame(8, 0, 1, &[0; 4]),
            frame(DATA, 0, 1, b"late"),
        ]
        .concat();
        for size in 1..bytes.len() {
            let mut frames = Frames::new();
            let faults: Vec<_> = bytes.chunks(size).filter_map(|piece| frames.received(piece)).collect();
            assert_eq!(faults, [Fault::AfterEnd(1)], "in pieces of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_from_what_passes_in_its_time() {
        let ping = frame(6, 0, 0, &[0; 8]);
        let mut frames = begun();
        let burst: Vec<_> = ping.repeat(MAX_IDLE as usize);
        assert_eq!(frames.received(&burst), None);
        assert_eq!(frames.received(&ping.repeat(1000)), Some(Fault::Flood));

        let mut frames = begun();
        for _ in 0..10 {
            assert_eq!(frames.received(&burst), None);
            tokio::time::advance(IN).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_for_what_is_sent_are_no_flood() {
        let update = frame(8, 0, 1, &[0, 0, 8, 0]);
        let mut frames = begun();
        for _ in 0..10 * MAX_IDLE {
            assert_eq!(frames.received(&update), None);
            frames.passed(512);
        }
    }
}
