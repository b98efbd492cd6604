//! The connections to one server that carry several exchanges at a time.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::sync::MutexGuard;

use super::body::io_error;
use super::io::{Home, Io};
use crate::net::{Secure, Stream, Terms};
use crate::upstream::Endpoint;

/// Streams that one connection carries at most, however many more its server allows: what a lost connection takes
/// with it is bounded.
const MAX_STREAMS: usize = 100;
/// What a server may send of one body before some of it has been passed on. The connection's window has room for all
/// of its streams, so that clients that don't read hold up no others.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// What waits in memory of one request for a server that is slower than its client.
const SEND_BUFFER: usize = 64 * 1024;
/// A response's head, trailers likewise.
const HEAD_BYTES: u32 = 64 * 1024;
/// How long a connection that is no longer used may take to say so.
const GRACE: Duration = Duration::from_secs(1);

/// One worker's connections to one server. Opened by need, closed when they have been idle as long as a pooled one may
/// be, retired when their server says that they are to go, or when what TLS was begun by is renewed.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<Vec<Session>>,
    /// Held while one is opened: who needs one meanwhile waits for it.
    opening: tokio::sync::Mutex<()>,
    /// How many of those who waited have been served, by a new connection or by room on one. Counter only.
    served: AtomicUsize,
}

#[derive(Debug)]
struct Session {
    requests: SendRequest<Bytes>,
    load: Arc<Load>,
}

#[derive(Debug, Default)]
struct Load {
    /// Counter only.
    streams: AtomicUsize,
    /// A stream was opened since somebody last looked. Nothing else is published by it.
    is_used: AtomicBool,
    /// No stream is to be opened any more. Nothing else is published by it.
    is_retired: AtomicBool,
    /// A request was or will be sent that has to be rewritten on its way out.
    has_stand_ins: Arc<AtomicBool>,
    /// Under TLS.
    terms: Option<Terms>,
    /// By which who needs to know has heard the server's settings; absent once that is so.
    ping: tokio::sync::Mutex<Option<PingPong>>,
}

/// Room for one stream on a connection, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) requests: SendRequest<Bytes>,
    load: Arc<Load>,
}

impl Sessions {
    /// Those to `endpoint`, kept there beside its pool.
    pub(crate) fn of(endpoint: &Endpoint) -> Arc<Self> {
        endpoint.attachment()
    }

    /// Room on a connection that is open, if there is any.
    pub(crate) fn take(&self) -> Option<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain_mut(Session::is_alive);
        open.iter().find(|session| session.has_room()).map(Session::slot)
    }

    /// Waits until nobody opens a connection, and lets nobody else while it is held.
    pub(crate) async fn opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// How many of those who waited have been served so far.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    pub(crate) fn count_served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to speak HTTP/2 over `stream`. Has no deadline of its own: it waits for no word of the server.
    pub(crate) async fn open(self: &Arc<Self>, stream: Stream, idle_timeout: Duration) -> io::Result<Slot> {
        let terms = stream.secure().and_then(Secure::terms).cloned();
        let has_stand_ins = Arc::new(AtomicBool::new(false));
        let io = Io::new(stream, Arc::clone(&has_stand_ins));
        let home = io.home();
        let shaken = builder().handshake::<_, Bytes>(io).await;
        let (requests, mut connection) = shaken.map_err(io_error)?;
        let ping = tokio::sync::Mutex::new(connection.ping_pong());
        let load = Arc::new(Load { has_stand_ins, terms, ping, ..Load::default() });
        tokio::spawn(drive(connection, home, Arc::downgrade(self), Arc::clone(&load), idle_timeout));
        let session = Session { requests, load };
        let slot = session.slot();
        self.count_served();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        Ok(slot)
    }

    /// Lets go of a connection that nobody uses; false if somebody does.
    fn remove_idle(&self, load: &Arc<Load>) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = load.streams.load(Ordering::Relaxed) == 0;
        if is_idle {
            open.retain(|session| !Arc::ptr_eq(&session.load, load));
        }
        is_idle
    }
}

impl Session {
    fn is_alive(&mut self) -> bool {
        // An error: it has failed, or its server has said GOAWAY.
        let mut cx = Context::from_waker(Waker::noop());
        let has_failed = matches!(self.requests.poll_ready(&mut cx), Poll::Ready(Err(_)));
        let is_believed = self.load.terms.as_ref().is_none_or(Terms::hold);
        !has_failed && is_believed && !self.load.is_retired.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        let max = self.requests.current_max_send_streams().min(MAX_STREAMS);
        self.load.streams.load(Ordering::Relaxed) < max
    }

    /// To be called with the lock of [`Sessions::open`] held.
    fn slot(&self) -> Slot {
        self.load.streams.fetch_add(1, Ordering::Relaxed);
        self.load.is_used.store(true, Ordering::Relaxed);
        Slot { requests: self.requests.clone(), load: Arc::clone(&self.load) }
    }
}

impl Slot {
    /// No further stream is opened on this connection.
    pub(super) fn retire(&self) {
        self.load.is_retired.store(true, Ordering::Relaxed);
    }

    /// Resolves when the server's settings are known: they come before its answer to a PING (RFC 9113 section 3.4).
    pub(super) fn greeted(&self) -> impl Future<Output = ()> + Send + 'static {
        let load = Arc::clone(&self.load);
        async move {
            let mut ping = load.ping.lock().await;
            if let Some(ping_pong) = &mut *ping {
                // Where it fails, so does whatever is sent next.
                let _ = ping_pong.ping(Ping::opaque()).await;
            }
            *ping = None;
        }
    }

    /// To be called before such a request is sent ([`super::stand_in`]).
    pub(super) fn expect_stand_in(&self) {
        self.load.has_stand_ins.store(true, Ordering::Relaxed);
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.load.terms.is_some() { "https" } else { "http" }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.load.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD_BYTES);
    builder
}

/// A connection's task: it ends with the connection, or lets go of it when it has been idle.
async fn drive(
    mut connection: Connection<Io, Bytes>,
    home: Home,
    sessions: Weak<Sessions>,
    load: Arc<Load>,
    idle_timeout: Duration,
) {
    let mut driven = pin!(poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Pending => match home.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        },
        Poll::Ready(ended) => Poll::Ready(ended.map_err(io_error)),
    }));
    loop {
        match tokio::time::timeout(idle_timeout, driven.as_mut()).await {
            Ok(ended) => {
                load.is_retired.store(true, Ordering::Relaxed);
                if let Err(error) = ended {
                    tracing::debug!(%error, "HTTP/2 connection to a server failed");
                }
                return;
            }
            Err(_) if load.is_used.swap(false, Ordering::Relaxed) => {}
            Err(_) if sessions.upgrade().is_none_or(|sessions| sessions.remove_idle(&load)) => {
                let _unsaid = tokio::time::timeout(GRACE, driven).await;
                return;
            }
            Err(_) => {}
        }
    }
}
