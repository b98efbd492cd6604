//! A byte stream that another connection carries among others.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

/// What a tunnel needs of such a stream.
pub(crate) trait Carried: fmt::Debug + Send + Sync {
    /// Ready when there are bytes, the end of the stream, or an error.
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads some bytes; none at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// Takes some bytes, as the peer has room for them.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// An error if the peer has given the stream up.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our direction.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Lets the peer tell that what it got is not the whole.
    fn reset(&mut self);
}
