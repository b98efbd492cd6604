//! The admin listener: metrics, liveness, readiness, status, reload.
//!
//! Not the hot path, so hyper serves it, on the control thread. It is meant for operators and scrapers, and bounded
//! against everybody else who reaches it: heads are small and have a deadline, a connection serves one request and
//! has a deadline too, and there are so many connections at most; a new one then takes the place of the oldest, so
//! that whoever holds connections open keeps nobody else out.
//!
//! No web page can ask for `/` or for what is under `/api` (`origin`). Left out on purpose: authentication and TLS. It listens where
//! the configuration says, by default nowhere.

mod origin;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::origin::HostName;

use super::status::Status;
use crate::metrics::EncodeError;
use crate::sys;

/// What the admin listener asks of the proxy.
pub(crate) trait Control: Send + Sync + 'static {
    /// All metrics in the Prometheus text format.
    fn metrics(&self) -> Result<String, EncodeError>;

    /// Whether every listener is bound, every checked server had its first result, and it is not draining.
    fn is_ready(&self) -> bool;

    /// How everything is.
    fn status(&self) -> Status;

    /// The names by which the admin listener may be asked, beside its addresses and `localhost`.
    fn hosts(&self) -> Arc<[HostName]>;

    /// Reloads the configuration: what changed, or what is wrong. Is not cancelled when who asked goes away.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>>;
}

/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a connection, from accept to the last byte of the response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// A head's bytes, and its fields.
const HEAD_BYTES: usize = 16 << 10;
const FIELDS: usize = 64;
/// Connections that are open at most.
const CONNECTIONS: usize = 64;
/// How long a connection that came last may take to begin a request, when the listener goes.
const LAST_CALL: Duration = Duration::from_millis(200);
/// Nothing more is in the queue of a listener that goes when nothing came for this long.
const QUEUED: Duration = Duration::from_millis(20);
/// How long accepting rests after it failed, such as for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves `control` on `listener` until `stop`, and then whoever has connected by then: the answer to the reload that
/// moved the listener is one of those. Go on with it while the proxy drains, so that readiness can be seen to be gone.
pub(crate) async fn serve(listener: TcpListener, control: Arc<dyn Control>, stop: CancellationToken) {
    let mut connections = Connections::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => connections.spawn(connection(stream, Arc::clone(&control), stop.clone())),
            Err(error) => {
                tracing::warn!(%error, "the admin listener can't accept");
                stop.run_until_cancelled(tokio::time::sleep(ACCEPT_REST)).await;
            }
        }
    }
    sys::refuse_new(listener.as_fd());
    // What the kernel had queued; where it can't be told to queue no more, as many as there may be.
    for _ in 0..CONNECTIONS {
        let Ok(Ok((stream, _))) = tokio::time::timeout(QUEUED, listener.accept()).await else { break };
        connections.spawn(connection(stream, Arc::clone(&control), stop.clone()));
    }
    drop(listener);
    while connections.tasks.join_next().await.is_some() {}
}

/// The connections that are open; dropping closes them.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first. Invariant: at most `CONNECTIONS`.
    open: VecDeque<AbortHandle>,
}

impl Connections {
    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|open| !open.is_finished());
        if self.open.len() == CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
        }
        self.open.push_back(self.tasks.spawn(connection));
    }
}

async fn connection(stream: TcpStream, control: Arc<dyn Control>, stop: CancellationToken) {
    let is_asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        is_asked.store(true, Ordering::Relaxed);
        let control = Arc::clone(&control);
        async move { Ok::<_, Infallible>(answer(&request, control).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .max_headers(FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(tokio::time::timeout(CONNECTION_TIMEOUT, connection));
    let given_up = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = given_up => match is_asked.load(Ordering::Relaxed) {
            true => served.await,
            false => return,
        },
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin connection broke"),
        Err(_) => tracing::debug!("admin connection took too long"),
    }
}

async fn answer(request: &Request<Incoming>, control: Arc<dyn Control>) -> Response<String> {
    let path = request.uri().path();
    if is_guarded(path)
        && let Err(foreign) = origin::check(request.headers(), &control.hosts())
    {
        tracing::debug!(%foreign, path, "refused at the admin listener");
        return refused(&foreign.to_string(), foreign.remedy());
    }
    let Some(page) = Page::at(path) else {
        return text(StatusCode::NOT_FOUND, Page::LISTING);
    };
    if !page.allows(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("allowed here: {}", page.allowed()));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(page.allowed()));
        return response;
    }
    match page {
        Page::Metrics => match control.metrics() {
            Ok(metrics) => typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Page::Alive => text(StatusCode::OK, "ok"),
        Page::Ready if control.is_ready() => text(StatusCode::OK, "ready"),
        Page::Ready => text(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        Page::Status => typed(StatusCode::OK, "application/json", control.status().to_json()),
        Page::Reload => reload(control).await,
    }
}

/// What is not for everybody who can have a browser ask. Scrapers and probes ask for the rest, by any name.
fn is_guarded(path: &str) -> bool {
    path == "/" || path == "/api" || path.starts_with("/api/")
}

#[derive(Clone, Copy)]
enum Page {
    Metrics,
    Alive,
    Ready,
    Status,
    Reload,
}

impl Page {
    const LISTING: &str = "not found; there are /metrics, /healthz, /readyz, /api/status and /api/reload";

    fn at(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Alive),
            "/readyz" => Some(Self::Ready),
            "/api/status" => Some(Self::Status),
            "/api/reload" => Some(Self::Reload),
            _ => None,
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.allowed().split(", ").any(|allowed| allowed == method.as_str())
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Metrics | Self::Alive | Self::Ready | Self::Status => "GET, HEAD",
            Self::Reload => "POST",
        }
    }
}

async fn reload(control: Arc<dyn Control>) -> Response<String> {
    // In a task of its own: half a reload must not be what a client that hangs up leaves behind.
    match tokio::spawn(async move { control.reload().await }).await {
        Ok(Ok(changes)) => text(StatusCode::OK, &changes),
        Ok(Err(problems)) => text(StatusCode::UNPROCESSABLE_ENTITY, &problems),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refused(error: &str, remedy: &str) -> Response<String> {
    let body = serde_json::json!({ "error": error, "remedy": remedy });
    typed(StatusCode::FORBIDDEN, "application/json", format!("{body}\n"))
}

fn text(status: StatusCode, message: &str) -> Response<String> {
    typed(status, "text/plain; charset=utf-8", format!("{}\n", message.trim_end()))
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
