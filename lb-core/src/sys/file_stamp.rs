//! Whether a file is still the one that was looked at.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What differs when a file or its mode is changed, when it is replaced, or when another one is mounted over it
/// (stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    /// In seconds and nanoseconds, as `changed`.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            length: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}
