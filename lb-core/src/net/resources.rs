//! What one worker lends to its connections while they move bytes.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::Buffer;
use crate::sys::Pipe;

/// Large enough for the heads of nearly all requests and responses, small enough that a thousand active
/// connections take 32 MiB.
const BUFFER_SIZE: usize = 16 * 1024;
/// Two for each exchange that is under way at a time: zeroing a new buffer costs more than the exchange.
const BUFFERS_RETAINED: usize = 1024;

/// Queues hold heads; one that had to grow beyond this is not kept.
const QUEUE_SIZE: usize = 2 * 1024;
const QUEUE_RETAINED_SIZE: usize = 16 * 1024;
const QUEUES_RETAINED: usize = 1024;

/// Pipes of 256 KiB: half the cost per byte of the default 64 KiB, and 1 MiB measured no better.
const PIPE_SIZE: usize = 256 * 1024;
const PIPES_RETAINED: usize = 32;

/// A worker's buffers, queues and pipes.
#[derive(Debug)]
pub(crate) struct Resources {
    buffers: Pool<Buffer>,
    queues: Pool<Vec<u8>>,
    pipes: Pool<Pipe>,
}

impl Resources {
    pub(crate) fn new() -> Self {
        Self {
            buffers: Pool::new(BUFFERS_RETAINED),
            queues: Pool::new(QUEUES_RETAINED),
            pipes: Pool::new(PIPES_RETAINED),
        }
    }

    pub(crate) fn take_buffer(&self) -> Buffer {
        self.buffers.take().unwrap_or_else(|| Buffer::new(BUFFER_SIZE))
    }

    pub(crate) fn put_buffer(&self, mut buffer: Buffer) {
        if buffer.capacity() == BUFFER_SIZE {
            buffer.clear();
            self.buffers.put(buffer);
        }
    }

    pub(crate) fn take_queue(&self) -> Vec<u8> {
        self.queues.take().unwrap_or_else(|| Vec::with_capacity(QUEUE_SIZE))
    }

    pub(crate) fn put_queue(&self, mut queue: Vec<u8>) {
        if queue.capacity() <= QUEUE_RETAINED_SIZE {
            queue.clear();
            self.queues.put(queue);
        }
    }

    pub(crate) fn take_pipe(&self) -> io::Result<Pipe> {
        self.pipes.take().map_or_else(|| Pipe::new(PIPE_SIZE), Ok)
    }

    /// Takes back a pipe, which must be empty: bytes left in it would reach a stranger.
    pub(crate) fn put_pipe(&self, pipe: Pipe) {
        self.pipes.put(pipe);
    }
}

/// Things that are lent out and come back.
///
/// The lock is one worker's own: with a thread per worker nobody else ever takes it.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    retain: usize,
    free: Mutex<Vec<T>>,
}

impl<T> Pool<T> {
    /// Keeps at most `retain` of what comes back; the rest is dropped.
    pub(crate) fn new(retain: usize) -> Self {
        Self { retain, free: Mutex::new(Vec::with_capacity(retain)) }
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn put(&self, thing: T) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.retain {
            free.push(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_no_more_than_it_may() {
        let pool = Pool::new(1);
        pool.put(1);
        pool.put(2);
        assert_eq!((pool.take(), pool.take()), (Some(1), None));
    }

    #[test]
    fn a_buffer_that_grew_is_not_kept() {
        let resources = Resources::new();
        let mut buffer = resources.take_buffer();
        buffer.grow(2 * BUFFER_SIZE);
        resources.put_buffer(buffer);
        assert_eq!(resources.take_buffer().capacity(), BUFFER_SIZE);
    }
}
