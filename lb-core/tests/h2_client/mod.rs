//! An HTTP/2 client for tests, by the `h2` crate: it speaks the protocol, and no more than it is told.
#![allow(dead_code, reason = "each test uses its own part")]

pub(crate) mod server;
pub(crate) mod tunnel;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A client's connection.
pub(crate) struct Client {
    pub(crate) requests: SendRequest<Bytes>,
    /// How the connection ended.
    pub(crate) end: JoinHandle<Result<(), h2::Error>>,
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The rest of a response.
    pub(crate) async fn of(response: Response<RecvStream>) -> Result<Self, h2::Error> {
        let (head, mut stream) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = stream.data().await {
            let frame = frame?;
            body.extend_from_slice(&frame);
            stream.flow_control().release_capacity(frame.len())?;
        }
        Ok(Self { head, body, trailers: stream.trailers().await? })
    }
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        Self::with(address, &h2::client::Builder::new()).await
    }

    pub(crate) async fn with(address: &str, builder: &h2::client::Builder) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), builder).await
    }

    /// Speaks over a stream of any kind.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        builder: &h2::client::Builder,
    ) -> Self {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Self { requests, end: tokio::spawn(connection) }
    }

    /// Sends a head; no body follows.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, h2::Error> {
        let (response, _) = self.send(request("GET", path), true).await;
        Answer::of(response.await?).await
    }

    /// Sends a request with this body and these trailers, and reads the response meanwhile.
    pub(crate) async fn ask(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let (response, stream) = self.send(request, false).await;
        let (sent, answer) =
            tokio::join!(send_body(stream, body, trailers), async { Answer::of(response.await?).await });
        let answer = answer?;
        sent?;
        Ok(answer)
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<()>,
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request, is_whole).unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://shop.example{path}")).body(()).unwrap()
}

pub(crate) async fn send_body(
    mut stream: SendStream<Bytes>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    let mut left = body;
    while !left.is_empty() {
        stream.reserve_capacity(left.len());
        let Some(room) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
        let (now, later) = left.split_at(room?.min(left.len()));
        stream.send_data(Bytes::copy_from_slice(now), false)?;
        left = later;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    }
}
