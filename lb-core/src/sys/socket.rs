//! Listening sockets.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};
use socket2::{Domain, Protocol, Socket, Type};

/// How many finished handshakes the kernel keeps for us; it clamps to `net.core.somaxconn` (listen(2)).
const BACKLOG: i32 = 65_535;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Looks at what a socket has received and leaves it there (recv(2) with MSG_PEEK); 0 is the end of the stream.
pub(crate) fn peek(socket: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, space, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0)
}

/// Writes what a socket takes at once (send(2)); `WouldBlock` where that is nothing.
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Writes what a socket takes at once; a rest that fills no segment waits for what is written next (send(2), MSG_MORE).
pub(crate) fn send_more(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

/// Takes a connection from a listening socket's queue (accept4(2)), not blocking, as the connection won't.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, client) =
        rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.ok_or(io::ErrorKind::NotConnected)?;
    Ok((socket.into(), client.try_into()?))
}

/// A port of every address of this machine: of IPv4, then of IPv6 where the kernel has it.
pub(crate) fn every_address(port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    if Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok() {
        addresses.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    addresses
}

/// Lets a socket acknowledge late (tcp(7), TCP_QUICKACK off), the end of a handshake too.
pub(crate) fn hold_back_acknowledgements(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_quickack(socket, false)?)
}

/// A bound, listening, non-blocking socket that belongs to no runtime yet.
#[derive(Debug)]
pub(crate) enum BoundListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds `count` listeners to one address, so that each worker has its own.
///
/// TCP listeners share the port by SO_REUSEPORT (socket(7)): the kernel spreads connections over them and no two
/// workers wake for one. Unix sockets know no such option, so there all workers share one queue.
pub(crate) fn bind(address: &ListenAddress, count: usize) -> io::Result<Vec<BoundListener>> {
    match address {
        ListenAddress::Tcp(addr) => bind_tcp(*addr, count),
        ListenAddress::Unix(path) => bind_unix(path, count),
    }
}

fn bind_tcp(addr: SocketAddr, count: usize) -> io::Result<Vec<BoundListener>> {
    if addr.port() != 0 {
        // SO_REUSEPORT would let us share the port with another process of this user, and each get half the clients:
        // an address in use is an error, as without the option.
        let probe = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        probe.set_reuse_address(true)?;
        if addr.is_ipv6() {
            probe.set_only_v6(true)?;
        }
        probe.bind(&addr.into())?;
        probe.listen(1)?;
    }
    // Port 0 is chosen by the kernel once, then shared.
    let first = listen_tcp(addr)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![BoundListener::Tcp(first)];
    for _ in 1..count {
        listeners.push(BoundListener::Tcp(listen_tcp(addr)?));
    }
    Ok(listeners)
}

fn listen_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        // "[::]:80" and "0.0.0.0:80" are two listeners, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit it, which saves a system call for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, count: usize) -> io::Result<Vec<BoundListener>> {
    remove_stale_socket(path)?;
    let first = UnixListener::bind(path)?;
    first.set_nonblocking(true)?;
    let mut listeners = Vec::with_capacity(count);
    for _ in 1..count {
        listeners.push(BoundListener::Unix(first.try_clone()?));
    }
    listeners.push(BoundListener::Unix(first));
    Ok(listeners)
}

/// Removes what an earlier process left behind: a socket that nobody answers on. Never a file of another kind.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if found.file_type().is_socket() && UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

impl BoundListener {
    /// The port that was really bound, where 0 was asked for.
    pub(crate) fn local_address(&self, asked: &ListenAddress) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix(_) => Ok(asked.clone()),
        }
    }
}
