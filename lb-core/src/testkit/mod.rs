//! Fakes at the socket, for tests: a client and an origin that do exactly what they are told and read strictly, and a
//! proxy that runs between them on ports chosen by the kernel.
//!
//! Everything blocks and each piece is a thread, so that a test reads from top to bottom. Nothing sleeps to wait for
//! something else; [`PATIENCE`] only ends what would hang for ever. A fake that meets something unexpected panics,
//! and a panic on one of its threads comes out where it is dropped. A [`Running`] proxy that is dropped asserts that
//! nothing of it is left: connections, slots of servers, sockets at either side, tasks, pipes.
//!
//! ```
//! use lb_core::prelude::*;
//! use lb_core::testkit::{Origin, Running};
//!
//! let origin = Origin::named("web1");
//! let shop = Backend::builder("shop").server(origin.address()).build()?;
//! let proxy = Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)));
//! let mut client = proxy.client("web");
//! client.send("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
//! assert_eq!(client.response().body, b"web1");
//! # drop(client);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(clippy::unwrap_used, reason = "a fake that fails fails its test")]

mod leaks;
mod log;
mod message;
mod origin;
mod process;
mod running;
mod wire;

use std::time::{Duration, Instant};

pub use log::{Entry, Log};
pub use message::Message;
pub use origin::Origin;
pub use process::ProxyProcess;
pub use running::Running;
pub use wire::{Closing, Layer, Wire};

/// How long anything is waited for before the test fails: far more than it takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is_so`, for what happens without telling anybody (a counter that another thread bumps).
///
/// # Panics
/// When it isn't so within [`PATIENCE`].
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A chunk of a chunked body (RFC 9112 section 7.1); of nothing, the last one, without trailers.
pub fn chunk(payload: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

/// Bytes that tell where in them they stand, so that any piece that is lost, doubled or moved shows.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64 (Marsaglia 2003): its period is far above any body's length.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Raises this process's limit on open files as far as it goes, and returns it; none: there is no limit.
pub fn raise_open_files_limit() -> Option<u64> {
    crate::sys::raise_open_files_limit().unwrap()
}

/// An address that refuses connections: its port was free a moment ago, and stays taken by a socket that does not
/// listen for as long as the guard lives.
pub fn refusing_address() -> (String, impl std::fmt::Debug) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (address.to_string(), socket)
}

/// An address that is a black hole for as long as the guard lives: its accept queue is full, so that the kernel drops
/// what asks to connect, as an address does whose machine is gone.
pub fn black_hole_address() -> (String, impl std::fmt::Debug) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap();
    // A backlog of 0 holds one connection (listen(2) on Linux: the queue is full above the backlog).
    let mut queued = Vec::new();
    loop {
        let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let is_taken = filler.connect_timeout(&address, Duration::from_millis(200)).is_ok();
        queued.push(filler);
        if !is_taken {
            break;
        }
    }
    (address.as_socket().unwrap().to_string(), (socket, queued))
}
