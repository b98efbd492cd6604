//! An HTTP/2 server for tests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Answer, send_body};

/// A server that answers each stream as it is told.
pub(crate) struct Server {
    pub(crate) address: String,
    connections: Arc<AtomicUsize>,
    leave: Arc<Notify>,
}

/// One request with where its response goes; `connection` counts from 1.
pub(crate) struct Asked {
    pub(crate) connection: usize,
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Server {
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        max_streams: u32,
        answer: impl Fn(Asked) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start_behind(|stream| std::future::ready(Some(stream)), max_streams, answer).await
    }

    /// Likewise, behind what `enter` makes of a connection, such as TLS.
    pub(crate) async fn start_behind<F, E, S>(
        enter: impl Fn(TcpStream) -> E + Clone + Send + Sync + 'static,
        max_streams: u32,
        answer: impl Fn(Asked) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        E: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(max_streams);
        Self::start_by(&builder, enter, answer).await
    }

    /// One that says with its settings that it takes extended CONNECT (RFC 8441 section 3).
    pub(crate) async fn start_connecting<F: Future<Output = ()> + Send + 'static>(
        answer: impl Fn(Asked) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        Self::start_by(&builder, |stream| std::future::ready(Some(stream)), answer).await
    }

    async fn start_by<F, E, S>(
        builder: &h2::server::Builder,
        enter: impl Fn(TcpStream) -> E + Clone + Send + Sync + 'static,
        answer: impl Fn(Asked) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        E: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let builder = builder.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, leave) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (Arc::clone(&connections), Arc::clone(&leave));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let (builder, enter) = (builder.clone(), enter.clone());
                let (answer, told) = (answer.clone(), Arc::clone(&told));
                tokio::spawn(async move {
                    let Some(stream) = enter(stream).await else { return };
                    let Ok(mut streams) = builder.handshake(stream).await else { return };
                    loop {
                        let accepted = tokio::select! {
                            accepted = streams.accept() => accepted,
                            () = told.notified() => {
                                streams.graceful_shutdown();
                                continue;
                            }
                        };
                        let Some(Ok((request, respond))) = accepted else { return };
                        tokio::spawn(answer(Asked { connection, request, respond }));
                    }
                });
            }
        });
        Self { address, connections, leave }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Has its connections say GOAWAY.
    pub(crate) fn leave(&self) {
        self.leave.notify_waiters();
    }
}

impl Asked {
    /// The request's body and trailers.
    pub(crate) async fn read(self) -> (Answer, SendResponse<Bytes>) {
        self.try_read().await.unwrap()
    }

    /// The same, of a client that may take it back.
    pub(crate) async fn try_read(self) -> Result<(Answer, SendResponse<Bytes>), h2::Error> {
        let body = Response::new(self.request.into_body());
        Ok((Answer::of(body).await?, self.respond))
    }
}

pub(crate) async fn answer(
    mut respond: SendResponse<Bytes>,
    response: Response<()>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) {
    let is_whole = body.is_empty() && trailers.is_none();
    // A client that has gone is no failure of the server.
    let Ok(stream) = respond.send_response(response, is_whole) else { return };
    if !is_whole {
        let _ = send_body(stream, body, trailers).await;
    }
}
