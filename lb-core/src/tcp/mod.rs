//! The L4 journey: a connection is accepted, a server chosen and reached, and bytes pass both ways until both sides
//! have closed.
//!
//! A ClientHello is read only where a route asks for what is in it; it goes on to the server as it came.
//!
//! Reaching a server is the large part of a connection's state and the short part of its life, so it is a future of
//! its own that is gone once the tunnel stands.

mod entering;
mod names;
mod service;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::access_log::AccessEntry;
use crate::backend::{PickInput, Server};
use crate::metrics::{OpenConnection, Reason};
use crate::net::{
    Buffer, ClientAddress, Deadline, Introduction, Registration, Said, Stream, Tunnel, TunnelEnd,
};
use crate::upstream::{Lease, LeaseError, Upstream};

use entering::{Arrived, enter};
pub(crate) use names::{NamePattern, Names, Wanted};
pub(crate) use service::{Entry, Service};

/// How long a tunnel may be silent unless somebody says otherwise: a database thinks for minutes, and pools of
/// connections to it are silent for longer.
pub(crate) const IDLE: Duration = Duration::from_secs(3600);

/// A client's connection: a future that ends when the connection does.
pub(crate) struct ClientConnection {
    entry: Arc<Entry>,
    registration: Option<Registration>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "the large one is the one that lasts")]
enum State {
    Reaching(Pin<Box<dyn Future<Output = Option<Joined>> + Send>>),
    Joined(Joined),
}

/// A client and a server with a tunnel between them.
struct Joined {
    client: Stream,
    server: Stream,
    tunnel: Tunnel,
    deadline: Deadline,
    service: Arc<Service>,
    record: Record,
    /// What has been counted so far.
    counted: (u64, u64),
    lease: Lease,
    _open: OpenConnection,
}

/// What the access log says in the end.
struct Record {
    client: ClientAddress,
    accepted: Instant,
    connect: Option<Duration>,
    retries: u32,
}

impl ClientConnection {
    pub(crate) fn new(stream: Stream, client: ClientAddress, entry: Arc<Entry>) -> Self {
        let service = entry.service.load_full();
        let open = service.metrics.connection_opened();
        let record = Record { client, accepted: Instant::now(), connect: None, retries: 0 };
        let reaching = Box::pin(reach(stream, service, record, Arc::clone(&entry), open));
        Self { entry, registration: None, state: State::Reaching(reaching) }
    }
}

impl Future for ClientConnection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.entry.connections.is_over(&mut this.registration, cx) {
            return Poll::Ready(());
        }
        loop {
            match &mut this.state {
                State::Reaching(reaching) => match reaching.as_mut().poll(cx) {
                    Poll::Ready(Some(joined)) => this.state = State::Joined(joined),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                },
                State::Joined(joined) => return joined.poll(cx, &this.entry),
            }
        }
    }
}

/// Takes a client in, finds a server that answers and joins the client to it. Where none does, the client is reset,
/// which it can tell from a server that had nothing to say.
async fn reach(
    client: Stream,
    service: Arc<Service>,
    mut record: Record,
    entry: Arc<Entry>,
    open: OpenConnection,
) -> Option<Joined> {
    let Arrived { mut client, address, said, read, place } =
        match enter(client, &service, record.client, &entry).await {
            Ok(arrived) => arrived,
            Err(reason) => {
                if let Some(reason) = reason {
                    service.metrics.error(reason);
                }
                record.log(&service, &entry, None, None, reason, (0, 0));
                return None;
            }
        };
    record.client = address;
    let upstream = &service.upstreams[place];
    let said = upstream.introduces_clients().then(|| Said::of(&client, said.as_deref()));
    let (server, lease) = match connect(upstream, said.as_ref(), &mut record).await {
        Ok(connected) => connected,
        Err((reason, last)) => {
            client.reset_on_close();
            service.metrics.error(reason);
            let server = last.as_ref().map(|server| &**server.name());
            record.log(&service, &entry, Some(upstream.backend().name()), server, Some(reason), (0, 0));
            return None;
        }
    };
    for end in [&client, &server] {
        end.keep_alive(service.keepalive);
    }
    let deadline = Deadline::at(Instant::now() + service.idle);
    let tunnel = match read {
        Some(read) => Tunnel::with_read(read, Buffer::new(0), &entry.resources),
        None => Tunnel::default(),
    };
    let counted = (0, 0);
    Some(Joined { client, server, tunnel, deadline, service, record, counted, lease, _open: open })
}

/// A connection to a server; where there is none, why, and the server that was tried last.
async fn connect(
    upstream: &Upstream,
    said: Option<&Said>,
    record: &mut Record,
) -> Result<(Stream, Lease), (Reason, Option<Arc<Server>>)> {
    let input = PickInput { client: record.client.ip(), ..PickInput::default() };
    let introduction = Introduction { client: record.client.socket(), said };
    let mut tried = Vec::new();
    upstream.count_request();
    let mut leased = match upstream.try_lease(&input, &[]) {
        Ok(lease) => Ok(lease),
        Err(refused) => upstream.wait_for_lease(&input, &[], refused).await.map_err(reason_of),
    };
    loop {
        let lease = match leased {
            Ok(lease) => lease,
            Err(reason) => return Err((reason, tried.pop())),
        };
        match upstream.connect(&lease, introduction).await {
            Ok((server, took)) => {
                record.connect = Some(took);
                return Ok((server, lease));
            }
            Err(error) => {
                tracing::debug!(server = %lease.server().name(), %error, "can't connect");
                tried.push(Arc::clone(lease.server()));
                drop(lease);
                let another = upstream.lease_another(&input, &tried, record.retries).await;
                if another.is_some() {
                    record.retries += 1;
                    upstream.metrics().retry();
                }
                leased = another.ok_or(error.reason());
            }
        }
    }
}

fn reason_of(error: LeaseError) -> Reason {
    match error {
        LeaseError::NoServer => Reason::NoServer,
        LeaseError::QueueTimeout => Reason::QueueTimeout,
    }
}

impl Joined {
    fn poll(&mut self, cx: &mut Context<'_>, entry: &Entry) -> Poll<()> {
        let polled = self.tunnel.poll(cx, &mut self.client, &mut self.server, &entry.resources);
        let moved = (self.tunnel.moved_up(), self.tunnel.moved_down());
        if moved != self.counted {
            self.service.metrics.received(moved.0 - self.counted.0);
            self.service.metrics.sent(moved.1 - self.counted.1);
            self.counted = moved;
            self.deadline.set(Instant::now() + self.service.idle);
        }
        let reason = match polled {
            Poll::Ready(TunnelEnd::Closed) => None,
            Poll::Ready(TunnelEnd::BrokenOff) => {
                self.client.reset_on_close();
                self.server.reset_on_close();
                None
            }
            Poll::Ready(TunnelEnd::ClientFailed(error)) => {
                tracing::debug!(%error, "the client's connection failed");
                self.server.reset_on_close();
                Some(Reason::ClientAbort)
            }
            Poll::Ready(TunnelEnd::ServerFailed(error)) => {
                tracing::debug!(%error, server = %self.lease.server().name(), "the server's connection failed");
                self.client.reset_on_close();
                Some(Reason::ServerAbort)
            }
            Poll::Pending => {
                if self.deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Some(Reason::IdleTimeout)
            }
        };
        if let Some(reason) = reason {
            self.service.metrics.error(reason);
        }
        let server = self.lease.server();
        self.record.log(&self.service, entry, Some(server.backend()), Some(server.name()), reason, moved);
        Poll::Ready(())
    }
}

impl Record {
    fn log(
        &self,
        service: &Service,
        entry: &Entry,
        backend: Option<&str>,
        server: Option<&str>,
        reason: Option<Reason>,
        (received_bytes, sent_bytes): (u64, u64),
    ) {
        let duration = self.accepted.elapsed();
        let line = AccessEntry {
            worker: entry.worker,
            time: SystemTime::now() - duration,
            client: self.client.socket(),
            frontend: &service.name,
            backend,
            server,
            reason,
            received_bytes,
            sent_bytes,
            duration,
            connect: self.connect,
            retries: self.retries,
            ..AccessEntry::default()
        };
        entry.warnings.warn(&line);
        if let Some(log) = &service.access_log {
            log.record(&line);
        }
    }
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection").finish_non_exhaustive()
    }
}
