//! What a connection goes through between accept and its protocol.

use std::future::poll_fn;
use std::io;

use super::{ClientAddress, Stream, Terminator};
use crate::metrics::{FrontendShard, HandshakeResult};

/// A TLS record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// A frontend's way in. The default is an open door: nothing is read before the protocol.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    pub(crate) tls: Option<Terminator>,
}

/// A connection that came in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) stream: Stream,
    pub(crate) client: ClientAddress,
}

impl Entrance {
    /// Whether there is nothing to go through.
    pub(crate) fn is_open(&self) -> bool {
        self.tls.is_none()
    }

    /// Takes a connection in; `None` if it ended here. Has no deadline of its own: who ends it early says so by
    /// [`Entrance::timed_out`].
    pub(crate) async fn enter(
        &self,
        mut stream: Stream,
        client: ClientAddress,
        metrics: &FrontendShard,
    ) -> Option<Entered> {
        let Some(tls) = &self.tls else { return Some(Entered { stream, client }) };
        match first_byte(&mut stream).await {
            Ok(Some(HANDSHAKE)) => {}
            Ok(Some(_)) => {
                metrics.handshake(HandshakeResult::ClearText);
                return Some(Entered { stream, client });
            }
            // A port that is probed for being open is no handshake that failed.
            Ok(None) | Err(_) => return None,
        }
        match tls.accept(stream).await {
            Ok(stream) => {
                metrics.handshake(
                    stream.secure().map_or(HandshakeResult::Full, super::secure::Secure::handshake),
                );
                let protocol = stream.alpn().map(<[u8]>::escape_ascii).map(tracing::field::display);
                tracing::trace!(%client, protocol, "TLS handshake done");
                Some(Entered { stream, client })
            }
            Err((error, result)) => {
                metrics.handshake(result);
                tracing::debug!(%client, %error, result = result.as_str(), "TLS handshake failed");
                None
            }
        }
    }

    /// A client took too long to come in.
    pub(crate) fn timed_out(&self, client: ClientAddress, metrics: &FrontendShard) {
        if self.tls.is_some() {
            metrics.handshake(HandshakeResult::Timeout);
        }
        tracing::debug!(%client, "the client took too long before its first request");
    }
}

async fn first_byte(stream: &mut Stream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let count = poll_fn(|cx| stream.poll_peek(cx, &mut byte)).await?;
    Ok((count > 0).then_some(byte[0]))
}
