//! The access log: a line for each exchange and each tunnel, written without delaying either.
//!
//! A log is told once per exchange or connection, when it is over, whatever came of it. [`WriterLog`] renders
//! lines as JSON or in the formats of Apache's log and hands them to a thread of its own; other logs implement
//! [`AccessLog`]. What clients chose (targets, hosts, agents) is escaped in each format, so that nobody forges a
//! line or an escape sequence of a terminal.
//!
//! Left out on purpose: rotation and files, which belong to who reads standard output, and formats to configure.

mod escape;
mod format;
mod stamp;
mod warnings;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use format::Format;
pub use writer::WriterLog;

pub(crate) use stamp::Stamp;
pub(crate) use warnings::Warnings;

use crate::metrics::Reason;

/// Is told of every exchange and every tunnel once it is over.
///
/// Called by workers, many at once, between two requests: an implementation must not wait.
pub trait AccessLog: Send + Sync {
    /// Takes note of one exchange or tunnel.
    fn record(&self, entry: &AccessEntry<'_>);

    /// Waits until what was recorded is written, for a bounded time: called once, when the proxy has drained.
    fn flush(&self) {}

    /// How many entries were lost since the start, for `lb_access_log_lost_total`.
    fn lost(&self) -> u64 {
        0
    }
}

impl<T: AccessLog + ?Sized> AccessLog for Arc<T> {
    fn record(&self, entry: &AccessEntry<'_>) {
        (**self).record(entry);
    }

    fn flush(&self) {
        (**self).flush();
    }

    fn lost(&self) -> u64 {
        (**self).lost()
    }
}

/// What there is to say about one exchange or tunnel. The bytes are as the client sent them: not to be trusted,
/// perhaps not UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct AccessEntry<'a> {
    /// The worker that served it. Only for logs that keep something per worker.
    pub worker: usize,
    /// When it began.
    pub time: SystemTime,
    /// Where the client's connection comes from; none on a Unix socket.
    pub client: Option<SocketAddr>,
    /// Name of the frontend.
    pub frontend: &'a str,
    /// Name of the backend, if it came to choosing one.
    pub backend: Option<&'a str>,
    /// Name of the last server tried, if it came to choosing one.
    pub server: Option<&'a str>,
    /// The request; none in mode tcp, and where no head could be read.
    pub request: Option<AccessRequest<'a>>,
    /// Status of the response that the client got; none where it got none.
    pub status: Option<u16>,
    /// What went wrong, if anything did.
    pub reason: Option<Reason>,
    /// Bytes received from the client, head included.
    pub received_bytes: u64,
    /// Bytes sent to the client, head included.
    pub sent_bytes: u64,
    /// From the first byte of the request, or from accept in mode tcp, to the last byte sent.
    pub duration: Duration,
    /// Time to open the connection to the server; none if an idle one was taken.
    pub connect: Option<Duration>,
    /// From the last byte of the request's head to the first byte of the server's response.
    pub first_byte: Option<Duration>,
    /// How often it was tried again.
    pub retries: u32,
}

impl Default for AccessEntry<'_> {
    /// An entry with nothing in it, at the beginning of 1970: for `..AccessEntry::default()`.
    fn default() -> Self {
        Self {
            worker: 0,
            time: SystemTime::UNIX_EPOCH,
            client: None,
            frontend: "",
            backend: None,
            server: None,
            request: None,
            status: None,
            reason: None,
            received_bytes: 0,
            sent_bytes: 0,
            duration: Duration::ZERO,
            connect: None,
            first_byte: None,
            retries: 0,
        }
    }
}

/// The request of an exchange, as the client sent it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessRequest<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its target, before rewriting.
    pub target: &'a [u8],
    /// Its version, such as `HTTP/1.1`.
    pub version: &'a str,
    /// Its Host field or authority.
    pub host: Option<&'a [u8]>,
    /// Its Referer field.
    pub referer: Option<&'a [u8]>,
    /// Its User-Agent field.
    pub user_agent: Option<&'a [u8]>,
}
