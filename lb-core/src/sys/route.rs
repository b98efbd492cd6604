//! What this machine knows of its network: ways to addresses, interfaces, its own name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netdevice};

/// Whether the kernel knows a route to `addr` and an address of ours to send from. What can't be found out, for want of
/// descriptors, say, counts as a way.
pub(crate) fn has_route(addr: IpAddr) -> bool {
    !source_for(addr).is_err_and(|error| means_no_route(&error))
}

/// Whether `addr` is this machine's: what is sent there is sent from there.
pub(crate) fn is_local(addr: IpAddr) -> bool {
    addr.is_loopback() || source_for(addr).is_ok_and(|source| source == addr)
}

/// The address of ours that the kernel would send to `addr` from. Asked by connecting a datagram socket, which sends
/// nothing (RFC 6724 section 2).
fn source_for(addr: IpAddr) -> io::Result<IpAddr> {
    let unspecified = match addr {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    // The discard service: connect(2) wants a port and does nothing with it.
    let socket = UdpSocket::bind((unspecified, 0))?;
    socket.connect((addr, 9))?;
    socket.local_addr().map(|source| source.ip())
}

/// The number of an interface, as IPv6 addresses of a link name it.
pub(crate) fn interface_number(name: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(socket, name).ok()
}

/// What uname(2) says this machine is called.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn means_no_route(error: &io::Error) -> bool {
    // Without IPv6: AFNOSUPPORT by a kernel that has none, ADDRNOTAVAIL where sysctl switched it off, else NETUNREACH.
    const NO_ROUTE: [Errno; 5] =
        [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::NETDOWN, Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    Errno::from_io_error(error).is_some_and(|errno| NO_ROUTE.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_way_to_the_loopback() {
        assert!(has_route(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_address_is_local_where_it_is_this_machines() {
        for (addr, expected) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("192.0.2.77", false)]
        {
            assert_eq!(is_local(addr.parse().unwrap()), expected, "{addr}");
        }
    }

    #[test]
    fn only_a_missing_way_counts_as_none() {
        for (errno, expected) in [
            (Errno::NETUNREACH, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::AFNOSUPPORT, true),
            (Errno::MFILE, false),
            (Errno::ADDRINUSE, false),
            (Errno::PERM, false),
        ] {
            assert_eq!(means_no_route(&errno.into()), expected, "{errno}");
        }
    }
}
