//! Promise: whatever clients and servers do at once, for as long as they like, nobody gets another's answer and nothing
//! is left behind.
//!
//! Good, bad, slow and aborted clients, while servers are killed, frozen and started again and the snapshot is replaced.
//! A good client's answer carries a hash of its request. 20 seconds; `LB_SOAK_SECONDS=3600` for an hour.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::backend::{BackendTimeouts, Passive};
use lb_core::http::FrontendTimeouts;
use lb_core::prelude::*;
use lb_core::proxy::ProxyBuilder;
use lb_core::testkit::{Origin, Running, chunk, pattern};
use rustix::process::{Pid, Signal, kill_process};

const SERVERS: usize = 3;
/// Set for this binary when it is to be a server: where to listen, or nothing for any port.
const ROLE: &str = "LB_SOAK_SERVER";

fn hash(method: &str, target: &str, body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    (method, target, body).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Not a test of its own: the servers, which have to be processes to be killed and frozen.
#[test]
fn server() {
    let Ok(address) = std::env::var(ROLE) else { return };
    let script = |wire: &mut lb_core::testkit::Wire| {
        while let Some(request) = wire.whole_request() {
            let hash = hash(request.method(), request.target(), &request.body);
            let length =
                request.target().rsplit('/').next().and_then(|length| length.parse().ok()).unwrap_or(0);
            let mut answer = format!("HTTP/1.1 200 OK\r\nx-hash: {hash}\r\n").into_bytes();
            let body = pattern(length);
            if length % 2 == 0 {
                answer.extend(format!("content-length: {length}\r\n\r\n").into_bytes());
                answer.extend(body);
            } else {
                answer.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                answer.extend(body.chunks(1 + length / 3).flat_map(chunk));
                answer.extend_from_slice(b"0\r\n\r\n");
            }
            if wire.try_send(answer).is_err() {
                return;
            }
        }
    };
    let origin =
        if address.is_empty() { Origin::scripted(script) } else { Origin::scripted_at(&address, script) };
    println!("\nlistening {}", origin.address());
    // Until the parent is gone, or ends it.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server", "--nocapture"])
            .env(ROLE, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("listening ")?.to_owned()));
        Self { child, address: address.expect("a server that listens") }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Self::start(&self.address.clone());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn snapshot(turn: usize, servers: &[String]) -> ProxyBuilder {
    let some = servers.iter().enumerate().filter(|(at, _)| turn == 0 || turn % (SERVERS + 1) != *at);
    let second = Duration::from_secs(1);
    let shop = Backend::builder("shop")
        .servers(some.map(|(_, address)| address))
        .timeouts(BackendTimeouts::default().connect(second).response(second).body(second))
        .passive(Passive::default().eject(Duration::from_millis(200)))
        .build()
        .unwrap();
    let timeouts = FrontendTimeouts::default().head(second).body(second);
    let web = Frontend::http("web").listen("127.0.0.1:0").timeouts(timeouts);
    Proxy::builder().frontend(web.backend(&shop).route(Route::prefix("/turn").to(&shop)))
}

/// A response whose end was seen, or nothing.
fn read_response(stream: &mut TcpStream) -> Option<(u16, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = || -> Option<String> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.strip_suffix("\r\n")?.to_owned())
    };
    let status = line()?.get(9..12)?.parse().ok()?;
    let (mut hash, mut length, mut is_chunked) = (String::new(), 0, false);
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name {
            "x-hash" => hash = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            "transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    let mut body = Vec::new();
    loop {
        if is_chunked {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            length = usize::from_str_radix(size.trim_end(), 16).ok()?;
        }
        let mut piece = vec![0; length + if is_chunked { 2 } else { 0 }];
        reader.read_exact(&mut piece).ok()?;
        body.extend_from_slice(&piece[..length]);
        if !is_chunked || length == 0 {
            // Nothing was asked for that could follow.
            assert!(reader.buffer().is_empty(), "bytes behind a response");
            return Some((status, hash, body));
        }
    }
}

/// What the good clients met.
#[derive(Default)]
struct Met {
    is_over: AtomicBool,
    right: AtomicUsize,
    refused: AtomicUsize,
    broken: AtomicUsize,
}

impl Met {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// One request; false when the connection is of no more use. Panics at an answer that is not this request's.
fn ask(stream: &mut TcpStream, number: usize, met: &Met) -> bool {
    let lengths = [0, 2, 11, 1000, 16 * 1024 + 1, 300_000];
    let (length, body) = (lengths[number % lengths.len()], pattern(lengths[number / 7 % lengths.len()]));
    let method = ["GET", "PUT", "POST"][number % 3];
    let body = if method == "GET" { &[][..] } else { &body };
    let target = format!("/turn/{number}/{length}");
    let head = format!("{method} {target} HTTP/1.1\r\nhost: a\r\n");
    let framing = if method == "GET" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    // An answer may come, and the connection close, before all of the body is sent.
    let _ = stream.write_all(&[format!("{head}{framing}\r\n").as_bytes(), body].concat());
    let (counter, is_open) = match read_response(stream) {
        Some((200, got, payload)) => {
            assert_eq!(got, hash(method, &target, body), "another's answer to {method} {target}");
            assert!(payload == pattern(length), "a damaged answer to {method} {target}");
            (&met.right, true)
        }
        Some((status, hash, _)) => {
            assert!(matches!(status, 502..=504) && hash.is_empty(), "{status} to {method} {target}");
            // It says whether it closes; a fresh one is as good.
            (&met.refused, false)
        }
        None => (&met.broken, false),
    };
    counter.fetch_add(1, Ordering::SeqCst);
    is_open
}

fn be_good(address: &str, mut number: usize, met: &Met) {
    while !met.is_over() {
        let mut stream = connect(address);
        for _ in 0..50 {
            number += 1;
            if met.is_over() || !ask(&mut stream, number, met) {
                break;
            }
        }
    }
}

/// Malformed, ambiguous and half requests, in turns; whatever comes back is read to its end or reset.
fn be_bad(address: &str, met: &Met) {
    let streams: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /turn/0/2 HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /turn/0/2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX",
        b"POST /turn/0/2 HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf",
        b"GET /turn/0/300000 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for turn in (0..).take_while(|_| !met.is_over()) {
        let mut stream = connect(address);
        let _ = stream.write_all(streams[turn % streams.len()]);
        let mut piece = [0; 100];
        match turn / streams.len() % 3 {
            0 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            1 => drop(stream.read(&mut piece)),
            _ => {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                while stream.read(&mut piece).is_ok_and(|count| count > 0) {}
            }
        }
    }
}

/// A byte now and then, in a head, in a body, and of an answer.
fn be_slow(address: &str, met: &Met) {
    let request =
        b"POST /turn/0/300000 HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\n01234567890123456789";
    while !met.is_over() {
        let mut stream = connect(address);
        for byte in request {
            thread::sleep(Duration::from_millis(10));
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
        }
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(10));
            if !stream.read(&mut [0]).is_ok_and(|count| count > 0) {
                break;
            }
        }
    }
}

/// Kills, freezes and starts servers, and replaces the snapshot; in the end all is well again.
fn cause_trouble(proxy: &Running, servers: &mut [Server], until: Instant) {
    let addresses: Vec<_> = servers.iter().map(|server| server.address.clone()).collect();
    for turn in 0.. {
        if Instant::now() > until {
            break;
        }
        let server = &mut servers[turn % SERVERS];
        match turn % 4 {
            0 => server.restart(),
            1 => {
                server.signal(Signal::STOP);
                // Longer than a response is waited for.
                thread::sleep(Duration::from_millis(1500));
                server.signal(Signal::CONT);
            }
            _ => proxy.apply(snapshot(turn, &addresses)),
        }
        thread::sleep(Duration::from_millis(200));
    }
    proxy.apply(snapshot(0, &addresses));
}

#[test]
fn nobody_gets_anothers_answer_and_nothing_is_left() {
    let seconds = std::env::var("LB_SOAK_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    let mut servers: Vec<_> = (0..SERVERS).map(|_| Server::start("")).collect();
    let addresses: Vec<_> = servers.iter().map(|server| server.address.clone()).collect();
    // Where it ends, it asserts that no connection, slot or socket is left.
    let proxy = Running::start_with(snapshot(0, &addresses), Workers::Threads(2));
    let (address, met) = (proxy.address("web"), Met::default());
    thread::scope(|scope| {
        for client in 0..4 {
            let (address, met) = (&address, &met);
            scope.spawn(move || be_good(address, client * 1_000_000_000, met));
        }
        scope.spawn(|| be_bad(&address, &met));
        scope.spawn(|| be_slow(&address, &met));
        cause_trouble(&proxy, &mut servers, Instant::now() + Duration::from_secs(seconds));
        met.is_over.store(true, Ordering::SeqCst);
    });
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    println!("{} right, {} refused, {} broken", count(&met.right), count(&met.refused), count(&met.broken));
    assert!(count(&met.right) > 100, "hardly anybody was served");
    // The trouble is over: once an ejected server has had its trial, nobody is refused anything.
    let calm = Met::default();
    lb_core::testkit::eventually("a hundred requests in a row are served", || {
        let mut stream = connect(&address);
        (0..100).all(|number| ask(&mut stream, number, &calm))
    });
}
