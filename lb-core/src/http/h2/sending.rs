//! What goes to a server: as the `h2` crate wrote it, until there is a request that it can't say ([`super::stand_in`]).

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use super::PREFACE;
use super::frame::{HEAD, Head};
use super::frames::Frames;
use crate::net::Stream;

/// Follows what is written on one connection.
#[derive(Debug)]
pub(super) struct Sending {
    /// There is such a request, or will be. Set before the `h2` crate gets it; nothing else is published by it.
    has_stand_ins: Arc<AtomicBool>,
    /// Of the frame, or the preface, that a write broke off.
    left: usize,
    /// From the first such request on.
    frames: Option<Frames>,
    /// What passed `frames`, written as far as `written`.
    passed: Vec<u8>,
    written: usize,
}

/// A connection keeps no more than that for what passes next.
const KEPT: usize = 32 * 1024;

impl Sending {
    pub(super) fn new(has_stand_ins: Arc<AtomicBool>) -> Self {
        Self { has_stand_ins, left: PREFACE.len(), frames: None, passed: Vec::new(), written: 0 }
    }

    /// Takes what begins where the last one ended, and ends with a frame.
    pub(super) fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.has_stand_ins.load(Ordering::Relaxed) {
            let count = ready!(stream.poll_gather(cx, slices))?;
            self.left = left_behind(self.left, slices, count);
            return Poll::Ready(Ok(count));
        }
        ready!(self.poll_drain(stream, cx))?;
        let frames = self.frames.get_or_insert_with(|| Frames::to_server(self.left));
        let mut count = 0;
        for slice in slices {
            let mut rewritten = Vec::new();
            let kept = frames.take(slice, &mut rewritten);
            self.passed.extend_from_slice(&slice[..kept]);
            self.passed.append(&mut rewritten);
            count += slice.len();
        }
        // What is taken is as good as written: who writes no more flushes.
        match self.poll_drain(stream, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(count)),
        }
    }

    /// Writes what was taken.
    pub(super) fn poll_drain(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.passed.len() {
            let rest = IoSlice::new(&self.passed[self.written..]);
            match ready!(stream.poll_gather(cx, &[rest]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        if self.written > 0 {
            self.written = 0;
            self.passed.clear();
            self.passed.shrink_to(KEPT);
        }
        Poll::Ready(Ok(()))
    }
}

/// How much is left of the frame that ends behind `count` bytes of `slices`, which begin with `left` of one and are whole
/// frames from there on.
fn left_behind(left: usize, slices: &[IoSlice<'_>], count: usize) -> usize {
    if count == slices.iter().map(|slice| slice.len()).sum::<usize>() {
        return 0;
    }
    let mut end = left;
    while end < count {
        let mut head = [0; HEAD];
        let bytes = slices.iter().flat_map(|slice| slice.iter()).skip(end);
        head.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        end += HEAD + Head::read(head).length;
    }
    end - count
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::http::h2::frame::{DATA, END_HEADERS, HEADERS};

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        Head { length: 0, kind, flags: END_HEADERS, stream: 1 }.write(payload, &mut frame);
        frame
    }

    #[test]
    fn a_write_that_breaks_off_tells_where() {
        let frames = [3, 0, 300].map(|length| frame(DATA, &vec![7; length])).concat();
        let ends = [5, 5 + 12, 5 + 12 + 9, 5 + 12 + 9 + 309];
        let bytes = [&[9; 5][..], &frames].concat();
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            for count in 0..=bytes.len() {
                let end = ends.iter().find(|end| **end >= count).unwrap();
                assert_eq!(
                    left_behind(5, &slices, count),
                    end - count,
                    "{count} of two slices, cut at {cut}"
                );
            }
        }
    }

    /// A server that reads nothing has the write break off before the first head that is rewritten.
    #[tokio::test]
    async fn rewriting_begins_within_a_frame() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut stream = Stream::from(crate::net::Socket::Tcp(stream));
        let has_stand_ins = Arc::new(AtomicBool::new(false));
        let mut sending = Sending::new(Arc::clone(&has_stand_ins));
        let data = frame(DATA, &vec![0x1f; 12_000_000]);
        let mut first = PREFACE;
        while !first.is_empty() {
            let slices = [IoSlice::new(first)];
            first = &first[poll_fn(|cx| sending.poll_write(&mut stream, cx, &slices)).await.unwrap()..];
        }
        let slices = [IoSlice::new(&data[..HEAD]), IoSlice::new(&data[HEAD..])];
        let count = poll_fn(|cx| sending.poll_write(&mut stream, cx, &slices)).await.unwrap();
        assert!(count < data.len());
        has_stand_ins.store(true, Ordering::Relaxed);
        let rest = [&data[count..], &frame(HEADERS, b"\x82\x86\x84\x1f\x17\x01a\x1f\x17\x02/<")].concat();
        let slices = [IoSlice::new(&rest)];
        let taken = poll_fn(|cx| sending.poll_write(&mut stream, cx, &slices)).await.unwrap();
        assert_eq!(taken, rest.len());
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            server.read_to_end(&mut read).await.unwrap();
            read
        });
        poll_fn(|cx| sending.poll_drain(&mut stream, cx)).await.unwrap();
        drop(stream);
        let expected = [PREFACE, &data, &frame(HEADERS, b"\x82\x11\x01a\x14\x02/<")].concat();
        assert!(reading.await.unwrap() == expected);
        assert!(sending.passed.capacity() <= KEPT);
    }
}
