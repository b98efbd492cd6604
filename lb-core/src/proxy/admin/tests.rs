//! The admin listener at the socket.

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
        for line in
            ["GET /", "GET /api", "GET /api/status", "POST /api/reload", "OPTIONS /api/reload", "GET /api/x"]
        {
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
