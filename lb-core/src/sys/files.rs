//! The limit on open files, and how many there are.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard limit and returns what holds now (`None`: no limit).
///
/// A proxy needs two descriptors for each connection; the usual soft limit of 1,024 dates from select(2).
pub(crate) fn raise_open_files_limit() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum)
}

/// The limit that holds (`None`: no limit).
pub(crate) fn open_files_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// A descriptor's number: so many are open at least, since the kernel gives out the least that is free.
pub(crate) fn number(descriptor: BorrowedFd<'_>) -> u64 {
    // Never negative.
    u64::try_from(descriptor.as_raw_fd()).unwrap_or(0)
}

/// The number that the next descriptor will have; `None` where there are no more. `any` is one that is open.
pub(crate) fn next_number(any: BorrowedFd<'_>) -> Option<u64> {
    let next = fcntl_dupfd_cloexec(any, 0).ok()?;
    Some(number(next.as_fd()))
}
