//! A pipe as the kernel's own buffer between two sockets (splice(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

/// A non-blocking pipe whose size was asked for.
///
/// The size is not a bound on the bytes in flight: a pipe holds slots (a page's worth of size each), and a slot may
/// refer to a fragment larger than a page.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    _counted: Arc<()>,
}

impl Pipe {
    /// Makes a pipe, of `size` bytes where the kernel allows it. A process over its `pipe-user-pages-soft`
    /// (pipe(7)) gets a smaller pipe rather than an error: slower, never wrong.
    ///
    /// For as long as it exists it holds `counted`, so that who makes pipes can tell how many there are.
    pub(crate) fn new(size: usize, counted: &Arc<()>) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _smaller_is_fine = fcntl_setpipe_size(&write, size);
        Ok(Self { read, write, _counted: Arc::clone(counted) })
    }

    /// The end that bytes go into.
    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }

    /// The end that bytes come out of.
    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Moves up to `length` bytes between a pipe and a socket without copying them through user space.
///
/// 0 is the end of the stream. `WouldBlock` has two causes, an empty source and a full destination: the caller must
/// know which, by knowing whether its pipe was empty.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
    loop {
        match rustix::pipe::splice(from, None, to, None, length, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
