//! A buffer between a socket and whoever parses its bytes.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Stream;

/// A fixed piece of memory holding bytes read and not yet consumed, behind an optional kept prefix.
///
/// The prefix is for a message head: its bytes stay where they were read, field ranges into it stay valid, and the
/// body is read into the space behind it.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    /// Invariant: `kept <= start <= end <= bytes.len()`.
    kept: usize,
    start: usize,
    end: usize,
    /// How much the last read brought.
    last_read: usize,
    _counted: Option<Arc<()>>,
}

/// What filling a buffer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// So many bytes more.
    Bytes(usize),
    /// The peer sends no more.
    End,
    /// There is no space; nothing was read.
    Full,
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        let bytes = vec![0; capacity].into_boxed_slice();
        Self { bytes, kept: 0, start: 0, end: 0, last_read: 0, _counted: None }
    }

    /// Likewise; for as long as it exists it holds `counted`, so that who makes them can tell how many there are.
    pub(crate) fn counted(capacity: usize, counted: &Arc<()>) -> Self {
        Self { _counted: Some(Arc::clone(counted)), ..Self::new(capacity) }
    }

    /// The bytes read and not consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Likewise, to be changed in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// The kept prefix.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.bytes[..self.kept]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// How much the last read brought.
    pub(crate) fn last_read(&self) -> usize {
        self.last_read
    }

    /// Forgets the first `count` filled bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = self.kept;
            self.end = self.kept;
        }
    }

    /// Takes back consuming the last `count` bytes, which nothing may have been read over since.
    pub(crate) fn unconsume(&mut self, count: usize) {
        if self.start == self.end {
            self.start = self.kept;
            self.end = (self.kept + count).min(self.bytes.len());
        } else {
            self.start = self.start.saturating_sub(count).max(self.kept);
        }
    }

    /// Removes `range` of the filled bytes, moving those behind it up.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        self.bytes.copy_within(self.start + range.end..self.end, self.start + range.start);
        self.end -= range.end - range.start;
    }

    /// Makes the first `count` filled bytes the kept prefix; what follows is what is filled. Replaces an earlier
    /// prefix.
    pub(crate) fn keep(&mut self, count: usize) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
        }
        self.kept = count.min(self.end);
        self.start = self.kept;
    }

    /// Gives up the kept prefix.
    pub(crate) fn release(&mut self) {
        self.kept = 0;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Reads once from `stream` into the free space, at most `limit` bytes.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        limit: usize,
    ) -> Poll<io::Result<Fill>> {
        if self.end == self.bytes.len() && self.start > self.kept {
            self.bytes.copy_within(self.start..self.end, self.kept);
            self.end = self.kept + (self.end - self.start);
            self.start = self.kept;
        }
        if self.end == self.bytes.len() {
            return Poll::Ready(Ok(Fill::Full));
        }
        let space = &mut self.bytes[self.end..];
        let space_len = space.len().min(limit);
        let count = ready!(stream.poll_read(cx, &mut space[..space_len]))?;
        self.end += count;
        self.last_read = count;
        Poll::Ready(Ok(if count == 0 { Fill::End } else { Fill::Bytes(count) }))
    }

    /// Makes room for more than the pool's size: only for heads larger than usual.
    pub(crate) fn grow(&mut self, capacity: usize) {
        if capacity > self.bytes.len() {
            let mut larger = vec![0; capacity].into_boxed_slice();
            larger[..self.end].copy_from_slice(&self.bytes[..self.end]);
            self.bytes = larger;
        }
    }

    /// Moves all that it holds to `other`, which has room for it and takes its place; what it was is returned, empty.
    pub(crate) fn replace(&mut self, mut other: Self) -> Self {
        other.bytes[..self.end].copy_from_slice(&self.bytes[..self.end]);
        (other.kept, other.start, other.end) = (self.kept, self.start, self.end);
        let mut former = std::mem::replace(self, other);
        former.clear();
        former
    }

    /// Puts `bytes` behind what is filled, as a read would; false if they don't fit.
    #[cfg(test)]
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(space) = self.bytes.get_mut(self.end..self.end + bytes.len()) else { return false };
        space.copy_from_slice(bytes);
        self.end += bytes.len();
        self.last_read = bytes.len();
        true
    }

    /// Forgets everything, the kept prefix too.
    pub(crate) fn clear(&mut self) {
        (self.kept, self.start, self.end, self.last_read) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8], capacity: usize) -> Buffer {
        let mut buffer = Buffer::new(capacity);
        assert!(buffer.push(bytes));
        buffer
    }

    #[test]
    fn consuming_everything_gives_the_space_back() {
        let mut buffer = filled(b"abcd", 4);
        buffer.consume(4);
        assert!(buffer.is_empty());
        assert!(buffer.push(b"wxyz"));
    }

    #[test]
    fn a_kept_head_survives_what_is_read_and_consumed_behind_it() {
        let mut buffer = filled(b"HEADbody", 10);
        buffer.keep(4);
        assert_eq!((buffer.kept(), buffer.filled()), (&b"HEAD"[..], &b"body"[..]));
        buffer.consume(4);
        assert!(buffer.push(b"more"));
        assert_eq!((buffer.kept(), buffer.filled()), (&b"HEAD"[..], &b"more"[..]));
        buffer.release();
        assert_eq!(buffer.filled(), b"more");
    }

    #[test]
    fn keeping_again_moves_the_next_head_to_the_front() {
        let mut buffer = filled(b"ONE.TWO.", 8);
        buffer.keep(4);
        buffer.release();
        buffer.keep(4);
        assert_eq!((buffer.kept(), buffer.filled()), (&b"TWO."[..], &b""[..]));
    }

    #[test]
    fn another_one_takes_over_what_is_kept_and_filled() {
        let mut buffer = filled(b"HEADbody", 8);
        buffer.keep(4);
        buffer.consume(1);
        let former = buffer.replace(Buffer::new(16));
        assert_eq!((buffer.kept(), buffer.filled(), buffer.capacity()), (&b"HEAD"[..], &b"ody"[..], 16));
        assert!(former.is_empty() && former.kept().is_empty());
    }

    #[test]
    fn removing_closes_the_gap() {
        let mut buffer = filled(b"5;x\r\nhello", 16);
        buffer.remove(1..3);
        assert_eq!(buffer.filled(), b"5\r\nhello");
    }
}
