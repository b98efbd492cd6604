//! Two streams joined until both have closed.

use std::io;
use std::task::{Context, Poll};

use super::{Buffer, Pump, PumpEnd, PumpError, Resources, Stream};

/// A tunnel between a client and a server: a pump each way, each half closed when its source ends.
#[derive(Debug, Default)]
pub(crate) struct Tunnel {
    up: Flow,
    down: Flow,
}

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum TunnelEnd {
    /// Both sides closed in order.
    Closed,
    /// The client's connection failed.
    ClientFailed(io::Error),
    /// The server's connection failed.
    ServerFailed(io::Error),
}

#[derive(Debug, Default)]
struct Flow {
    pump: Pump,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Moving,
    /// The source ended; the sink is to be told.
    Ending,
    Ended,
}

impl Tunnel {
    /// A tunnel whose sides have read some bytes already, which go first.
    pub(crate) fn with_read(from_client: Buffer, from_server: Buffer, resources: &Resources) -> Self {
        let flow = |read| Flow { pump: Pump::with_read(read, resources), stage: Stage::Moving };
        Self { up: flow(from_client), down: flow(from_server) }
    }

    /// Moves bytes both ways. Pending as long as either way is open.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Stream,
        server: &mut Stream,
        resources: &Resources,
    ) -> Poll<TunnelEnd> {
        let up = match self.up.poll(cx, client, server, resources, self.down.stage == Stage::Ended) {
            Poll::Ready(Err(PumpError::Source(error))) => return Poll::Ready(TunnelEnd::ClientFailed(error)),
            Poll::Ready(Err(PumpError::Sink(error))) => return Poll::Ready(TunnelEnd::ServerFailed(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        match self.down.poll(cx, server, client, resources, up) {
            Poll::Ready(Err(PumpError::Source(error))) => Poll::Ready(TunnelEnd::ServerFailed(error)),
            Poll::Ready(Err(PumpError::Sink(error))) => Poll::Ready(TunnelEnd::ClientFailed(error)),
            Poll::Ready(Ok(())) if up => Poll::Ready(TunnelEnd::Closed),
            _ => Poll::Pending,
        }
    }

    /// Bytes moved from the client to the server.
    pub(crate) fn moved_up(&self) -> u64 {
        self.up.pump.moved()
    }

    /// Bytes moved from the server to the client.
    pub(crate) fn moved_down(&self) -> u64 {
        self.down.pump.moved()
    }
}

impl Flow {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        resources: &Resources,
        is_last: bool,
    ) -> Poll<Result<(), PumpError>> {
        if self.stage == Stage::Moving {
            let mut unbounded = u64::MAX;
            match self.pump.poll(cx, from, to, &mut unbounded, resources) {
                Poll::Ready(Ok(PumpEnd::Source | PumpEnd::Limit)) => self.stage = Stage::Ending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.stage == Stage::Ending {
            if is_last && to.can_splice() {
                // Both will be closed now, which tells a bare socket's peer as well.
                self.stage = Stage::Ended;
                return Poll::Ready(Ok(()));
            }
            match to.poll_shutdown(cx) {
                // A sink that is gone already needs no telling.
                Poll::Ready(_) => self.stage = Stage::Ended,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
