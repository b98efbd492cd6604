//! Idle clients: connections that made one request each and then stay open.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::Error;

/// Opens connections one after the other, so that no more buffers are needed than for one request,
/// and asks once on each. The caller keeps them open as long as it looks.
pub(crate) fn open(address: SocketAddr, connections: usize) -> Result<Vec<TcpStream>, Error> {
    (0..connections).map(|_| ask_once(address)).collect()
}

fn ask_once(address: SocketAddr) -> Result<TcpStream, Error> {
    let mut socket = TcpStream::connect(address).map_err(Error::system("connect"))?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).map_err(Error::system("setsockopt"))?;
    let response = ask(&mut socket, address, "/")?;
    if response.starts_with("HTTP/1.1 200") {
        Ok(socket)
    } else {
        let first = response.lines().next().unwrap_or("nothing");
        Err(Error::Load(format!("an idle client was answered by {first}")))
    }
}

/// One request on a blocking connection; the response as text.
pub(crate) fn ask(socket: &mut TcpStream, address: SocketAddr, path: &str) -> Result<String, Error> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    socket.write_all(request.as_bytes()).map_err(Error::system("write"))?;
    let mut response = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = socket.read(&mut buffer).map_err(Error::system("read"))?;
        response.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&response);
        if read == 0 || is_whole(&text) {
            return Ok(text.into_owned());
        }
    }
}

fn is_whole(response: &str) -> bool {
    let Some((head, body)) = response.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.map_or_else(|| body.ends_with("\r\n0\r\n\r\n"), |length| body.len() >= length)
}
