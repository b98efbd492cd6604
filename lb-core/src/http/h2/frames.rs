//! Frames as they pass: heads with their pseudo-fields renamed, a client's ([`super::pseudo`]) and those to a server
//! ([`super::stand_in`]), all others as they are. A client's are looked at on the way, for what the `h2` crate, which
//! reads them whole, lets go on.

use super::PREFACE;
use super::frame::{CONTINUATION, END_HEADERS, END_STREAM, HEAD, HEADERS, Head, PADDED, PRIORITY};
use super::pseudo::{self, Kind};
use super::stand_in;
use super::traffic::{Fault, Traffic};

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the present frame, or of the preface, that pass as they come.
    left: usize,
    /// A frame that has to be whole to pass, as far as it has come, or the head of one.
    held: Vec<u8>,
    /// The block of a head that more frames belong to.
    open: Option<Box<Open>>,
    max_continuations: usize,
    /// A head that is in a larger frame passes as it is.
    max_frame: usize,
    /// The last stream that was opened.
    newest: u32,
    /// What the client has done wrong last.
    fault: Option<Fault>,
    /// Nothing passes any more: what comes next would be read as something else.
    is_over: bool,
    /// A client's; what goes to a server is ours.
    traffic: Option<Traffic>,
}

/// A header block whose end has not come.
#[derive(Debug)]
struct Open {
    head: Head,
    priority: Vec<u8>,
    fragments: Vec<u8>,
    continuations: usize,
}

/// What we take at most, and anybody else at least (RFC 9113 section 4.2); the `h2` crate refuses what is larger.
const MAX_FRAME: usize = 16 * 1024;
/// A head may come in as many CONTINUATION frames as its size may need, and no fewer than so many.
const MIN_CONTINUATIONS: usize = 5;

impl Frames {
    /// Those of a client whose connection begins with the preface, and whose heads may have so many bytes.
    pub(super) fn of_client(head_bytes: usize) -> Self {
        let max_continuations = (head_bytes / MAX_FRAME * 5 / 4).max(MIN_CONTINUATIONS);
        Self {
            max_continuations,
            max_frame: MAX_FRAME,
            traffic: Some(Traffic::new()),
            ..Self::to_server(PREFACE.len())
        }
    }

    /// Ours to a server, from within a frame of which so many bytes are left.
    pub(super) fn to_server(left: usize) -> Self {
        Self {
            left,
            held: Vec::new(),
            open: None,
            max_continuations: usize::MAX,
            max_frame: usize::MAX,
            newest: 0,
            fault: None,
            is_over: false,
            traffic: None,
        }
    }

    /// Takes what comes next. So many of the first bytes pass as they are; behind them passes what is written to `out`,
    /// which is empty. What is neither has to wait for more.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        if let Some(traffic) = &mut self.traffic {
            traffic.passed(bytes.len());
        }
        if self.held.is_empty() {
            let (kept, used) = self.pass(bytes, out);
            self.held.extend_from_slice(&bytes[used..]);
            return kept;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut rewritten = Vec::new();
        let (kept, used) = self.pass(&held, &mut rewritten);
        out.extend_from_slice(&held[..kept]);
        out.append(&mut rewritten);
        // Moved only when a frame has passed: a client may send one byte by byte.
        held.drain(..used);
        if !held.is_empty() {
            self.held = held;
        }
        0
    }

    /// Bytes that were sent to the client.
    pub(super) fn sent(&mut self, count: usize) {
        if let Some(traffic) = &mut self.traffic {
            traffic.passed(count);
        }
    }

    /// What the client has done wrong since this was last asked.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// How many of the first bytes pass as they are, and how many have been taken.
    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
        let (mut kept, mut at) = (0, 0);
        while !self.is_over {
            let passing = &bytes[at..at + self.left.min(bytes.len() - at)];
            if kept == at && out.is_empty() {
                kept += passing.len();
            } else {
                out.extend_from_slice(passing);
            }
            self.left -= passing.len();
            at += passing.len();
            let Some((head, behind)) = bytes[at..].split_first_chunk::<HEAD>() else { return (kept, at) };
            let head = Head::read(*head);
            let is_head = self.is_head(head);
            if is_head && behind.len() < head.length {
                return (kept, at);
            }
            if let Some(traffic) = &mut self.traffic {
                self.fault = traffic.frame(head).or(self.fault);
            }
            if is_head {
                self.take_head(head, &behind[..head.length], out);
                at += HEAD + head.length;
            } else {
                self.break_off(out);
                self.left = HEAD + head.length;
            }
        }
        (kept, bytes.len())
    }

    /// Whether the frame is one of a head, where one may be.
    fn is_head(&self, head: Head) -> bool {
        let is_next = match &self.open {
            None => head.kind == HEADERS,
            Some(open) => head.kind == CONTINUATION && head.stream == open.head.stream,
        };
        is_next && head.length <= self.max_frame
    }

    fn take_head(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) {
        let is_whole = head.flags & END_HEADERS != 0;
        let Some(mut open) = self.open.take() else {
            let Some((priority, fragment)) = unpadded(head, payload) else {
                head.write(payload, out);
                return;
            };
            if is_whole {
                self.write_head(head, priority, fragment, out);
            } else {
                let (priority, fragments) = (priority.to_vec(), fragment.to_vec());
                self.open = Some(Box::new(Open { head, priority, fragments, continuations: 0 }));
            }
            return;
        };
        open.fragments.extend_from_slice(payload);
        open.continuations += 1;
        if is_whole {
            self.write_head(open.head, &open.priority, &open.fragments, out);
        } else if open.continuations < self.max_continuations {
            self.open = Some(open);
        } else {
            (self.fault, self.is_over) = (Some(Fault::Flood), true);
        }
    }

    fn write_head(&mut self, head: Head, priority: &[u8], block: &[u8], out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(priority.len() + block.len() + 128);
        payload.extend_from_slice(priority);
        if self.traffic.is_some() {
            let kind = if head.stream > self.newest { Kind::Head } else { Kind::Trailers };
            self.newest = self.newest.max(head.stream);
            pseudo::rename(kind, block, &mut payload);
        } else {
            stand_in::rename(block, &mut payload);
        }
        let mut frame = Head { flags: head.flags & (END_STREAM | PRIORITY), ..head };
        let mut rest = &payload[..];
        while rest.len() > MAX_FRAME {
            frame.write(&rest[..MAX_FRAME], out);
            rest = &rest[MAX_FRAME..];
            frame = Head { kind: CONTINUATION, flags: 0, ..frame };
        }
        Head { flags: frame.flags | END_HEADERS, ..frame }.write(rest, out);
    }

    /// Has the `h2` crate see that a head was not brought to its end.
    fn break_off(&mut self, out: &mut Vec<u8>) {
        if let Some(open) = self.open.take() {
            Head { flags: 0, ..open.head }.write(&[], out);
        }
    }
}

/// The priority and the block in the payload of HEADERS (RFC 9113 section 6.2); none where it has no room for them.
fn unpadded(head: Head, payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = payload;
    if head.flags & PADDED != 0 {
        let (padding, behind) = rest.split_first()?;
        rest = behind.get(..behind.len().checked_sub(usize::from(*padding))?)?;
    }
    rest.split_at_checked(if head.flags & PRIORITY != 0 { 5 } else { 0 })
}

#[cfg(test)]
mod tests {
    use tokio::time::Duration;

    use super::*;
    use crate::http::h2::frame::DATA;

    /// More than a second.
    const IN: Duration = Duration::from_secs(1);
    const MAX_IDLE: usize = 10_000;
    const LIMIT: usize = 64 * 1024;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::of_client(LIMIT);
        assert_eq!(passed(&mut frames, PREFACE), PREFACE);
        frames
    }

    /// What passes of `bytes`.
    fn passed(frames: &mut Frames, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let kept = frames.take(bytes, &mut out);
        [&bytes[..kept], &out].concat()
    }

    /// What is wrong with `bytes`.
    fn fault(frames: &mut Frames, bytes: &[u8]) -> Option<Fault> {
        passed(frames, bytes);
        frames.take_fault()
    }

    fn renamed(kind: Kind, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        pseudo::rename(kind, block, &mut out);
        out
    }

    #[tokio::test]
    async fn heads_pass_renamed_however_they_are_cut() {
        let block = b"\x82\x86\x44\x02/a\x41\x01a";
        let (head, trailers) = (renamed(Kind::Head, block), renamed(Kind::Trailers, b"\x84"));
        let ping = frame(6, 0, 0, &[0; 8]);
        let padded = [&b"\x03\0\0\0\0\x10"[..], block, &[0; 3]].concat();
        let prioritised = [&b"\0\0\0\0\x10"[..], &head].concat();
        let long = [&block[..], &[0xbe; 2 * MAX_FRAME]].concat();
        let long_head = renamed(Kind::Head, &long);
        let sent = [
            PREFACE.to_vec(),
            frame(HEADERS, END_HEADERS, 1, block),
            frame(DATA, 0, 1, b"data"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x84"),
            ping.clone(),
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITY, 3, &padded),
            frame(HEADERS, 0, 5, &block[..4]),
            frame(CONTINUATION, 0, 5, b""),
            frame(CONTINUATION, END_HEADERS, 5, &block[4..]),
            frame(HEADERS, END_STREAM, 7, &long[..MAX_FRAME]),
            frame(CONTINUATION, 0, 7, &long[MAX_FRAME..2 * MAX_FRAME]),
            frame(CONTINUATION, END_HEADERS, 7, &long[2 * MAX_FRAME..]),
            ping.clone(),
        ]
        .concat();
        let expected = [
            PREFACE.to_vec(),
            frame(HEADERS, END_HEADERS, 1, &head),
            frame(DATA, 0, 1, b"data"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
            ping.clone(),
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY, 3, &prioritised),
            frame(HEADERS, END_HEADERS, 5, &head),
            frame(HEADERS, END_STREAM, 7, &long_head[..MAX_FRAME]),
            frame(CONTINUATION, 0, 7, &long_head[MAX_FRAME..2 * MAX_FRAME]),
            frame(CONTINUATION, END_HEADERS, 7, &long_head[2 * MAX_FRAME..]),
            ping,
        ]
        .concat();
        for size in (1..100).chain([sent.len() / 2, sent.len()]) {
            let mut frames = Frames::of_client(LIMIT);
            let got: Vec<u8> = sent.chunks(size).flat_map(|piece| passed(&mut frames, piece)).collect();
            assert!(got == expected, "in pieces of {size}");
            assert_eq!(frames.take_fault(), None);
        }
    }

    #[tokio::test]
    async fn what_is_no_head_passes_as_it_is() {
        let begin = frame(HEADERS, 0, 1, b"\x82");
        let begun_head = frame(HEADERS, 0, 1, b"");
        for (sent, expected) in [
            // More padding than there is.
            (frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05\x82"), None),
            (frame(HEADERS, END_HEADERS | PRIORITY, 1, b"\0\0"), None),
            (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), None),
            (frame(HEADERS, END_HEADERS, 1, &[0; MAX_FRAME + 1]), None),
            ([&begin[..], &frame(DATA, 0, 1, b"x")].concat(), Some(frame(DATA, 0, 1, b"x"))),
            (
                [&begin[..], &frame(CONTINUATION, END_HEADERS, 3, b"x")].concat(),
                Some(frame(CONTINUATION, END_HEADERS, 3, b"x")),
            ),
            ([&begin[..], &begin].concat(), Some(begin.clone())),
        ] {
            let expected = expected.map_or(sent.clone(), |rest| [&begun_head[..], &rest].concat());
            assert!(passed(&mut begun(), &sent) == expected, "{:x?}", &sent[..sent.len().min(40)]);
        }
    }

    #[tokio::test]
    async fn a_head_comes_in_no_more_frames_than_it_may_need() {
        for (head_bytes, most) in [(LIMIT, MIN_CONTINUATIONS), (1024 * 1024, 80)] {
            for (continuations, expected) in [(most - 1, None), (most, Some(Fault::Flood))] {
                let mut frames = Frames::of_client(head_bytes);
                passed(&mut frames, PREFACE);
                assert_eq!(fault(&mut frames, &frame(HEADERS, 0, 1, b"\x82")), None);
                let more = frame(CONTINUATION, 0, 1, b"").repeat(continuations);
                assert_eq!(fault(&mut frames, &more), expected, "{continuations} of {most}");
                let rest = frame(CONTINUATION, END_HEADERS, 1, b"");
                assert_eq!(passed(&mut frames, &rest).is_empty(), expected.is_some());
            }
        }
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
            let mut frames = Frames::of_client(LIMIT);
            let faults: Vec<_> = bytes.chunks(size).filter_map(|piece| fault(&mut frames, piece)).collect();
            assert_eq!(faults, [Fault::AfterEnd(1)], "in pieces of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_from_what_passes_in_its_time() {
        let ping = frame(6, 0, 0, &[0; 8]);
        let mut frames = begun();
        let burst: Vec<_> = ping.repeat(MAX_IDLE);
        assert_eq!(fault(&mut frames, &burst), None);
        assert_eq!(fault(&mut frames, &ping.repeat(1000)), Some(Fault::Flood));

        let mut frames = begun();
        for _ in 0..10 {
            assert_eq!(fault(&mut frames, &burst), None);
            tokio::time::advance(IN).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_for_what_is_sent_are_no_flood() {
        let update = frame(8, 0, 1, &[0, 0, 8, 0]);
        let mut frames = begun();
        for _ in 0..10 * MAX_IDLE {
            assert_eq!(fault(&mut frames, &update), None);
            frames.sent(512);
        }
    }
}
