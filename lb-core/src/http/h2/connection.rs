//! A client's HTTP/2 connection: it drives the frames, and each stream is an exchange in a task of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, server};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::io::{Home, Io};
use super::origin::Origin;
use super::pseudo::STAND_IN_SIZE;
use super::served::ServedStream;
use super::traffic::Fault;
use crate::http::exchange::{Exchange, Next};
use crate::http::peer::Peer;
use crate::http::service::Service;
use crate::http::upgraded::Upgraded;
use crate::net::{Stream, linger};

/// Streams that a client may have open at a time; what it opens beyond them is refused. RFC 9113 section 6.5.2 asks
/// for no fewer than 100.
const MAX_STREAMS: u32 = 100;
/// What a client may send of one body, and of all its bodies, before some of it has been passed on.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits in memory of one response for a client that is slower than its server.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may reset in a row before the connection ends: opening costs it nothing, and us a request
/// (CVE-2023-44487). Each stream that is served to its end takes one back.
const MAX_RESETS: u32 = 100;
/// How long a client that was told to go may take to answer that, and exchanges of one that is gone may take to learn
/// of it.
const GRACE: Duration = Duration::from_secs(1);

/// How a stream's task ended.
struct Ended {
    stream: u32,
    was_reset: bool,
}

/// A connection past its preface.
struct Connection {
    frames: server::Connection<Io, Bytes>,
    streams: JoinSet<Ended>,
    /// Their numbers.
    open: Vec<u32>,
    /// Where what the client does wrong shows.
    home: Home,
    peer: Peer,
    origin: Arc<Origin>,
    /// Streams that were reset, less those that were not.
    resets: u32,
    /// The client was told to open no more streams.
    is_leaving: bool,
}

/// Serves a client's connection, of which `read` was read already, to its end.
pub(crate) async fn serve(stream: Stream, read: Bytes, peer: Peer) {
    // Boxed, each for as long as it is needed: this future waits as long as the connection is there.
    if let Some(mut connection) = Box::pin(shake_hands(stream, read, peer)).await {
        poll_fn(|cx| connection.poll(cx)).await;
        Box::pin(part(connection)).await;
    }
}

/// Exchanges prefaces.
async fn shake_hands(stream: Stream, read: Bytes, mut peer: Peer) -> Option<Box<Connection>> {
    let service = peer.entry.service.load_full();
    let origin = Arc::new(Origin::of(&stream, peer.said.as_deref()));
    let io = Io::watched(stream, read, service.limits.head_bytes);
    let home = io.home();
    let mut handshake = pin!(builder(&service).handshake::<_, Bytes>(io));
    let shaken = poll_fn(|cx| match handshake.as_mut().poll(cx) {
        Poll::Ready(shaken) => Poll::Ready(Some(shaken)),
        Poll::Pending => {
            // Where it fails, so does the handshake. The time for it is that of the first request's head.
            let _our_preface = home.poll_flush(cx);
            peer.deadline.poll(cx).map(|()| None)
        }
    });
    match shaken.await? {
        Ok(frames) => {
            let (streams, open) = (JoinSet::new(), Vec::new());
            Some(Box::new(Connection {
                frames,
                streams,
                open,
                home,
                peer,
                origin,
                resets: 0,
                is_leaving: false,
            }))
        }
        Err(error) => {
            tracing::debug!(client = %peer.client, %error, "no HTTP/2 preface");
            None
        }
    }
}

/// Sees the streams of a connection that has ended to their ends, and closes it.
async fn part(connection: Box<Connection>) {
    let Connection { frames, mut streams, home, peer, .. } = *connection;
    // Its streams learn of it by this, and have their exchanges counted and logged.
    drop(frames);
    let ended = async { while streams.join_next().await.is_some() {} };
    let _aborted_in_the_end = tokio::time::timeout(GRACE, ended).await;
    // A close that meets a window update resets the connection, and what the client has not read yet is lost.
    if let Some(stream) = home.take() {
        linger(stream, &peer.entry.shared.resources).await;
    }
}

fn builder(service: &Service) -> server::Builder {
    let head_bytes = u32::try_from(service.limits.head_bytes).unwrap_or(u32::MAX);
    let mut builder = server::Builder::new();
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(head_bytes.saturating_add(STAND_IN_SIZE));
    builder
}

impl Connection {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_frames(cx);
        if polled.is_pending()
            && let Poll::Ready(Err(error)) = self.home.poll_flush(cx)
        {
            tracing::debug!(client = %self.peer.client, %error, "HTTP/2 connection failed");
            return Poll::Ready(());
        }
        polled
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.reap(cx);
            if self.peer.entry.connections.is_draining() {
                self.leave();
            }
            let accepted = self.frames.poll_accept(cx);
            if let Some(reason) = self.take_fault() {
                self.frames.abrupt_shutdown(reason);
                continue;
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.peer.is_new = false;
                    self.open.push(respond.stream_id().as_u32());
                    let stream =
                        ServedStream::new(request, respond, Arc::clone(&self.origin), self.resources());
                    self.streams.spawn(exchange(stream, self.peer.of_stream()));
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(client = %self.peer.client, %error, "HTTP/2 connection failed");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if !self.streams.is_empty() => return Poll::Pending,
                Poll::Pending => match self.peer.deadline.poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) if self.is_leaving => return Poll::Ready(()),
                    Poll::Ready(()) => self.leave(),
                },
            }
        }
    }

    /// Looks at the streams that have ended.
    fn reap(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(ended)) = self.streams.poll_join_next(cx) {
            if let Ok(ended) = &ended {
                self.open.retain(|stream| *stream != ended.stream);
            }
            self.resets = match ended {
                Ok(Ended { was_reset: true, .. }) => self.resets + 1,
                _ => self.resets.saturating_sub(1),
            };
            if self.resets > MAX_RESETS {
                self.frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            if self.streams.is_empty() {
                let service = self.peer.entry.service.load();
                let wait = if self.is_leaving { GRACE } else { service.timeouts.idle };
                self.peer.deadline.set(Instant::now() + wait);
            }
        }
    }

    /// Why the connection has to end for what the client has sent.
    fn take_fault(&self) -> Option<Reason> {
        match self.home.take_fault()? {
            Fault::Flood => Some(Reason::ENHANCE_YOUR_CALM),
            // Our side of it is open: an error of the stream, which the `h2` crate has answered.
            Fault::AfterEnd(stream) if self.open.contains(&stream) => None,
            Fault::AfterEnd(_) => Some(Reason::STREAM_CLOSED),
        }
    }

    /// Tells the client to open no more streams (RFC 9113 section 6.8).
    fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            self.frames.graceful_shutdown();
            self.peer.deadline.set(Instant::now() + GRACE);
        }
    }

    fn resources(&self) -> &crate::net::Resources {
        &self.peer.entry.shared.resources
    }
}

/// One stream's exchange.
async fn exchange(mut stream: ServedStream, mut peer: Peer) -> Ended {
    let shared = Arc::clone(&peer.entry.shared);
    let service = peer.entry.service.load_full();
    let mut scratch = shared.scratch.take().unwrap_or_default();
    // What becomes of the connection is not this stream's to say.
    let next = Exchange::new(&mut peer, &mut stream, &mut scratch, &service, &shared).run().await;
    shared.scratch.put(scratch);
    let number = stream.number();
    if let Next::Tunnel(side) = next {
        let Some(client) = stream.into_tunnel(&shared.resources) else {
            return Ended { stream: number, was_reset: false };
        };
        let mut tunnel = Box::pin(Upgraded::new(client, *side, peer, service, &shared));
        tunnel.as_mut().await;
        return Ended { stream: number, was_reset: tunnel.is_broken_off() };
    }
    Ended { stream: number, was_reset: stream.end(&shared.resources) }
}
