//! Closing a connection whose peer may still be sending.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::{Deadline, Fill, Resources, Stream};

/// How long and how much of what the peer still sends is thrown away.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// Ends our direction and throws away what the peer still sends, for a while.
///
/// Closing a socket that has unread bytes makes the kernel send a reset, which can destroy the answer that the peer
/// has not read yet (RFC 9112 section 9.6).
pub(crate) async fn linger(mut stream: Stream, resources: &Resources) {
    let mut deadline = Deadline::at(Instant::now() + LINGER_TIME);
    let mut buffer = resources.take_buffer();
    let mut discarded = 0;
    let _peer_may_be_gone = poll_fn(|cx| stream.poll_shutdown(cx)).await;
    poll_fn(|cx| {
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while discarded < LINGER_BYTES {
            match ready!(buffer.poll_fill(cx, &mut stream, usize::MAX)) {
                Ok(Fill::Bytes(count)) => discarded += count,
                Ok(Fill::End | Fill::Full) | Err(_) => break,
            }
            buffer.consume(buffer.filled().len());
        }
        Poll::Ready(())
    })
    .await;
    resources.put_buffer(buffer);
}
