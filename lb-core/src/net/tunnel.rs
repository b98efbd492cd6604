//! Two streams joined until both have closed.

use std::io;
use std::task::{Context, Poll};

use super::{Buffer, Pump, PumpEnd, PumpError, Resources, Stream};

/// A tunnel between a client and a server: a pump each way, each half closed when its source ends.
#[derive(Debug, Default)]
pub(crate) struct Tunnel {
    up: Flow,
    down: Flow,
    /// What one side had sent when the other had ended.
    sent_at_end: Option<u64>,
}

/// No `close_notify` of TLS is longer: 24 bytes in version 1.3, up to 85 by the block ciphers of 1.2.
const NOTICE_BYTES: u64 = 96;

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) enum TunnelEnd {
    /// Both sides closed in order.
    Closed,
    /// One side closed in order, and the other broke off without having sent more than a notice since: nothing shows
    /// that it had more to say. PostgreSQL ends a session of TLS so: it sends its own notice, doesn't read the client's,
    /// and the kernel makes a reset of that. Who only half closed, and still waits for an answer, is to learn of it.
    BrokenOff,
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
        Self { up: flow(from_client), down: flow(from_server), sent_at_end: None }
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
            Poll::Ready(Err(PumpError::Source(_))) if self.had_ended(&self.down, &self.up) => {
                return Poll::Ready(TunnelEnd::BrokenOff);
            }
            Poll::Ready(Err(PumpError::Source(error))) => return Poll::Ready(TunnelEnd::ClientFailed(error)),
            Poll::Ready(Err(PumpError::Sink(error))) => return Poll::Ready(TunnelEnd::ServerFailed(error)),
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        if up {
            self.sent_at_end.get_or_insert(self.down.pump.moved());
        }
        match self.down.poll(cx, server, client, resources, up) {
            Poll::Ready(Err(PumpError::Source(_))) if self.had_ended(&self.up, &self.down) => {
                Poll::Ready(TunnelEnd::BrokenOff)
            }
            Poll::Ready(Err(PumpError::Source(error))) => Poll::Ready(TunnelEnd::ServerFailed(error)),
            Poll::Ready(Err(PumpError::Sink(error))) => Poll::Ready(TunnelEnd::ClientFailed(error)),
            Poll::Ready(Ok(())) if up => Poll::Ready(TunnelEnd::Closed),
            Poll::Ready(Ok(())) => {
                self.sent_at_end.get_or_insert(self.up.pump.moved());
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether `one` way had ended in order, and no more than a notice has come the `other` way since.
    fn had_ended(&self, one: &Flow, other: &Flow) -> bool {
        let since = self.sent_at_end.map(|sent| other.pump.moved() - sent);
        one.stage == Stage::Ended && since.is_some_and(|since| since <= NOTICE_BYTES)
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
