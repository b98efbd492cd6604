//! A connection that changed its protocol (RFC 9110 section 7.8): from here on bytes pass both ways unread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Peer;
use super::h1::Connection;
use super::service::Shared;
use crate::metrics::FrontendShard;
use crate::net::{Stream, Tunnel, TunnelEnd};
use crate::upstream::Lease;

/// The server's side of an upgraded exchange.
#[derive(Debug)]
pub(crate) struct ServerSide {
    pub(crate) server: Connection,
    pub(crate) lease: Lease,
    /// How long the tunnel may be silent.
    pub(crate) idle: Duration,
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
    metrics: FrontendShard,
    up: u64,
    down: u64,
    _lease: Lease,
}

impl Upgraded {
    pub(crate) fn new(client: Connection, side: ServerSide, mut peer: Peer, shared: &Shared) -> Self {
        let (client, from_client) = client.into_tunnel(&shared.resources);
        let (server, from_server) = side.server.into_tunnel(&shared.resources);
        let tunnel = Tunnel::with_read(from_client, from_server, &shared.resources);
        let metrics = peer.entry.service.load_full().metrics.clone();
        peer.deadline.set(Instant::now() + side.idle);
        Self { client, server, tunnel, peer, idle: side.idle, metrics, up: 0, down: 0, _lease: side.lease }
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
            this.metrics.received(up - this.up);
            this.metrics.sent(down - this.down);
            (this.up, this.down) = (up, down);
            this.peer.deadline.set(Instant::now() + this.idle);
        }
        match polled {
            Poll::Ready(end) => {
                // Each end learns how the other ended.
                match end {
                    TunnelEnd::Closed => {}
                    TunnelEnd::ClientFailed(_) => this.server.reset_on_close(),
                    TunnelEnd::ServerFailed(_) => this.client.reset_on_close(),
                }
                Poll::Ready(())
            }
            Poll::Pending => this.peer.deadline.poll(cx),
        }
    }
}
