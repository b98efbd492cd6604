//! How many bytes a socket waits for before it counts as readable (socket(7), `SO_RCVLOWAT`).

use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// The low-water mark, in bytes.
    ReceiveLowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    libc::c_int
);

/// Has a TCP socket wake who waits for it when `bytes` are there, or the end, or as many as it can hold; 0 stands for 1.
/// If so many are there now, it wakes at once.
pub(crate) fn set_receive_low_water(socket: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    Ok(setsockopt(&socket, ReceiveLowWater, &bytes)?)
}
