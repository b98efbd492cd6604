//! The whole exchange: a client's bytes and a server's bytes through a running proxy, over unix sockets, on a clock
//! that jumps to the next deadline when nothing else can happen.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::backend::Backend;
use crate::http::reference::{self, Body, Message};
use crate::http::route::Route;
use crate::proxy::{Frontend, Proxy, Workers};

/// Ends the client's bytes, and each of the server's replies but the last.
const SEPARATOR: u8 = 0x1e;
/// On the jumping clock: far above all timeouts of all exchanges that an input can hold together.
const HANG: Duration = Duration::from_secs(10_000_000);
/// What the proxy calls itself in Via.
const NAME: &str = "fuzzed";
/// What no buffer of a socket holds would need a second writer.
const MAX_BYTES: usize = 64 * 1024;

/// A client that sends its bytes and no more, and a server that answers its n-th request by the n-th reply, then
/// closes. No one hangs; what the server gets is what a strict reader finds among the client's bytes, and behind what
/// begins a tunnel just what the client sent there; what the client gets are whole responses, each the proxy's own or
/// that of one reply. Inputs of an odd length go through a frontend that names itself in Via.
pub fn exchange(bytes: &[u8]) {
    thread_local! {
        static RIG: RefCell<Option<Rig>> = const { RefCell::new(None) };
    }
    if bytes.len() > MAX_BYTES {
        return;
    }
    let mut parts = bytes.split(|byte| *byte == SEPARATOR);
    let client = parts.next().unwrap_or_default();
    let replies: Vec<_> = parts.map(<[u8]>::to_vec).collect();
    RIG.with_borrow_mut(|rig| {
        let rig = rig.get_or_insert_with(|| Rig::new("exchange"));
        let says_via = bytes.len() % 2 == 1;
        let seen = if says_via { rig.play_via(client, &replies) } else { rig.play(client, &replies) };
        check_forwarded(client, &replies, &seen.forwarded);
        seen.forwarded.iter().for_each(|bytes| check_via(says_via, client, bytes));
        check_answers(client, &replies, &seen.answers);
    });
}

/// A proxy that runs for all inputs of a thread.
pub(super) struct Rig {
    runtime: Runtime,
    plain: Nameless,
    /// Of the frontend that writes Via.
    via: Nameless,
    server: UnixListener,
    _serving: Nameless,
    _proxy: Proxy,
}

/// A listening socket without a name among the files, so that nothing is left of it however the process ends: libFuzzer
/// ends without unwinding, and drops nothing.
struct Nameless {
    path: PathBuf,
    _inode: OwnedFd,
}

/// What either end got.
pub(super) struct Seen {
    /// By connection.
    pub(super) forwarded: Vec<Vec<u8>>,
    pub(super) answers: Vec<u8>,
}

#[derive(Debug, Default)]
struct Script {
    replies: Mutex<VecDeque<Vec<u8>>>,
    forwarded: Mutex<Vec<Vec<u8>>>,
}

impl Rig {
    /// `name` tells its sockets from those of another target.
    pub(super) fn new(name: &str) -> Self {
        let thread = std::thread::current().id();
        let process = std::process::id();
        let directory = std::env::temp_dir().join(format!("lb-fuzz-{name}-{process}-{thread:?}"));
        std::fs::create_dir_all(&directory).expect("a directory for sockets");
        let path = |name: &str| directory.join(name);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let (server, serving, proxy) = runtime.block_on(async {
            // Under libFuzzer main is not Rust's, which would ignore it.
            let _broken_pipes = signal(SignalKind::pipe()).expect("a signal to ignore");
            let server = UnixListener::bind(path("server")).expect("a server's socket");
            let serving = Nameless::at(&path("server"));
            let backend = Backend::builder("all")
                .server(format!("unix:{}", serving.path.display()))
                .retries(0)
                .build()
                .expect("a backend");
            let everything = Route::any().connect().to(&backend);
            let frontend = |name: &str| {
                Frontend::http(name)
                    .listen(format!("unix:{}", path(name).display()))
                    .route(everything.clone())
            };
            let proxy = Proxy::builder()
                .frontend(frontend("plain"))
                .frontend(frontend("via").via(NAME))
                .workers(Workers::Runtime)
                .build()
                .expect("a proxy");
            proxy.start().await.expect("a proxy that starts");
            (server, serving, proxy)
        });
        let [plain, via] = ["plain", "via"].map(|name| Nameless::at(&path(name)));
        std::fs::remove_dir_all(&directory).expect("a directory of nothing but sockets");
        Self { runtime, plain, via, server, _serving: serving, _proxy: proxy }
    }

    pub(super) fn play(&self, bytes: &[u8], replies: &[Vec<u8>]) -> Seen {
        self.play_at(&self.plain.path, bytes, replies)
    }

    fn play_via(&self, bytes: &[u8], replies: &[Vec<u8>]) -> Seen {
        self.play_at(&self.via.path, bytes, replies)
    }

    fn play_at(&self, listen: &Path, bytes: &[u8], replies: &[Vec<u8>]) -> Seen {
        let script = Arc::new(Script { replies: Mutex::new(replies.to_vec().into()), ..Script::default() });
        let answers = self.runtime.block_on(async {
            let mut connections = JoinSet::new();
            let client = tokio::time::timeout(HANG, talk(listen, bytes));
            tokio::pin!(client);
            let answers = loop {
                tokio::select! {
                    answers = &mut client => break answers.expect("an exchange that ends"),
                    accepted = self.server.accept() => {
                        let (stream, _) = accepted.expect("a connection");
                        connections.spawn(serve(stream, Arc::clone(&script)));
                    }
                }
            };
            // Nothing of this input may answer the next: what is pooled is closed.
            connections.shutdown().await;
            answers
        });
        let forwarded = std::mem::take(&mut *script.forwarded.lock().unwrap_or_else(PoisonError::into_inner));
        Seen { forwarded, answers }
    }
}

impl Nameless {
    /// The socket at `path`, to be reached when that is gone.
    fn at(path: &Path) -> Self {
        let inode = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a socket");
        Self { path: format!("/proc/self/fd/{}", inode.as_raw_fd()).into(), _inode: inode }
    }
}

async fn talk(listen: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut answers = Vec::new();
    let mut stream = UnixStream::connect(listen).await.expect("a connection to the proxy");
    let (mut from_proxy, mut to_proxy) = stream.split();
    let reading = async {
        let mut piece = vec![0; 16 * 1024];
        // A reset ends it, too.
        while let Ok(count @ 1..) = from_proxy.read(&mut piece).await {
            answers.extend_from_slice(&piece[..count]);
        }
    };
    let writing = async {
        // A proxy that closes early is right to.
        let _ = to_proxy.write_all(bytes).await;
    };
    tokio::join!(reading, writing);
    answers
}

/// Answers by the script, and remembers what came.
async fn serve(mut stream: UnixStream, script: Arc<Script>) {
    let connection = {
        let mut forwarded = script.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
        forwarded.push(Vec::new());
        forwarded.len() - 1
    };
    let mut answered = 0;
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let wanted = {
            let mut forwarded = script.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
            forwarded[connection].extend_from_slice(&piece[..count]);
            let (requests, _) = reference::requests(&forwarded[connection]);
            requests.iter().filter(|request| request.is_whole).count()
        };
        while answered < wanted {
            answered += 1;
            let reply = script.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(reply) = reply else { return };
            if stream.write_all(&reply).await.is_err() {
                return;
            }
        }
        if script.replies.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
    }
}

/// Each connection's requests are among the client's, in their order, and nothing else is on it.
fn check_forwarded(client: &[u8], replies: &[Vec<u8>], forwarded: &[Vec<u8>]) {
    let (sent, _) = reference::requests(client);
    let mut whole = 0;
    for bytes in forwarded {
        let (mut got, read) = reference::requests(bytes);
        let begins_tunnel =
            |request: &Message<'_>| is_connect(request) || !request.head.values("upgrade").is_empty();
        let tunnel = got.iter().position(|request| request.is_whole && begins_tunnel(request));
        let is_cut = got.last().is_some_and(|last| !last.is_whole);
        assert!(
            tunnel.is_some() || is_cut || read == bytes.len() || reference::head(&bytes[read..]).is_none(),
            "no request to a strict reader: {:?}",
            String::from_utf8_lossy(&bytes[read..])
        );
        got.truncate(tunnel.map_or(got.len(), |at| at + 1));
        let mut candidates = sent.iter();
        for request in &got {
            assert!(!request.is_malformed, "a malformed body is sent on");
            whole += usize::from(request.is_whole);
            assert!(
                candidates.any(|candidate| is_same_request(candidate, request)),
                "the client sent no such request: {:?} {:?}",
                String::from_utf8_lossy(request.head.start[0]),
                String::from_utf8_lossy(request.head.start[1]),
            );
        }
        if let Some(last) = tunnel.map(|at| &got[at]) {
            check_tunnel(client, replies, last, &bytes[last.end..]);
        }
    }
    assert!(whole <= sent.len(), "more requests than the client sent");
}

/// Behind what begins a tunnel, bytes pass unread, if the server agreed.
fn check_tunnel(client: &[u8], replies: &[Vec<u8>], begin: &Message<'_>, carried: &[u8]) {
    let agrees = |status: u16| if is_connect(begin) { status / 100 == 2 } else { status == 101 };
    if !replies.iter().filter_map(|reply| final_status(reply)).any(agrees) {
        // One that said no to an upgrade serves other requests; to CONNECT, nobody's.
        assert!(!is_connect(begin) || carried.is_empty(), "bytes behind a CONNECT that was refused");
        return;
    }
    let (sent, _) = reference::requests(client);
    let mut begins = sent.iter().filter(|request| is_same_request(request, begin));
    let is_the_clients = begins.any(|request| client[request.end..].starts_with(carried));
    // A server that said no first may have agreed to a later upgrade on the same connection.
    assert!(is_the_clients || !is_connect(begin), "a tunnel carries what the client did not send through it");
}

fn is_connect(request: &Message<'_>) -> bool {
    request.head.start[0] == b"CONNECT"
}

/// Via is written by who has a name, once and behind what the client sent, and by nobody else.
fn check_via(says_via: bool, client: &[u8], forwarded: &[u8]) {
    let (sent, _) = reference::requests(client);
    let (got, _) = reference::requests(forwarded);
    // What goes through a tunnel is not ours to say anything in.
    let Some(first) = got.first() else { return };
    let mut values = first.head.values("via");
    if says_via {
        let own = values.pop().expect("a Via");
        assert!(own == format!("1.1 {NAME}").as_bytes() || own == format!("1.0 {NAME}").as_bytes());
    }
    let is_theirs = |request: &Message<'_>| {
        let of_client = request.head.values("via");
        // Connection may name it.
        values.is_empty() || of_client == values
    };
    assert!(sent.iter().any(is_theirs), "a Via that the client did not send");
}

fn is_same_request(sent: &Message<'_>, got: &Message<'_>) -> bool {
    let is_target = sent_on(sent.head.start[0], sent.head.start[1]) == got.head.start[1];
    let is_body = match (got.is_whole, sent.is_malformed) {
        (true, _) => sent.is_whole && sent.body == got.body,
        // What came before the fault may have gone on, but never the end of a message.
        (false, true) => true,
        (false, false) => sent.body.starts_with(&got.body),
    };
    sent.head.start[0] == got.head.start[0] && is_target && is_body
}

/// The target that a request is to go on with: of an absolute one, the path and the query (RFC 9112 section 3.2).
fn sent_on(method: &[u8], target: &[u8]) -> Vec<u8> {
    let scheme = target.windows(3).position(|window| window == b"://");
    let Some(scheme) = scheme.filter(|_| method != b"CONNECT" && !target.starts_with(b"/")) else {
        return target.to_vec();
    };
    let rest = &target[scheme + 3..];
    let authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    match &rest[authority..] {
        [] if method == b"OPTIONS" => b"*".to_vec(),
        path @ [b'/', ..] => path.to_vec(),
        query => [b"/", query].concat(),
    }
}

/// What the client gets are responses, the last of which may be cut off; each is the proxy's own or one reply's, in
/// their order.
fn check_answers(client: &[u8], replies: &[Vec<u8>], answers: &[u8]) {
    let (sent, _) = reference::requests(client);
    let mut replies = replies.iter();
    let (mut at, mut finals) = (0, 0);
    while at < answers.len() {
        let rest = &answers[at..];
        let Some(head) = reference::head(rest) else {
            assert!(!rest.windows(4).any(|window| window == b"\r\n\r\n"), "no head to a strict reader");
            return;
        };
        let method = sent.get(finals).map_or(&b"GET"[..], |request| request.head.start[0]);
        let (status, framing) = head.response_body(method).expect("a response that a strict reader frames");
        // What follows is a tunnel's.
        if status == 101 || method == b"CONNECT" && status / 100 == 2 {
            return;
        }
        let (body, length, is_whole) = reference::body(framing, &rest[head.length..]).expect("a body");
        at += head.length + length;
        if status < 200 {
            continue;
        }
        finals += 1;
        if body.is_empty() || is_own(&head, status) {
            continue;
        }
        let is_the_replys = |reply: &Vec<u8>| match final_body(reply) {
            Some(of_reply) if is_whole && framing != Body::UntilClose => of_reply == body,
            Some(of_reply) => of_reply.starts_with(&body),
            // Malformed behind what went on already: the client must be able to tell.
            None => !is_whole || framing == Body::UntilClose,
        };
        assert!(replies.any(is_the_replys), "a body of no reply: {:?}", String::from_utf8_lossy(&body));
    }
    assert!(finals <= sent.len() + 1, "{finals} answers to {} requests", sent.len());
}

fn is_own(head: &reference::Head<'_>, status: u16) -> bool {
    status >= 400
        && head.values("content-type") == [b"text/plain; charset=utf-8"]
        && head.values("date").len() == 1
}

/// The body of a reply's first final response; what follows it belongs to nobody.
fn final_body(reply: &[u8]) -> Option<Vec<u8>> {
    let (_, framing, at) = final_head(reply)?;
    reference::body(framing, &reply[at..]).map(|(body, ..)| body)
}

fn final_status(reply: &[u8]) -> Option<u16> {
    final_head(reply).map(|(status, ..)| status)
}

/// Status and framing of the first response that is not interim, and where its head ends.
fn final_head(reply: &[u8]) -> Option<(u16, Body, usize)> {
    let mut at = 0;
    loop {
        let head = reference::head(&reply[at..])?;
        let (status, framing) = head.response_body(b"GET")?;
        at += head.length;
        if status >= 200 || status == 101 {
            return Some((status, framing, at));
        }
    }
}
