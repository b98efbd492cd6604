//! What a connection goes through between accept and its protocol.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use ipnet::IpNet;

use super::proxy_header::{self, ProxyHeader, Said};
use super::{ClientAddress, Stream, Terminator};
use crate::metrics::{FrontendShard, HandshakeResult, Reason};

/// A TLS record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// A frontend's way in. The default is an open door: nothing is read before the protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entrance {
    /// Where clients are proxies that say by a PROXY header for whom they speak: the networks they may be in.
    pub(crate) proxies: Option<Arc<[IpNet]>>,
    pub(crate) tls: Option<Terminator>,
}

/// A connection that came in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) stream: Stream,
    pub(crate) client: ClientAddress,
    /// What the proxy in front said of the client.
    pub(crate) said: Option<Box<Said>>,
}

/// A connection that ended on its way in.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) client: ClientAddress,
    /// The TLS handshake that failed, if that is why.
    pub(crate) handshake: Option<(HandshakeResult, io::Error)>,
}

impl Entrance {
    /// Whether there is nothing to go through.
    pub(crate) fn is_open(&self) -> bool {
        self.tls.is_none() && self.proxies.is_none()
    }

    /// Takes a connection in. Has no deadline of its own: who ends it early says so by
    /// [`Entrance::timed_out`].
    pub(crate) async fn enter(
        &self,
        mut stream: Stream,
        client: ClientAddress,
        metrics: &FrontendShard,
    ) -> Result<Entered, Refused> {
        let (client, said) = match &self.proxies {
            Some(proxies) => match introduced(&mut stream, client, proxies).await {
                Ok(introduced) => introduced,
                Err(why) => {
                    metrics.error(Reason::BadRequest);
                    tracing::debug!(%client, %why, "refused before its first request");
                    return Err(Refused { client, handshake: None });
                }
            },
            None => (client, None),
        };
        let Some(tls) = &self.tls else { return Ok(Entered { stream, client, said }) };
        match first_byte(&mut stream).await {
            Ok(Some(HANDSHAKE)) => {}
            Ok(Some(_)) => {
                metrics.handshake(HandshakeResult::ClearText);
                return Ok(Entered { stream, client, said });
            }
            // A port that is probed for being open is no handshake that failed.
            Ok(None) | Err(_) => return Err(Refused { client, handshake: None }),
        }
        // What is no bare socket is protected already.
        let Stream::Socket(socket) = stream else { return Ok(Entered { stream, client, said }) };
        match tls.accept(socket).await {
            Ok(secure) => {
                metrics.handshake(secure.handshake());
                let protocol = secure.protocol().map(<[u8]>::escape_ascii).map(tracing::field::display);
                tracing::trace!(%client, protocol, "TLS handshake done");
                Ok(Entered { stream: Stream::Tls(secure), client, said })
            }
            Err((error, result)) => {
                metrics.handshake(result);
                Err(Refused { client, handshake: Some((result, error)) })
            }
        }
    }

    /// A client took too long to come in.
    pub(crate) fn timed_out(&self, client: ClientAddress, metrics: &FrontendShard) -> Refused {
        tracing::debug!(%client, "the client took too long before its first request");
        let handshake = self.tls.as_ref().map(|_| {
            metrics.handshake(HandshakeResult::Timeout);
            (HandshakeResult::Timeout, io::Error::new(io::ErrorKind::TimedOut, "the client took too long"))
        });
        Refused { client, handshake }
    }
}

/// Who the client is by the header of the proxy in front, and what else that says.
async fn introduced(
    stream: &mut Stream,
    proxy: ClientAddress,
    proxies: &[IpNet],
) -> Result<(ClientAddress, Option<Box<Said>>), String> {
    // Who may open a unix socket is the file system's to say.
    let is_trusted = proxy.ip().is_none_or(|ip| proxies.iter().any(|network| network.contains(&ip)));
    if !is_trusted {
        return Err("it is not in `trusted_proxies`, and a PROXY header is expected here".to_owned());
    }
    match proxy_header::receive(stream).await {
        Ok(ProxyHeader::Local) => Ok((proxy, None)),
        Ok(ProxyHeader::Proxied { source, said }) => {
            Ok((ClientAddress::Socket(source), Some(Box::new(said))))
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn first_byte(stream: &mut Stream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let count = poll_fn(|cx| stream.poll_peek(cx, &mut byte)).await?;
    Ok((count > 0).then_some(byte[0]))
}
