//! TCP ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{BACKLOG, BoundListener, Sharing};

/// A port of every address of this machine: of IPv4, then of IPv6 where the kernel has it.
pub(crate) fn every_address(port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    if Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok() {
        addresses.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    addresses
}

pub(super) fn bind(addr: SocketAddr, count: usize, sharing: Sharing) -> io::Result<Vec<BoundListener>> {
    // SO_REUSEPORT would let us share the port with another process of this user, and each get half the clients: an
    // address in use is an error, as without the option. Where this process has a part of it, the option decides: who
    // came without it, or is another user's, is still refused.
    if addr.port() != 0 && sharing == Sharing::Alone {
        let probe = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        probe.set_reuse_address(true)?;
        if addr.is_ipv6() {
            probe.set_only_v6(true)?;
        }
        probe.bind(&addr.into())?;
        probe.listen(1)?;
    }
    // Port 0 is chosen by the kernel once, then shared.
    let first = listen(addr)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![BoundListener::Tcp(first)];
    for _ in 1..count {
        listeners.push(BoundListener::Tcp(listen(addr)?));
    }
    Ok(listeners)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
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

/// Has a listening socket get no new connections. Those in its queue, and those whose handshake has begun, stay to be
/// accepted; closing the socket would reset them. What comes now goes to another listener of the address, such as
/// that of `0.0.0.0` behind that of `127.0.0.1`, or is refused.
///
/// A socket that is bound to an interface hears of no other (socket(7), SO_BINDTODEVICE), and no interface has this
/// index. Any user may set it since Linux 5.7; before, and where it can't be set, connections come until the close.
pub(crate) fn refuse_new(listener: BorrowedFd<'_>) {
    const NO_INTERFACE: NonZeroU32 = NonZeroU32::new(i32::MAX.unsigned_abs()).expect("not zero");
    // For both families: on Linux the option is one of the socket's level.
    let _best_effort = SockRef::from(&listener).bind_device_by_index_v4(Some(NO_INTERFACE));
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::fd::AsFd;

    use super::*;

    fn accepted(listener: &BoundListener) -> usize {
        let BoundListener::Tcp(listener) = listener else { panic!("{listener:?}") };
        std::iter::from_fn(|| listener.accept().ok()).count()
    }

    #[test]
    fn a_listener_that_refuses_new_connections_keeps_its_queue_and_gives_the_rest_to_the_wider_one() {
        for (narrow, wide) in [("127.0.0.1", "0.0.0.0"), ("::1", "::")] {
            let address = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
            let first = bind(address(narrow, 0), 1, Sharing::Alone).unwrap().remove(0);
            let BoundListener::Tcp(narrow) = &first else { panic!("{first:?}") };
            let local = narrow.local_addr().unwrap();
            let wide = address(wide, local.port());
            assert!(bind(wide, 1, Sharing::Alone).is_err(), "{wide}");
            let second = bind(wide, 1, Sharing::WithOurs).unwrap().remove(0);
            let _queued: Vec<_> = (0..3).map(|_| TcpStream::connect(local).unwrap()).collect();
            refuse_new(narrow.as_fd());
            let _new: Vec<_> = (0..2).map(|_| TcpStream::connect(local).unwrap()).collect();
            assert_eq!((accepted(&first), accepted(&second)), (3, 2), "{wide}");
        }
    }

    #[test]
    fn another_process_that_does_not_share_is_refused_even_beside_ours() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let wide = SocketAddr::new([0, 0, 0, 0].into(), port);
        assert_eq!(bind(wide, 1, Sharing::WithOurs).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
