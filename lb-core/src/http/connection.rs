//! A client's connection from accept to close.
//!
//! Between requests it is an [`Idle`]: the socket and a few words, no buffer. While requests are served its state
//! moves into a future that is lent by the worker and used again, so that an idle connection does not carry an
//! exchange's size, and an exchange costs no allocation.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio_util::sync::ReusableBoxFuture;

use super::ends::ClientEnd;
use super::exchange::{Exchange, Next};
use super::h1::Connection;
use super::h2::{self, PREFACE};
use super::peer::Peer;
use super::scratch::Scratch;
use super::service::{EXCHANGES_RETAINED, Entry};
use super::upgraded::Upgraded;
use crate::metrics::Reason;
use crate::net::{ClientAddress, Entered, Pool, Registration, Secure, Stream, linger};

/// A client's connection: a future that ends when the connection does.
///
/// Written by hand, since an `async fn` would hold its arguments and its locals side by side.
pub(crate) struct ClientConnection {
    frontend: Arc<WorkerFrontend>,
    /// Absent until the first poll tells the task's waker.
    registration: Option<Registration>,
    state: State,
}

enum State {
    /// On its way through the frontend's entrance.
    Entering(Pin<Box<dyn Future<Output = After> + Send>>),
    Idle(Idle),
    Active(Active),
    Tunnel(Pin<Box<Upgraded>>),
    Multiplexed(Pin<Box<dyn Future<Output = ()> + Send>>),
    Closed,
}

/// Exchanges under way; in the end it gives back the memory that they used.
type Active = ReusableBoxFuture<'static, (After, Box<Scratch>)>;

/// A frontend on one worker, as its connections are made of it.
#[derive(Debug)]
pub(crate) struct WorkerFrontend {
    pub(crate) entry: Arc<Entry>,
    exchanges: Pool<PooledExchanges>,
}

/// What [`exchanges`] run in, lent by the worker: the memory of their future, and theirs.
#[derive(Debug)]
struct PooledExchanges {
    future: Active,
    scratch: Box<Scratch>,
}

/// A connection between two requests.
#[derive(Debug)]
pub(crate) struct Idle {
    stream: Stream,
    peer: Peer,
}

/// What a connection is after some exchanges.
pub(crate) enum After {
    Idle(Idle),
    Tunnel(Pin<Box<Upgraded>>),
    /// It carries several exchanges at a time.
    Multiplexed(Pin<Box<dyn Future<Output = ()> + Send>>),
    Closed,
}

impl WorkerFrontend {
    pub(crate) fn new(entry: Entry) -> Self {
        Self { entry: Arc::new(entry), exchanges: Pool::new(EXCHANGES_RETAINED) }
    }
}

impl ClientConnection {
    pub(crate) fn new(stream: Stream, client: ClientAddress, frontend: Arc<WorkerFrontend>) -> Self {
        let service = frontend.entry.service.load_full();
        let peer = Peer::new(client, &frontend.entry, &service);
        let idle = Idle { stream, peer };
        let state = if service.entrance.is_open() {
            State::Idle(idle)
        } else {
            State::Entering(Box::pin(enter(idle)))
        };
        Self { frontend, registration: None, state }
    }

    /// Lets [`exchanges`] run in memory that the worker lends.
    fn activate(&self, idle: Idle) -> State {
        State::Active(match self.frontend.exchanges.take() {
            Some(PooledExchanges { mut future, scratch }) => {
                future.set(exchanges(idle, scratch));
                future
            }
            None => ReusableBoxFuture::new(exchanges(idle, Box::default())),
        })
    }
}

impl State {
    fn after(after: After) -> Self {
        match after {
            After::Idle(idle) => Self::Idle(idle),
            After::Tunnel(tunnel) => Self::Tunnel(tunnel),
            After::Multiplexed(connection) => Self::Multiplexed(connection),
            After::Closed => Self::Closed,
        }
    }
}

impl Future for ClientConnection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.frontend.entry.connections.is_over(&mut this.registration, cx) {
            return Poll::Ready(());
        }
        loop {
            this.state = match &mut this.state {
                State::Entering(entering) => State::after(ready!(entering.as_mut().poll(cx))),
                State::Idle(idle) => {
                    let is_readable = ready!(idle.poll_readable(cx));
                    match std::mem::replace(&mut this.state, State::Closed) {
                        State::Idle(idle) if is_readable => this.activate(idle),
                        _ => return Poll::Ready(()),
                    }
                }
                State::Active(exchanges) => {
                    let (after, scratch) = ready!(exchanges.poll(cx));
                    if let State::Active(future) = std::mem::replace(&mut this.state, State::Closed) {
                        this.frontend.exchanges.put(PooledExchanges { future, scratch });
                    }
                    State::after(after)
                }
                State::Tunnel(tunnel) => return tunnel.as_mut().poll(cx),
                State::Multiplexed(connection) => return connection.as_mut().poll(cx),
                State::Closed => return Poll::Ready(()),
            };
        }
    }
}

impl Idle {
    /// Ready when the next request's first byte is there; false if there won't be one.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(true);
        }
        if self.peer.entry.connections.is_draining() && !self.peer.is_new {
            return Poll::Ready(false);
        }
        self.peer.poll_first_call(cx).map(|()| false)
    }
}

/// Goes through the frontend's entrance: the time for it is that of the first request's head.
async fn enter(idle: Idle) -> After {
    let Idle { stream, mut peer } = idle;
    let service = peer.entry.service.load_full();
    let (client, metrics) = (peer.client, &service.metrics);
    let mut entering = pin!(service.entrance.enter(stream, client, metrics));
    let entered = poll_fn(|cx| match entering.as_mut().poll(cx) {
        Poll::Ready(entered) => Poll::Ready(Ok(entered)),
        Poll::Pending => peer.poll_first_call(cx).map(Err),
    });
    let refused = match entered.await {
        Ok(Ok(Entered { stream, client, said })) => {
            (peer.client, peer.said) = (client, said);
            if stream.secure().and_then(Secure::protocol) == Some(h2::PROTOCOL) {
                return After::Multiplexed(Box::pin(h2::serve(stream, Bytes::new(), peer)));
            }
            return After::Idle(Idle { stream, peer });
        }
        Ok(Err(refused)) => refused,
        Err(()) => {
            if service.entrance.proxies.is_some() {
                metrics.error(Reason::ClientTimeout);
            }
            service.entrance.timed_out(client, metrics)
        }
    };
    if let Some((result, why)) = &refused.handshake {
        let client = refused.client.socket();
        peer.entry.shared.warnings.warn_of_handshake(&service.name, client, *result, why);
    }
    After::Closed
}

/// Serves requests until the client has sent no further one yet.
async fn exchanges(idle: Idle, mut scratch: Box<Scratch>) -> (After, Box<Scratch>) {
    (serve(idle, &mut scratch).await, scratch)
}

async fn serve(idle: Idle, scratch: &mut Scratch) -> After {
    let Idle { stream, mut peer } = idle;
    let shared = Arc::clone(&peer.entry.shared);
    let mut client = Connection::new(stream, &shared.resources);
    if peer.is_new && speaks_http2(&peer, &client) {
        match begins_with(&mut client, &mut peer, PREFACE).await {
            Some(true) => {
                let (stream, read) = client.into_read(&shared.resources);
                return After::Multiplexed(Box::pin(h2::serve(stream, read, peer)));
            }
            Some(false) => {}
            None => return After::Idle(Idle { stream: client.into_stream(&shared.resources), peer }),
        }
    }
    let (next, service) = loop {
        let service = peer.entry.service.load_full();
        match Exchange::new(&mut peer, &mut client, scratch, &service, &shared).run().await {
            Next::Request if client.has_more() => tokio::task::coop::consume_budget().await,
            next => break (next, service),
        }
    };
    match next {
        Next::Request => After::Idle(Idle { stream: client.into_stream(&shared.resources), peer }),
        Next::Close => {
            drop(client.into_stream(&shared.resources));
            After::Closed
        }
        Next::Linger => {
            drop(service);
            linger(client.into_stream(&shared.resources), &shared.resources).await;
            After::Closed
        }
        Next::Tunnel(server) => {
            let client = client.into_tunnel(&shared.resources);
            After::Tunnel(Box::pin(Upgraded::new(client, *server, peer, service, &shared)))
        }
    }
}

/// Whether HTTP/2 may begin here: not in clear text on a port of TLS.
fn speaks_http2(peer: &Peer, client: &Connection) -> bool {
    let service = peer.entry.service.load();
    service.http2 && (service.entrance.tls.is_none() || client.is_secure())
}

/// Whether the client begins with `preface`: known at its first other byte, or when it takes too long. None: it has
/// sent nothing yet.
async fn begins_with(client: &mut Connection, peer: &mut Peer, preface: &[u8]) -> Option<bool> {
    poll_fn(|cx| match client.poll_begins_with(cx, preface) {
        Poll::Ready(begins) => Poll::Ready(Some(begins)),
        Poll::Pending if !client.has_more() => Poll::Ready(None),
        Poll::Pending => peer.deadline.poll(cx).map(|()| Some(false)),
    })
    .await
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle(_) => "Idle",
            Self::Tunnel(_) => "Tunnel",
            Self::Multiplexed(_) => "Multiplexed",
            Self::Closed => "Closed",
        })
    }
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection").finish_non_exhaustive()
    }
}
