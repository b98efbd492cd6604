//! How a server is dialled: a socket, who the client is where its backend tells that, and TLS where it wants that.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::backend::{Backend, SendProxy, Server, ServerAddress};
use crate::net::{Introduction, Originator, Socket, Stream};
use crate::sys;

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

    /// Whether the server takes connections: one that opens, where TLS is spoken with its handshake done.
    ///
    /// In clear text the connection is reset as soon as it opens, mostly before the server's accept(2) has heard of it:
    /// our last word of the handshake is held back (tcp(7), TCP_QUICKACK). A connection that said nothing would be a
    /// failure to some servers: MySQL counts it, and blocks the address after 100.
    pub(crate) async fn touch(&self) -> io::Result<()> {
        let (ServerAddress::Tcp(addr), None) = (&self.address, &self.tls) else {
            return self.dial(Introduction::default()).await.map(drop);
        };
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_zero_linger()?;
        sys::hold_back_acknowledgements(socket.as_fd())?;
        socket.connect(*addr).await.map(drop).map_err(|error| by_route(error, addr.ip()))
    }

    /// A connection for this client, its handshake done. Has no deadline of its own.
    pub(crate) async fn dial(&self, client: Introduction<'_>) -> io::Result<Stream> {
        let mut socket = match &self.address {
            ServerAddress::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await.map_err(|error| by_route(error, addr.ip()))?;
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            ServerAddress::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        };
        let header = match self.send_proxy {
            SendProxy::Off => Vec::new(),
            SendProxy::V1 => client.v1(),
            SendProxy::V2 => client.v2(),
        };
        if !header.is_empty() {
            Box::pin(socket.write_all(&header)).await?;
        }
        match &self.tls {
            // Boxed: a handshake's state is no part of the way in clear text.
            Some(tls) => Box::pin(tls.connect(socket)).await.map(Stream::Tls),
            None => Ok(socket.into()),
        }
    }
}

/// The kernel says EADDRNOTAVAIL when ports run out, and as well where it has no address to send from, as without
/// IPv6: then the server is unreachable, and this is no want that passes.
fn by_route(error: io::Error, addr: IpAddr) -> io::Error {
    let is_unclear = Errno::from_io_error(&error) == Some(Errno::ADDRNOTAVAIL);
    if is_unclear && !sys::has_route(addr) { Errno::NETUNREACH.into() } else { error }
}

/// Whether it is this machine that could not connect, for want of descriptors, memory or ports: that says nothing about
/// the server.
pub(crate) fn is_want_of_ours(error: &io::Error) -> bool {
    const OURS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    Errno::from_io_error(error).is_some_and(|errno| OURS.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_way_is_no_want_of_ports() {
        let after = |errno: Errno, addr: &str| {
            let error = by_route(errno.into(), addr.parse().unwrap());
            Errno::from_io_error(&error).unwrap()
        };
        assert_eq!(
            after(Errno::ADDRNOTAVAIL, "127.0.0.1"),
            Errno::ADDRNOTAVAIL,
            "there is a way: ports ran out"
        );
        assert_eq!(after(Errno::CONNREFUSED, "127.0.0.1"), Errno::CONNREFUSED);
        // Whether there is one here or not (IPv6 of documentation, RFC 3849).
        let documentation = "2001:db8::1".parse().unwrap();
        let expected = if sys::has_route(documentation) { Errno::ADDRNOTAVAIL } else { Errno::NETUNREACH };
        assert_eq!(after(Errno::ADDRNOTAVAIL, "2001:db8::1"), expected);
    }
}
