//! What the benches measure with: backends, routes and a file of the size in question, and a proxy
//! that runs on loopback. Only lb-core's public API is used, so that a bench measures what users get.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use lb_core::http::route::Match;
use lb_core::prelude::*;

/// A backend of so many servers that nothing listens at; picking asks none.
///
/// # Panics
/// When the policy or the addresses are refused, which would be a bug of the bench.
pub fn backend(name: &str, servers: usize, policy: impl Policy + 'static) -> Backend {
    let addresses = (0..servers).map(|n| format!("10.{}.{}.{}:80", n >> 16 & 255, n >> 8 & 255, n & 255));
    let addresses: Vec<String> = addresses.collect();
    let builder = Backend::builder(name).servers(addresses.iter().map(String::as_str));
    builder.policy(policy).build().expect("the addresses are valid")
}

/// A kind of condition on a path.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `path`
    Exact,
    /// `path_prefix`
    Prefix,
    /// `path_begins`
    Begins,
    /// `path_regex`
    Regex,
    /// `host`
    Host,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Exact, Self::Prefix, Self::Begins, Self::Regex, Self::Host];

    /// So many routes, each to its number.
    pub fn routes(self, count: usize) -> Vec<(Match, usize)> {
        (0..count).map(|n| (self.route(n), n)).collect()
    }

    /// What a request for route `n` asks for: host and path.
    pub fn target(self, n: usize) -> (String, String) {
        match self {
            Self::Host => (format!("h{n}.example"), "/".into()),
            Self::Exact => ("any.example".into(), format!("/r{n}")),
            Self::Prefix | Self::Begins | Self::Regex => ("any.example".into(), format!("/r{n}/x")),
        }
    }

    fn route(self, n: usize) -> Match {
        match self {
            Self::Exact => Match::path(&format!("/r{n}")),
            Self::Prefix => Match::prefix(&format!("/r{n}")),
            Self::Begins => Match::begins(&format!("/r{n}/")),
            Self::Regex => Match::regex(&format!("^/r{n}/[a-z]+$")),
            Self::Host => Match::any().host(&format!("h{n}.example")),
        }
    }
}

/// A configuration file of so many prefix routes and so many servers in ten backends, or fewer where there are fewer
/// servers.
pub fn file(routes: usize, servers: usize) -> String {
    let backends = servers.clamp(1, 10);
    let mut text = String::from("[frontend.web]\nlisten = \"127.0.0.1:0\"\nroutes = [\n");
    for n in 0..routes {
        // Writing to a String can't fail, here and below.
        let _ = writeln!(text, "  {{ path_prefix = \"/r{n}\", backend = \"b{}\" }},", n % backends);
    }
    text.push_str("  { backend = \"b0\" },\n]\n");
    for backend in 0..backends {
        let _ = write!(text, "\n[backend.b{backend}]\nservers = [");
        for n in (backend..servers).step_by(backends) {
            let _ = write!(text, "\"10.0.{}.{}:80\", ", n >> 8, n & 255);
        }
        text.push_str("]\n");
    }
    text
}

/// A proxy with one worker that runs until the process ends, and the address it listens on.
///
/// # Panics
/// When it can't start, which would be a bug of the bench.
pub fn run(builder: lb_core::proxy::ProxyBuilder, frontend: &str) -> SocketAddr {
    let proxy = builder.workers(Workers::Threads(1)).build().expect("the proxy is valid");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(proxy.start()).expect("a port of the kernel's choice is free");
    let address = proxy.handle().addresses(frontend).remove(0).parse().expect("an address is an address");
    thread::spawn(move || {
        runtime.block_on(std::future::pending::<()>());
        drop(proxy);
    });
    address
}

/// An origin that answers every head with `response`, a thread a connection.
///
/// # Panics
/// When it can't listen.
pub fn origin(response: Vec<u8>) -> SocketAddr {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the kernel's choice is free");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let response = response.clone();
            thread::spawn(move || answer(socket, &response));
        }
    });
    address
}

/// A response of so many bytes of body.
pub fn response(body: usize) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n").into_bytes();
    response.resize(response.len() + body, b'.');
    response
}

/// Sends `request` and reads `length` bytes.
///
/// # Errors
/// When the connection breaks.
pub fn exchange(socket: &mut TcpStream, request: &[u8], buffer: &mut [u8], length: usize) -> io::Result<()> {
    socket.write_all(request)?;
    let mut received = 0;
    while received < length {
        match socket.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received += read,
        }
    }
    Ok(())
}

fn answer(mut socket: TcpStream, response: &[u8]) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer)? {
            0 => return Ok(()),
            read => received.extend_from_slice(&buffer[..read]),
        }
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            socket.write_all(response)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_valid() {
        for (routes, servers) in [(2, 4), (1_000, 100)] {
            assert!(lb_core::config::load_text("lb.toml", &file(routes, servers), |_| None).is_ok());
        }
    }
}
