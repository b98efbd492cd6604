//! The admin listener: metrics, liveness, readiness, status, reload.
//!
//! Not the hot path, so hyper serves it, on the control thread. It is meant for operators and scrapers, and bounded
//! against everybody else who reaches it: heads are small and have a deadline, a connection serves one request and
//! has a deadline too, and there are so many connections at most; a new one then takes the place of the oldest, so
//! that whoever holds connections open keeps nobody else out.
//!
//! No web page can ask for what is under `/api` (`origin`). Left out on purpose: authentication and TLS. It listens where
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
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;
    use crate::metrics::Metrics;

    struct Proxy {
        metrics: Metrics,
        is_ready: AtomicBool,
        /// A reload says that it began, and ends when it may.
        reloading: Notify,
        may_end: Notify,
        reloads: AtomicUsize,
        result: Result<String, String>,
    }

    impl Proxy {
        fn new(result: Result<&str, &str>) -> Arc<Self> {
            Arc::new(Self {
                metrics: Metrics::new(1),
                is_ready: AtomicBool::new(true),
                reloading: Notify::new(),
                may_end: Notify::new(),
                reloads: AtomicUsize::new(0),
                result: result.map(str::to_owned).map_err(str::to_owned),
            })
        }
    }

    impl Control for Proxy {
        fn metrics(&self) -> Result<String, EncodeError> {
            self.metrics.encode()
        }

        fn is_ready(&self) -> bool {
            self.is_ready.load(Ordering::Relaxed)
        }

        fn status(&self) -> Status {
            let (frontends, backends) = (Vec::new(), Vec::new());
            Status { version: "1.2.3", uptime: Duration::ZERO, config: None, frontends, backends }
        }

        fn hosts(&self) -> Arc<[HostName]> {
            Arc::from(["lb".parse().unwrap()])
        }

        fn reload(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>> {
            Box::pin(async {
                self.reloading.notify_one();
                self.may_end.notified().await;
                self.reloads.fetch_add(1, Ordering::Relaxed);
                self.result.clone()
            })
        }
    }

    struct Admin {
        address: SocketAddr,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Admin {
        async fn of(proxy: &Arc<Proxy>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let control: Arc<dyn Control> = Arc::<Proxy>::clone(proxy);
            let task = tokio::spawn(serve(listener, control, stop.clone()));
            Self { address, stop, task }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Everything that comes back for a request line, its end included.
        async fn ask(&self, line: &str) -> String {
            let mut stream = self.connect().await;
            stream.write_all(format!("{line} HTTP/1.1\r\nhost: lb\r\n\r\n").as_bytes()).await.unwrap();
            read_to_end(&mut stream).await
        }
    }

    async fn read_to_end(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    fn body(response: &str) -> &str {
        response.split_once("\r\n\r\n").unwrap().1
    }

    #[tokio::test]
    async fn pages_answer() {
        let proxy = Proxy::new(Ok(""));
        let _web = proxy.metrics.frontend("web");
        let admin = Admin::of(&proxy).await;
        let cases = [
            ("GET /metrics", "200 OK", "text/plain; version=0.0.4; charset=utf-8"),
            ("GET /healthz", "200 OK", "text/plain; charset=utf-8"),
            ("HEAD /healthz", "200 OK", "text/plain; charset=utf-8"),
            ("GET /readyz?verbose", "200 OK", "text/plain; charset=utf-8"),
            ("GET /api/status", "200 OK", "application/json"),
            ("GET /", "404 Not Found", "text/plain; charset=utf-8"),
            ("GET /api/status/", "404 Not Found", "text/plain; charset=utf-8"),
            ("POST /api/elsewhere", "404 Not Found", "text/plain; charset=utf-8"),
        ];
        for (line, status, content_type) in cases {
            let response = admin.ask(line).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{line}: {response}");
            assert!(response.contains(&format!("content-type: {content_type}\r\n")), "{line}: {response}");
            assert_eq!(body(&response).is_empty(), line.starts_with("HEAD"), "{line}: {response}");
        }
        let metrics = admin.ask("GET /metrics").await;
        assert!(body(&metrics).contains("lb_frontend_connections{frontend=\"web\"} 0\n"), "{metrics}");
        let status = admin.ask("GET /api/status").await;
        let status: serde_json::Value = serde_json::from_str(body(&status)).unwrap();
        assert_eq!(status["version"], "1.2.3");
    }

    #[tokio::test]
    async fn web_pages_are_refused_what_operators_are_answered() {
        let proxy = Proxy::new(Ok(""));
        let admin = Admin::of(&proxy).await;
        let ask = async |line: &str, fields: &str| {
            let mut stream = admin.connect().await;
            stream.write_all(format!("{line} HTTP/1.1\r\n{fields}\r\n").as_bytes()).await.unwrap();
            read_to_end(&mut stream).await
        };
        let rebound = "host: evil.example\r\norigin: http://evil.example\r\n";
        let foreign = "host: 127.0.0.1\r\norigin: http://evil.example\r\n";
        for fields in [rebound, foreign] {
            for line in [
                "GET /",
                "GET /api",
                "GET /api/status",
                "POST /api/reload",
                "OPTIONS /api/reload",
                "GET /api/x",
            ] {
                let response = ask(line, fields).await;
                assert!(response.starts_with("HTTP/1.1 403 "), "{line}: {response}");
                let body: serde_json::Value = serde_json::from_str(body(&response)).unwrap();
                assert!(body["error"].is_string() && body["remedy"].is_string(), "{body}");
            }
            for line in ["GET /metrics", "GET /healthz", "GET /readyz"] {
                let response = ask(line, fields).await;
                assert!(response.starts_with("HTTP/1.1 200 "), "{line}: {response}");
            }
        }
        assert_eq!(proxy.reloads.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_reload_that_stops_the_listener_is_answered() {
        let proxy = Proxy::new(Ok("admin removed"));
        let admin = Admin::of(&proxy).await;
        let asking = async {
            let response = admin.ask("POST /api/reload").await;
            assert_eq!(body(&response), "admin removed\n", "{response}");
        };
        let stopping = async {
            proxy.reloading.notified().await;
            admin.stop.cancel();
            while TcpStream::connect(admin.address).await.is_ok() {}
            proxy.may_end.notify_one();
        };
        tokio::join!(asking, stopping);
        admin.task.await.unwrap();
    }

    #[tokio::test]
    async fn other_methods_are_told_which_are_allowed() {
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        for (line, allow) in [
            ("POST /metrics", "GET, HEAD"),
            ("DELETE /healthz", "GET, HEAD"),
            ("PUT /readyz", "GET, HEAD"),
            ("OPTIONS /api/status", "GET, HEAD"),
            ("GET /api/reload", "POST"),
            ("HEAD /api/reload", "POST"),
        ] {
            let response = admin.ask(line).await;
            assert!(response.starts_with("HTTP/1.1 405 "), "{line}: {response}");
            assert!(response.contains(&format!("allow: {allow}\r\n")), "{line}: {response}");
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_ready_is_still_alive() {
        let proxy = Proxy::new(Ok(""));
        proxy.is_ready.store(false, Ordering::Relaxed);
        let admin = Admin::of(&proxy).await;
        assert!(admin.ask("GET /readyz").await.starts_with("HTTP/1.1 503 "));
        assert!(admin.ask("GET /healthz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_reload_answers_with_its_result() {
        for (result, status, message) in [
            (Ok("backend shop: server web3:80 added"), "200 OK", "backend shop: server web3:80 added\n"),
            (Err("lb.toml:1:2: no\nlb.toml:3:4: no"), "422 ", "lb.toml:1:2: no\nlb.toml:3:4: no\n"),
        ] {
            let proxy = Proxy::new(result);
            proxy.may_end.notify_one();
            let response = Admin::of(&proxy).await.ask("POST /api/reload").await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
            assert_eq!(body(&response), message);
        }
    }

    #[tokio::test]
    async fn a_reload_ends_without_who_asked_for_it() {
        let proxy = Proxy::new(Ok(""));
        let admin = Admin::of(&proxy).await;
        let mut stream = admin.connect().await;
        stream.write_all(b"POST /api/reload HTTP/1.1\r\nhost: lb\r\n\r\n").await.unwrap();
        proxy.reloading.notified().await;
        drop(stream);
        admin.task.abort();
        assert!(admin.task.await.unwrap_err().is_cancelled());
        proxy.may_end.notify_one();
        while proxy.reloads.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_a_deadline() {
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        for start in ["", "GET /metrics HTTP/1.1\r\n"] {
            let mut stream = admin.connect().await;
            stream.write_all(start.as_bytes()).await.unwrap();
            let started = tokio::time::Instant::now();
            let response = read_to_end(&mut stream).await;
            assert!(!response.starts_with("HTTP/1.1 200"), "{response}");
            assert!(started.elapsed() <= HEAD_TIMEOUT + Duration::from_secs(1), "{:?}", started.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_has_a_deadline() {
        // A reload that never ends stands for whatever takes too long.
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        let started = tokio::time::Instant::now();
        assert_eq!(admin.ask("POST /api/reload").await, "");
        assert!((CONNECTION_TIMEOUT..CONNECTION_TIMEOUT * 2).contains(&started.elapsed()));
    }

    #[tokio::test]
    async fn a_head_is_bounded() {
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        let fields = |count: usize| "a: b\r\n".repeat(count);
        // Host is one of them.
        for (fields, status) in [(fields(FIELDS - 1), "200"), (fields(FIELDS), "431")] {
            let mut stream = admin.connect().await;
            let head = format!("GET /healthz HTTP/1.1\r\nhost: lb\r\n{fields}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let response = read_to_end(&mut stream).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        }
        let mut stream = admin.connect().await;
        // One byte more than fits, so that all of it is read before the answer.
        stream.write_all("GET /healthz".as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; HEAD_BYTES - 11]).await.unwrap();
        let mut answer = Vec::new();
        // The answer, or a reset in its place where bytes were left unread.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 ") || answer.starts_with(b"HTTP/1.1 414 ")
        );
    }

    #[tokio::test]
    async fn who_holds_connections_open_keeps_nobody_out() {
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS + 2 {
            let mut stream = admin.connect().await;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
            held.push(stream);
        }
        assert!(admin.ask("GET /healthz").await.starts_with("HTTP/1.1 200 "));
        // Three came after the bound was reached, so the three oldest are closed and the next is not.
        for stream in &mut held[..3] {
            let ended = stream.read(&mut [0]).await;
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        }
        assert_eq!(held[3].try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn stopping_closes_the_listener_and_its_connections() {
        let admin = Admin::of(&Proxy::new(Ok(""))).await;
        let mut idle = admin.connect().await;
        assert!(admin.ask("GET /healthz").await.starts_with("HTTP/1.1 200 "));
        admin.stop.cancel();
        admin.task.await.unwrap();
        assert_eq!(read_to_end(&mut idle).await, "");
        assert!(TcpStream::connect(admin.address).await.is_err());
    }
}
