//! A connection that changed its protocol (RFC 9110 section 7.8): from here on bytes pass both ways unread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::head::RequestHead;
use super::peer::Peer;
use super::record::Record;
use super::service::{Service, Shared};
use crate::metrics::Reason;
use crate::net::{Buffer, Stream, Tunnel, TunnelEnd};
use crate::upstream::Lease;

/// The server's side of an upgraded exchange.
#[derive(Debug)]
pub(crate) struct ServerSide {
    pub(crate) server: (Stream, Buffer),
    pub(crate) lease: Lease,
    /// How long the tunnel may be silent.
    pub(crate) idle: Duration,
    pub(crate) line: Line,
}

/// What the access log will say of the exchange: its line is written when the tunnel ends, with all that it carried.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) record: Record,
    pub(crate) request: RequestHead,
    /// The bytes that `request` is about, which outlive the connection's buffer here.
    pub(crate) head: Box<[u8]>,
}

/// A tunnel between a client and the server that agreed to the upgrade; ends when both sides have closed, or when
/// nothing moves for too long.
#[derive(Debug)]
pub(crate) struct Upgraded {
    client: Stream,
    server: Stream,
    tunnel: Tunnel,
    peer: Peer,
    idle: Duration,
    /// What the exchange was served by, in whose terms its line speaks.
    service: Arc<Service>,
    line: Line,
    /// How it ended; where nothing else has, the proxy's stopping will end it.
    reason: Option<Reason>,
    up: u64,
    down: u64,
    _lease: Lease,
}

impl Upgraded {
    pub(crate) fn new(
        (client, from_client): (Stream, Buffer),
        side: ServerSide,
        mut peer: Peer,
        service: Arc<Service>,
        shared: &Shared,
    ) -> Self {
        let ServerSide { server: (server, from_server), lease, idle, line } = side;
        let tunnel = Tunnel::with_read(from_client, from_server, &shared.resources);
        peer.deadline.set(Instant::now() + idle);
        for end in [&client, &server] {
            end.keep_alive(service.timeouts.keepalive);
        }
        Self {
            client,
            server,
            tunnel,
            peer,
            idle,
            service,
            line,
            reason: Some(Reason::Shutdown),
            up: 0,
            down: 0,
            _lease: lease,
        }
    }
}

impl Upgraded {
    /// Whether the client broke it off.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.reason == Some(Reason::ClientAbort)
    }
}

impl Future for Upgraded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled =
            this.tunnel.poll(cx, &mut this.client, &mut this.server, &this.peer.entry.shared.resources);
        let (up, down) = (this.tunnel.moved_up(), this.tunnel.moved_down());
        if (up, down) != (this.up, this.down) {
            this.service.metrics.received(up - this.up);
            this.service.metrics.sent(down - this.down);
            (this.up, this.down) = (up, down);
            this.peer.deadline.set(Instant::now() + this.idle);
        }
        this.reason = match polled {
            Poll::Ready(TunnelEnd::Closed) => None,
            Poll::Ready(TunnelEnd::BrokenOff) => {
                this.client.reset_on_close();
                this.server.reset_on_close();
                None
            }
            // Each end learns how the other ended.
            Poll::Ready(TunnelEnd::ClientFailed(_)) => {
                this.server.reset_on_close();
                Some(Reason::ClientAbort)
            }
            Poll::Ready(TunnelEnd::ServerFailed(_)) => {
                this.client.reset_on_close();
                Some(Reason::ServerAbort)
            }
            Poll::Pending if this.peer.deadline.poll(cx).is_pending() => return Poll::Pending,
            Poll::Pending => Some(Reason::IdleTimeout),
        };
        Poll::Ready(())
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        let Line { record, request, head } = &mut self.line;
        record.received_bytes += self.up;
        record.sent_bytes += self.down;
        if let Some(reason) = self.reason {
            self.service.metrics.error(reason);
            record.reason = Some(reason);
        }
        let shared = &self.peer.entry.shared;
        record.log(&self.service, shared, self.peer.client, Some((request, head)), Instant::now());
    }
}
