//! How a server is dialled: a socket, and TLS over it where its backend wants that.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use crate::backend::{Backend, Server, ServerAddress};
use crate::net::{Originator, Stream};

/// The way to one server.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    address: ServerAddress,
    tls: Option<Originator>,
}

impl Dialer {
    /// To a server of `backend`, offering `protocols` by ALPN.
    pub(crate) fn new(server: &Server, backend: &Backend, protocols: &[&[u8]]) -> Self {
        let tls = backend.tls().and_then(|tls| {
            // Building the backend has made sure that there is a name.
            Originator::new(tls, backend.host(server).as_deref(), protocols)
        });
        Self { address: server.address().clone(), tls }
    }

    /// To whoever listens at `address`, in clear text.
    #[cfg(test)]
    pub(crate) fn plain(address: ServerAddress) -> Self {
        Self { address, tls: None }
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// A connection, its handshake done. Has no deadline of its own.
    pub(crate) async fn dial(&self) -> io::Result<Stream> {
        let stream = match &self.address {
            ServerAddress::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            ServerAddress::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        match &self.tls {
            // Boxed: a handshake's state is no part of the way in clear text.
            Some(tls) => Box::pin(tls.connect(stream)).await,
            None => Ok(stream),
        }
    }
}
