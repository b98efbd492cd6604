//! A server to be balanced: every page of it says who it is.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One server of the demonstration.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    colour: &'static str,
    address: SocketAddr,
    pages: AtomicU64,
}

impl Server {
    /// Binds a loopback port that the kernel chooses, and serves it for as long as the runtime lives.
    pub(super) async fn start(name: &'static str, colour: &'static str) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Self { name, colour, address, pages: AtomicU64::new(0) });
        tokio::spawn(server.serve(listener));
        Ok(address)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: some come back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let server = Arc::clone(&self);
            let service = service_fn(move |request| {
                let page = server.answer(&request);
                async move { Ok::<_, Infallible>(page) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let path = request.uri().path();
        if path == "/health" {
            return Response::new("well\n".to_owned());
        }
        // Counter only.
        let count = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        let page = include_str!("page.html")
            .replace("{name}", self.name)
            .replace("{colour}", self.colour)
            .replace("{address}", &self.address.to_string())
            .replace("{count}", &count.to_string())
            // Last, since it is the client's.
            .replace("{path}", &escape(path));
        let mut response = Response::new(page);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert("x-server", HeaderValue::from_static(self.name));
        response
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
