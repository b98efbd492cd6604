//! What the kernel offers that tokio does not wrap: pipes and splice, listening sockets with their options, routes, and
//! the limit on open files.
//!
//! Thin and safe, by rustix, socket2 and nix; every function returns `io::Result` and leaves the meaning of an error to
//! its caller.

mod file_stamp;
mod files;
mod listen;
mod low_water;
mod pipe;
mod route;
mod socket;

pub(crate) use file_stamp::FileStamp;
pub(crate) use files::{next_number, number, open_files_limit, raise_open_files_limit};
pub(crate) use listen::{
    Access, Bound, BoundListener, Claims, ListenAddress, Sharing, SocketFile, bind, every_address, group_id,
    refuse_new, user_id,
};
pub(crate) use low_water::set_receive_low_water;
pub(crate) use pipe::{Pipe, splice};
pub(crate) use route::{has_route, host_name, interface_number, is_local};
pub(crate) use socket::{accept, hold_back_acknowledgements, peek, send, send_more};
