//! How a server is dialled: a socket, who the client is where its backend tells that, and TLS where it wants that.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use crate::backend::{Backend, SendProxy, Server, ServerAddress};
use crate::net::{Introduction, Originator, Stream};

/// The way to one server.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    address: ServerAddress,
    send_proxy: SendProxy,
    tls: Option<Originator>,
}

impl Dialer {
    /// To a server of `backend`, offering `protocols` by ALPN.
    pub(crate) fn new(server: &Server, backend: &Backend, protocols: &[&[u8]]) -> Self {
        let tls = backend.tls().and_then(|tls| {
            // Building the backend has made sure that there is a name.
            Originator::new(tls, backend.host(server).as_deref(), protocols)
        });
        Self { address: server.address().clone(), send_proxy: backend.send_proxy(), tls }
    }

    /// To whoever listens at `address`, in clear text.
    #[cfg(test)]
    pub(crate) fn plain(address: ServerAddress) -> Self {
        Self { address, send_proxy: SendProxy::Off, tls: None }
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// A connection for this client, its handshake done. Has no deadline of its own.
    pub(crate) async fn dial(&self, client: Introduction<'_>) -> io::Result<Stream> {
        let mut stream = match &self.address {
            ServerAddress::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            ServerAddress::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        let header = match self.send_proxy {
            SendProxy::Off => Vec::new(),
            SendProxy::V1 => client.v1(),
            SendProxy::V2 => client.v2(),
        };
        if !header.is_empty() {
            Box::pin(stream.write_all(&header)).await?;
        }
        match &self.tls {
            // Boxed: a handshake's state is no part of the way in clear text.
            Some(tls) => Box::pin(tls.connect(stream)).await,
            None => Ok(stream),
        }
    }
}
