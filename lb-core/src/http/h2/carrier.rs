//! A stream whose DATA is a tunnel's bytes (RFC 9113 section 8.5, RFC 8441 section 5).

use std::io;
use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::ReadBuf;

use super::body::Body;
use super::outbound::Outbound;
use super::sessions::Slot;
use crate::http::body::{Payload, SourceError};
use crate::net::Carried;

/// What a stream is to become a tunnel for, which its CONNECT says.
#[derive(Debug)]
pub(super) enum AskedTunnel {
    /// Whatever is behind a host and a port (RFC 9113 section 8.5).
    Plain,
    /// A WebSocket, with the key that HTTP/1 opens it by (RFC 8441 section 5).
    WebSocket(Vec<u8>),
}

impl AskedTunnel {
    pub(super) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Plain => None,
            Self::WebSocket(key) => Some(key),
        }
    }

    /// How the other end learns that this one has failed.
    fn fault(&self) -> Reason {
        match self {
            Self::Plain => Reason::CONNECT_ERROR,
            Self::WebSocket(_) => Reason::CANCEL,
        }
    }
}

/// Both directions of it.
#[derive(Debug)]
pub(super) struct Carrier {
    body: Body,
    outbound: Outbound,
    fault: Reason,
    /// Taken for as long as the tunnel lasts, on a server's connection.
    _slot: Option<Slot>,
}

impl Carrier {
    pub(super) fn new(body: Body, outbound: Outbound, asked: &AskedTunnel, slot: Option<Slot>) -> Self {
        Self { body: body.unbounded(), outbound, fault: asked.fault(), _slot: slot }
    }

    fn poll_payload(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Payload>> {
        self.body.poll_payload(cx).map_err(|error| match error {
            SourceError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }
}

impl Carried for Carrier {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_payload(cx).map_ok(|_| ())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Payload::Some { .. } = ready!(self.poll_payload(cx))? {
            let payload = self.body.payload();
            let count = payload.len().min(buf.remaining());
            buf.put_slice(&payload[..count]);
            self.body.consume(count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outbound.poll_send(cx, bytes, false, &[])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbound.poll_send(cx, &[], true, &[]).map_ok(|_| ())
    }

    fn reset(&mut self) {
        self.outbound.reset(self.fault);
    }
}
