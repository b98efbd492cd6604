//! One probe: a connection that opens, or a `GET` that is answered as expected.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::backend::{HealthCheck, Probe, ServerAddress};
use crate::net::Introduction;
use crate::upstream::{Dialer, is_want_of_ours};

use super::answer;

/// Why a server failed a probe.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No connection.
    #[error("connect: {0}")]
    Connect(io::Error),
    /// The connection broke before the response head was whole.
    #[error("no response: {0}")]
    Broken(io::Error),
    /// What came is no HTTP response, or its head is larger than any sane one.
    #[error("no HTTP response: {0}")]
    BadHead(String),
    /// A status that isn't expected.
    #[error("status {0} is not expected")]
    Status(u16),
    /// Not in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Probes one server on a fresh connection, dialled as a request's would be; what it answered, for people.
///
/// Must run within a tokio runtime with I/O and time.
pub(super) async fn probe(check: &HealthCheck, dialer: &Dialer) -> Result<String, ProbeError> {
    let answered = async {
        let Probe::Http { path } = &check.probe else {
            dialer.touch().await.map_err(ProbeError::Connect)?;
            return Ok(String::from("connected"));
        };
        let stream = dialer.dial(Introduction::default()).await.map_err(ProbeError::Connect)?;
        ask(check, path, dialer.address(), stream).await
    };
    tokio::time::timeout(check.timeout, answered).await.unwrap_or(Err(ProbeError::Timeout(check.timeout)))
}

impl ProbeError {
    /// Whether it is this machine that could not ask: that is no verdict on the server.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Connect(error) if is_want_of_ours(error))
    }
}

/// Interim responses that are passed over.
const MOST_INTERIMS: usize = 100;

async fn ask(
    check: &HealthCheck,
    path: &str,
    address: &ServerAddress,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<String, ProbeError> {
    let request = request(path, check.host.as_deref(), address);
    stream.write_all(request.as_bytes()).await.map_err(ProbeError::Broken)?;
    stream.flush().await.map_err(ProbeError::Broken)?;
    let status = read_status(&mut stream).await?;
    if !check.expect.contains(status) {
        return Err(ProbeError::Status(status));
    }
    Ok(format!("status {status}"))
}

fn request(path: &str, host: Option<&str>, address: &ServerAddress) -> String {
    let host = match (host, address) {
        (Some(host), _) => host.to_owned(),
        (None, ServerAddress::Tcp(addr)) => addr.to_string(),
        (None, ServerAddress::Unix(_)) => String::from("localhost"),
    };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lb-health\r\nConnection: close\r\n\r\n")
}

/// The status of the final response; interim ones (RFC 9110 section 15.2) are passed over.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> Result<u16, ProbeError> {
    let mut head = Vec::with_capacity(1024);
    for _ in 0..=MOST_INTERIMS {
        let (status, length) = loop {
            if let Some(answer) = answer::status(&head).map_err(ProbeError::BadHead)? {
                break answer;
            }
            if stream.read_buf(&mut head).await.map_err(ProbeError::Broken)? == 0 {
                return Err(ProbeError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        if !(100..200).contains(&status) {
            return Ok(status);
        }
        head.drain(..length);
    }
    Err(ProbeError::BadHead(String::from("more interim responses than the limit")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    fn tcp(text: &str) -> ServerAddress {
        ServerAddress::Tcp(text.parse().unwrap())
    }

    /// What a check makes of a server that answers `answer` and closes.
    async fn answered(check: &HealthCheck, answer: &[u8]) -> Result<String, String> {
        let (near, mut far) = tokio::io::duplex(128 * 1024);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        ask(check, "/", &tcp("10.0.0.1:80"), near).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn only_expected_statuses_pass() {
        let check = HealthCheck::http("/health").expect("200,204".parse().unwrap());
        let cases: [(&[u8], Result<&str, &str>); 8] = [
            (b"HTTP/1.1 200 OK\r\n\r\nbody", Ok("status 200")),
            (b"HTTP/1.0 204 \r\nA: b\r\n\r\n", Ok("status 204")),
            (b"HTTP/1.1 301 Moved\r\n\r\n", Err("status 301 is not expected")),
            (b"HTTP/1.1 503 Busy\r\n\r\n", Err("status 503 is not expected")),
            (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok("status 200")),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Err("no response: unexpected end of file")),
            (b"", Err("no response: unexpected end of file")),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", Err("no response: unexpected end of file")),
        ];
        for (answer, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(answered(&check, answer).await, expected, "{}", answer.escape_ascii());
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_fails() {
        let check = HealthCheck::http("/");
        let interims =
            |count| format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 Early\r\n\r\n".repeat(count));
        assert!(answered(&check, interims(MOST_INTERIMS).as_bytes()).await.is_ok());
        let error = answered(&check, interims(MOST_INTERIMS + 1).as_bytes()).await.unwrap_err();
        assert_eq!(error, "no HTTP response: more interim responses than the limit");
        for nonsense in ["SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 2000 OK\r\n\r\n"] {
            let error = answered(&check, nonsense.as_bytes()).await.unwrap_err();
            assert!(error.starts_with("no HTTP response: "), "{error}");
        }
    }

    #[tokio::test]
    async fn a_head_may_come_byte_by_byte() {
        let (near, mut far) = tokio::io::duplex(1);
        let check = HealthCheck::http("/health?x=1").host("shop.example");
        let server = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                far.read_buf(&mut asked).await.unwrap();
            }
            far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let address = tcp("10.0.0.1:80");
        let (result, asked) = tokio::join!(ask(&check, "/health?x=1", &address, near), server);
        assert_eq!(result.unwrap(), "status 200");
        let expected = "GET /health?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: lb-health\r\n\
                        Connection: close\r\n\r\n";
        assert_eq!(asked, expected);
    }

    #[test]
    fn the_host_is_the_address_where_none_is_given() {
        let unix = ServerAddress::Unix(Arc::from(std::path::Path::new("/run/a.sock")));
        assert!(request("/", None, &tcp("[::1]:8080")).contains("\r\nHost: [::1]:8080\r\n"));
        assert!(request("/", None, &unix).contains("\r\nHost: localhost\r\n"));
    }

    #[tokio::test]
    async fn a_connection_that_opens_passes_a_tcp_check() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = ServerAddress::Tcp(listener.local_addr().unwrap());
        assert_eq!(probe(&HealthCheck::tcp(), &Dialer::plain(address.clone())).await.unwrap(), "connected");
        drop(listener);
        let error = probe(&HealthCheck::tcp(), &Dialer::plain(address.clone())).await.unwrap_err();
        assert!(matches!(error, ProbeError::Connect(_)), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_fails_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = ServerAddress::Tcp(listener.local_addr().unwrap());
        let check = HealthCheck::http("/").timeout(Duration::from_millis(20));
        let error = probe(&check, &Dialer::plain(address)).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 20ms");
    }

    #[tokio::test]
    async fn unix_sockets_are_probed_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        };
        let (check, address) = (HealthCheck::http("/"), ServerAddress::Unix(path.into()));
        let dialer = Dialer::plain(address);
        let (result, ()) = tokio::join!(probe(&check, &dialer), server);
        assert_eq!(result.unwrap(), "status 200");
    }
}
