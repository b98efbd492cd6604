//! A server's end of an exchange, whatever its protocol.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::body::{Behind, Payload, Sink, Source, SourceError};
use super::ends::{HeadError, HeadLimits, ServerEnd};
use super::h1::Connection;
use super::h2::{PROTOCOL, SentStream, Sessions, Slot};
use super::head::{Asked, ResponseHead};
use super::outgoing::OutgoingRequest;
use crate::net::{Buffer, Introduction, Resources, Stream};
use crate::upstream::{ConnectError, Lease, Upstream};

/// A way to a leased server, for one exchange.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "the plain path is not to allocate, and lives where it is made")]
pub(crate) enum Server {
    /// A connection of its own.
    Alone(Connection),
    /// A stream of a connection that other exchanges use, too.
    Among(Box<SentStream>),
}

impl Server {
    /// Over an open connection, at once, if there is one.
    pub(crate) fn reuse(upstream: &Upstream, lease: &Lease, resources: &Resources) -> Option<Self> {
        if upstream.backend().http2()
            && let Some(slot) = Sessions::of(lease.endpoint()).take()
        {
            upstream.reused(lease);
            return Some(Self::among(slot, resources));
        }
        upstream.reuse(lease).map(|stream| Self::Alone(Connection::new(stream, resources)))
    }

    /// Over a fresh connection, and how long it took; or over one that was opened meanwhile, if it can be shared.
    pub(crate) async fn connect(
        upstream: &Upstream,
        lease: &Lease,
        client: Introduction<'_>,
        resources: &Resources,
    ) -> Result<(Self, Option<Duration>), ConnectError> {
        if upstream.backend().http2() {
            return Box::pin(Self::connect_shared(upstream, lease, resources)).await;
        }
        let (stream, took) = upstream.connect(lease, client).await?;
        Ok((Self::Alone(Connection::new(stream, resources)), Some(took)))
    }

    async fn connect_shared(
        upstream: &Upstream,
        lease: &Lease,
        resources: &Resources,
    ) -> Result<(Self, Option<Duration>), ConnectError> {
        let sessions = Sessions::of(lease.endpoint());
        // Who waits as long as connecting may take, and nobody is served, waits for a server that can't be reached.
        let allowed = upstream.backend().timeouts().connect;
        let mut opening = pin!(sessions.opening());
        let mut served = sessions.served();
        let _opening = loop {
            match tokio::time::timeout(allowed, opening.as_mut()).await {
                Ok(opening) => break opening,
                Err(_) if sessions.served() == served => return Err(ConnectError::Timeout),
                Err(_) => served = sessions.served(),
            }
        };
        if let Some(slot) = sessions.take() {
            // Who waits behind this one waits for a server that can be reached.
            sessions.count_served();
            upstream.reused(lease);
            return Ok((Self::among(slot, resources), None));
        }
        // Several clients share it: building the backend has made sure that none is to be introduced.
        let (stream, took) = upstream.connect(lease, Introduction::default()).await?;
        if stream.secure().is_some() && stream.alpn() != Some(PROTOCOL) {
            return Ok((Self::Alone(Connection::new(stream, resources)), Some(took)));
        }
        let idle_timeout = upstream.backend().pool().idle_timeout;
        let slot = sessions.open(stream, idle_timeout).await.map_err(ConnectError::Io)?;
        Ok((Self::among(slot, resources), Some(took)))
    }

    fn among(slot: Slot, resources: &Resources) -> Self {
        Self::Among(Box::new(SentStream::new(slot, resources)))
    }

    /// Whether it can become a tunnel.
    pub(crate) fn can_tunnel(&self) -> bool {
        match self {
            Self::Alone(_) => true,
            Self::Among(stream) => stream.is_tunnel(),
        }
    }

    /// Its server has been silent for too long: further exchanges don't wait at this connection.
    pub(crate) fn distrust(&self) {
        match self {
            Self::Alone(_) => {}
            Self::Among(stream) => stream.retire(),
        }
    }

    /// For a tunnel: the stream, and the buffer with what was read beyond the head.
    pub(crate) fn into_tunnel(self, resources: &Resources) -> Option<(Stream, Buffer)> {
        match self {
            Self::Alone(connection) => Some(connection.into_tunnel(resources)),
            Self::Among(stream) => stream.into_tunnel(resources),
        }
    }

    /// Gives back what was lent. `reusable_since`: the exchange ended in order then.
    pub(crate) fn release(
        self,
        upstream: &Upstream,
        lease: &Lease,
        resources: &Resources,
        reusable_since: Option<Instant>,
    ) {
        match self {
            Self::Alone(connection) => {
                let stream = connection.into_stream(resources);
                if let Some(now) = reusable_since {
                    upstream.keep(lease, stream, now);
                }
            }
            Self::Among(stream) => stream.end(resources),
        }
    }
}

/// Calls the method of whichever it is.
macro_rules! either {
    ($server:expr, $end:ident => $call:expr) => {
        match $server {
            Server::Alone($end) => $call,
            Server::Among(stream) => {
                let $end = &mut **stream;
                $call
            }
        }
    };
    (ref $server:expr, $end:ident => $call:expr) => {
        match $server {
            Server::Alone($end) => $call,
            Server::Among(stream) => {
                let $end = &**stream;
                $call
            }
        }
    };
}

impl ServerEnd for Server {
    fn write_request(&mut self, request: OutgoingRequest<'_>) {
        either!(self, end => end.write_request(request))
    }

    fn has_written(&self) -> bool {
        either!(ref self, end => ServerEnd::has_written(end))
    }

    fn is_flushed(&self) -> bool {
        either!(ref self, end => end.is_flushed())
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadError>> {
        either!(self, end => end.poll_response(cx, limits, asked, head))
    }

    fn head_bytes(&self) -> &[u8] {
        either!(ref self, end => ServerEnd::head_bytes(end))
    }

    fn has_more(&self) -> bool {
        either!(ref self, end => ServerEnd::has_more(end))
    }

    fn is_body_ended(&self) -> bool {
        either!(ref self, end => ServerEnd::is_body_ended(end))
    }
}

impl Source for Server {
    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<Result<Payload, SourceError>> {
        either!(self, end => end.poll_payload(cx))
    }

    fn make_room(&mut self, resources: &Resources) {
        either!(self, end => end.make_room(resources));
    }

    fn payload(&self) -> &[u8] {
        either!(ref self, end => end.payload())
    }

    fn consume(&mut self, count: usize) {
        either!(self, end => end.consume(count));
    }

    fn trailers(&self) -> &[u8] {
        either!(ref self, end => end.trailers())
    }

    fn unread(&mut self) -> Option<(&mut Stream, u64)> {
        either!(self, end => end.unread())
    }

    fn behind_payload(&mut self, cx: &mut Context<'_>) -> Behind {
        either!(self, end => end.behind_payload(cx))
    }

    fn was_read(&mut self, count: u64, is_ended: bool) -> Result<(), SourceError> {
        either!(self, end => end.was_read(count, is_ended))
    }
}

impl Sink for Server {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        is_last: bool,
        trailers: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, end => end.poll_send(cx, payload, is_last, trailers))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, end => Sink::poll_flush(end, cx))
    }

    fn hold_back(&mut self, behind: Behind) -> bool {
        either!(self, end => end.hold_back(behind))
    }

    fn unframed(&mut self) -> Option<&mut Stream> {
        either!(self, end => end.unframed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, sleep};

    use super::*;
    use crate::backend::{Backend, BackendTimeouts, PickInput, Roster};
    use crate::metrics::Metrics;
    use crate::upstream::SharedBackend;

    const CONNECT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_one_that_was_served_waits_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let timeouts = BackendTimeouts::default().connect(CONNECT);
        let backend =
            Backend::builder("shop").server(&*address).http2(true).timeouts(timeouts).build().unwrap();
        let (roster, queue) = (Roster::new(&backend), Arc::default());
        let shared = SharedBackend { backend, roster, queue };
        let upstream = Upstream::new(&shared, None, &Metrics::new(1), 0);
        let lease = upstream.try_lease(&PickInput::default(), &[]).unwrap();
        let resources = Resources::new();
        let sessions = Sessions::of(lease.endpoint());
        let stream = crate::net::Socket::Tcp(TcpStream::connect(&address).await.unwrap()).into();
        drop(sessions.open(stream, Duration::from_secs(60)).await.unwrap());

        // Those before and between the two are slow to connect, or many.
        let before = sessions.opening().await;
        let first = async {
            Server::connect_shared(&upstream, &lease, &resources).await.unwrap();
        };
        let between = async {
            let between = sessions.opening().await;
            sleep(CONNECT / 2).await;
            drop(between);
        };
        let last = async {
            sleep(CONNECT / 4).await;
            let room = Server::connect_shared(&upstream, &lease, &resources).await;
            assert!(matches!(room, Ok((Server::Among(_), None))), "{room:?}");
        };
        let begin = async {
            sleep(CONNECT * 9 / 10).await;
            drop(before);
        };
        tokio::join!(first, between, last, begin);
    }
}
