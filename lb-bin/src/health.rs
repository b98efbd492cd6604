//! `lb health`: one request to `/readyz`, for containers that have no curl.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::{Exit, complain, say};

/// For connecting, and again for each read: Docker kills a check after 30 s by default, and a proxy that needs two
/// is not well.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of the status line, all that is read.
const LINE_BYTES: u64 = 256;

/// Asks the proxy whose admin listener is at `admin`.
pub(crate) fn ask(admin: &str) -> Exit {
    match status(admin) {
        Ok(200) => {
            say(&format!("{admin}: ready"));
            Exit::Fine
        }
        Ok(503) => {
            complain(&format!("{admin}: not ready"));
            Exit::Wrong
        }
        Ok(status) => {
            complain(&format!("{admin}: answers {status}; is this the admin listener of lb?"));
            Exit::Wrong
        }
        Err(error) => {
            complain(&format!("{admin}: {error}; is lb running, and [admin] listen = \"{admin}\"?"));
            Exit::Wrong
        }
    }
}

fn status(admin: &str) -> io::Result<u16> {
    let mut stream = connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut line = Vec::new();
    BufReader::new(stream).take(LINE_BYTES).read_until(b'\n', &mut line)?;
    parse(&line).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn connect(admin: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in admin.to_socket_addrs()?.collect::<Vec<SocketAddr>>() {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The status of `HTTP/1.1 200 OK`.
fn parse(line: &[u8]) -> Option<u16> {
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_second_word() {
        for (line, status) in [
            ("HTTP/1.1 200 OK\r\n", Some(200)),
            ("HTTP/1.0 503\r\n", Some(503)),
            ("SSH-2.0-OpenSSH 200\r\n", None),
            ("HTTP/1.1\r\n", None),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes()), status, "{line:?}");
        }
    }
}
