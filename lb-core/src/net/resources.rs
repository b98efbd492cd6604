//! What one worker lends to its connections while they move bytes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Buffer;
use crate::sys::Pipe;

/// Large enough for the heads of nearly all requests and responses, small enough that a thousand active
/// connections take 32 MiB.
pub(super) const BUFFER_SIZE: usize = 16 * 1024;
/// Two for each exchange that is under way at a time: zeroing a new buffer costs more than the exchange.
const BUFFERS_RETAINED: usize = 1024;

/// For large bodies that are copied: eight TLS records or HTTP/2 frames at a time instead of one.
const BULK_BUFFER_SIZE: usize = 128 * 1024;
const BULK_BUFFERS_RETAINED: usize = 16;
/// No more than 8 MiB, however many clients read slowly: the others have buffers of the usual size.
const BULK_BUFFERS: usize = 64;

/// Nearly all heads are shorter.
const MAX_KEPT: usize = 4 * 1024;

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
    heap: Mutex<Heap>,
    pipes: CountedPool<Pipe>,
    bulk_buffers: CountedPool<Buffer>,
}

/// What is free. One lock for both kinds, as connections take one of each.
#[derive(Debug)]
struct Heap {
    buffers: Vec<Buffer>,
    queues: Vec<Vec<u8>>,
}

/// What a connection reads into and writes from while messages are exchanged.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) buffer: Buffer,
    pub(crate) queue: Vec<u8>,
}

impl Resources {
    pub(crate) fn new() -> Self {
        Self {
            heap: Mutex::new(Heap {
                buffers: Vec::with_capacity(BUFFERS_RETAINED),
                queues: Vec::with_capacity(QUEUES_RETAINED),
            }),
            pipes: CountedPool::new(PIPES_RETAINED),
            bulk_buffers: CountedPool::new(BULK_BUFFERS_RETAINED),
        }
    }

    pub(crate) fn take_space(&self) -> Space {
        let mut heap = self.heap();
        Space { buffer: heap.take_buffer(), queue: heap.take_queue() }
    }

    pub(crate) fn put_space(&self, space: Space) {
        let Space { buffer, queue } = space;
        let mut heap = self.heap();
        heap.put_queue(queue);
        if buffer.capacity() == BUFFER_SIZE {
            heap.put_buffer(buffer);
        } else {
            drop(heap);
            self.put_buffer(buffer);
        }
    }

    pub(crate) fn take_buffer(&self) -> Buffer {
        self.heap().take_buffer()
    }

    /// A large buffer, unless too many are lent.
    pub(crate) fn take_bulk_buffer(&self) -> Option<Buffer> {
        self.bulk_buffers.free.take().or_else(|| {
            let may_be_more = self.bulk_buffers.count() < BULK_BUFFERS;
            may_be_more.then(|| Buffer::counted(BULK_BUFFER_SIZE, &self.bulk_buffers.token))
        })
    }

    /// Lends a large buffer in place of one that the last read nearly filled: more is likely to wait. Takes it back
    /// when a read brings no more than the usual one holds: who sends little for hours needs none. Nothing but the
    /// prefix may be in the buffer.
    pub(crate) fn fit(&self, buffer: &mut Buffer) {
        let is_bulk = buffer.capacity() >= BULK_BUFFER_SIZE;
        let fitting = if !is_bulk && buffer.last_read() >= BUFFER_SIZE - MAX_KEPT {
            self.take_bulk_buffer()
        } else if is_bulk && buffer.last_read() < BUFFER_SIZE && buffer.kept().len() <= MAX_KEPT {
            Some(self.take_buffer())
        } else {
            None
        };
        if let Some(fitting) = fitting {
            self.put_buffer(buffer.replace(fitting));
        }
    }

    /// Takes back a buffer of either size.
    pub(crate) fn put_buffer(&self, mut buffer: Buffer) {
        if buffer.capacity() == BULK_BUFFER_SIZE {
            buffer.clear();
            self.bulk_buffers.free.put(buffer);
        } else {
            self.heap().put_buffer(buffer);
        }
    }

    pub(crate) fn take_queue(&self) -> Vec<u8> {
        self.heap().take_queue()
    }

    pub(crate) fn put_queue(&self, queue: Vec<u8>) {
        self.heap().put_queue(queue);
    }

    pub(crate) fn take_pipe(&self) -> io::Result<Pipe> {
        self.pipes.free.take().map_or_else(|| Pipe::new(PIPE_SIZE, &self.pipes.token), Ok)
    }

    /// Takes back a pipe, which must be empty: bytes left in it would reach a stranger.
    pub(crate) fn put_pipe(&self, pipe: Pipe) {
        self.pipes.free.put(pipe);
    }

    /// How many pipes there are that nobody has given back.
    pub(crate) fn pipes_lent(&self) -> usize {
        self.pipes.count().saturating_sub(self.pipes.free.count())
    }

    /// As with a [`Pool`], nobody else ever takes this lock.
    fn heap(&self) -> MutexGuard<'_, Heap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heap {
    fn take_buffer(&mut self) -> Buffer {
        self.buffers.pop().unwrap_or_else(|| Buffer::new(BUFFER_SIZE))
    }

    fn put_buffer(&mut self, mut buffer: Buffer) {
        if buffer.capacity() == BUFFER_SIZE && self.buffers.len() < BUFFERS_RETAINED {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    fn take_queue(&mut self) -> Vec<u8> {
        self.queues.pop().unwrap_or_else(|| Vec::with_capacity(QUEUE_SIZE))
    }

    fn put_queue(&mut self, mut queue: Vec<u8>) {
        if queue.capacity() <= QUEUE_RETAINED_SIZE && self.queues.len() < QUEUES_RETAINED {
            queue.clear();
            self.queues.push(queue);
        }
    }
}

/// Lent things of which it is known how many there are.
#[derive(Debug)]
struct CountedPool<T> {
    free: Pool<T>,
    /// Held by each thing, free or lent.
    token: Arc<()>,
}

impl<T> CountedPool<T> {
    fn new(retain: usize) -> Self {
        Self { free: Pool::new(retain), token: Arc::default() }
    }

    fn count(&self) -> usize {
        Arc::strong_count(&self.token) - 1
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

    fn count(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).len()
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

    #[test]
    fn a_large_buffer_is_lent_for_as_long_as_reads_need_it() {
        let resources = Resources::new();
        let mut buffer = resources.take_buffer();
        let mut read = |head: usize, body: usize| {
            assert!(buffer.push(&vec![0; head]));
            buffer.keep(head);
            assert!(buffer.push(&vec![0; body]));
            buffer.consume(body);
            resources.fit(&mut buffer);
            assert_eq!(buffer.kept().len(), head);
            buffer.release();
            buffer.capacity()
        };
        assert_eq!(read(100, 8 * 1024), BUFFER_SIZE);
        assert_eq!(read(100, BUFFER_SIZE - 100), BULK_BUFFER_SIZE);
        assert_eq!(read(100, 2 * BUFFER_SIZE), BULK_BUFFER_SIZE);
        // A head that the usual one has no room for.
        assert_eq!(read(BUFFER_SIZE, 10), BULK_BUFFER_SIZE);
        assert_eq!(read(100, 10), BUFFER_SIZE);
    }

    #[test]
    fn no_more_large_buffers_are_lent_than_may_be() {
        let resources = Resources::new();
        let mut lent: Vec<_> = std::iter::from_fn(|| resources.take_bulk_buffer()).collect();
        assert_eq!(lent.len(), BULK_BUFFERS);
        // One is given back, one goes with its connection.
        resources.put_buffer(lent.pop().unwrap());
        drop(lent.pop());
        lent.extend(std::iter::from_fn(|| resources.take_bulk_buffer()));
        assert_eq!(lent.len(), BULK_BUFFERS);
    }
}
