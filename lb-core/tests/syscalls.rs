//! Promise: in steady state a kept-alive request costs two reads and two writes, a megabyte a few dozen calls, and
//! neither any system call that does not move bytes or wait; a connection's last bytes and its end share a segment.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[cfg(feature = "tls")]
mod h2_client;
#[cfg(feature = "tls")]
mod rig;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use lb_core::backend::PoolLimits;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, ProxyProcess, Wire, chunk, pattern};

const REQUESTS: usize = 300;
const BODIES: usize = 20;
const MEGABYTE: usize = 1024 * 1024;

/// The other process; see [`ProxyProcess`].
#[test]
fn proxy_process() {
    let builder = |role: &str, origin: &str| {
        // However slow the machine is, pooled connections stay.
        let pool = PoolLimits::default().idle_timeout(Duration::from_secs(600));
        let shop = Backend::builder("shop").server(origin).pool(pool).build().unwrap();
        let proxy = Proxy::builder();
        match role {
            #[cfg(feature = "tls")]
            "http2" => proxy.frontend(secure::frontend(&shop)),
            "http" => proxy.frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)),
            _ => proxy.frontend(Frontend::tcp("web").listen("127.0.0.1:0").backend(&shop)),
        }
    };
    ProxyProcess::serve(builder, || 0);
}

#[test]
fn a_request_in_steady_state_costs_two_reads_and_two_writes() {
    let origin = Origin::named("web1");
    let Some(trace) = traced("http", &origin, REQUESTS, |_, client| {
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "web1");
    }) else {
        return;
    };
    let calls = Calls::of(&trace);
    assert!(calls.reads <= 2 * REQUESTS && calls.writes <= 2 * REQUESTS, "{calls:?}");
    assert!(calls.reads >= 2 * REQUESTS && calls.writes >= 2 * REQUESTS, "{calls:?}");
    assert!(calls.splices == 0 && calls.others.is_empty(), "{calls:?}");
}

#[test]
fn a_megabyte_costs_a_few_dozen_calls() {
    let origin = of_megabytes();
    for role in ["http", "tcp"] {
        let Some(trace) = traced(role, &origin, BODIES, |_, client| {
            let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
            assert_eq!(response.body.len(), MEGABYTE);
        }) else {
            return;
        };
        let mut calls = Calls::of(&trace);
        // In, out and in vain, for each quarter of a pipe.
        assert!((8 * BODIES..=48 * BODIES).contains(&calls.splices), "{role}: {calls:?}");
        // The request, and the head with what came with it.
        assert!(calls.reads <= 4 * BODIES && calls.writes <= 4 * BODIES, "{role}: {calls:?}");
        // What lets bytes gather, and what lets the first ones go.
        assert!(calls.others.remove("setsockopt").unwrap_or(0) <= 8 * BODIES, "{role}: {calls:?}");
        assert!(calls.others.is_empty(), "{role}: {calls:?}");
    }
}

/// What can't be spliced goes by large buffers; by those of usual size it would be 128 calls.
const FRAMED_CALLS: usize = 64;

#[test]
fn a_megabyte_in_chunks_costs_a_few_dozen_calls() {
    let origin = Origin::answering(|_: &Message| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        answer.extend(pattern(MEGABYTE).chunks(16 * 1024).flat_map(chunk));
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    });
    let Some(trace) = traced("http", &origin, BODIES, |_, client| {
        let response = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response();
        assert_eq!(response.body.len(), MEGABYTE);
    }) else {
        return;
    };
    let calls = Calls::of(&trace);
    assert!((8 * BODIES..=FRAMED_CALLS * BODIES).contains(&(calls.reads + calls.writes)), "{calls:?}");
    assert!(calls.splices == 0 && calls.others.is_empty(), "{calls:?}");
}

#[cfg(feature = "tls")]
#[test]
fn a_megabyte_over_http2_costs_a_few_dozen_calls() {
    let origin = of_megabytes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = None;
    let Some(trace) = traced("http2", &origin, BODIES, |proxy, _| {
        runtime.block_on(async {
            if client.is_none() {
                client = Some(secure::connect(proxy.address(), 4 * MEGABYTE).await);
            }
            let answer = client.as_mut().unwrap().get("/").await.unwrap();
            assert_eq!(answer.body.len(), MEGABYTE);
        });
    }) else {
        return;
    };
    let calls = Calls::of(&trace);
    assert!((8 * BODIES..=FRAMED_CALLS * BODIES).contains(&(calls.reads + calls.writes)), "{calls:?}");
}

#[cfg(feature = "tls")]
#[test]
fn frames_of_an_upload_share_segments() {
    let origin = Origin::named("web1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for length in [Some(MEGABYTE), None] {
        let mut client = None;
        let Some(trace) = traced("http2", &origin, BODIES, |proxy, _| {
            runtime.block_on(async {
                if client.is_none() {
                    client = Some(secure::connect(proxy.address(), MEGABYTE).await);
                }
                let mut request = h2_client::request("POST", "/");
                if let Some(length) = length {
                    request.headers_mut().insert("content-length", length.into());
                }
                let client = client.as_mut().unwrap();
                let answer = client.ask(request, &pattern(MEGABYTE), None).await.unwrap();
                assert_eq!(answer.text(), "web1");
            });
        }) else {
            return;
        };
        let held_back = held_back(&trace);
        // A frame that comes by itself can't; none is left behind.
        assert!(held_back.len() >= 16 * BODIES, "{length:?}: {} of them", held_back.len());
        assert!(held_back.iter().all(|next| is_write(next.unwrap_or_default())), "{length:?}: {held_back:?}");
    }
}

#[test]
fn the_last_bytes_of_a_connection_share_a_segment_with_its_end() {
    let origin = Origin::named("web1");
    let ask = |path: &str, status: u16| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let Some(trace) = traced("http", &origin, BODIES, |proxy, _| {
            let mut client = proxy.client();
            assert_eq!(client.send(&request).response().status(), status);
            client.expect_closed();
        }) else {
            return;
        };
        // A write that holds back is of use only if the end comes next.
        let ended = held_back(&trace).into_iter().filter(|next| *next == Some("close"));
        assert_eq!(ended.count(), BODIES, "{trace:#?}");
    };
    ask("/", 200);
    // Of our own.
    ask("/%zz", 400);
}

/// What is called next on the socket of each write that holds back.
fn held_back(trace: &[String]) -> Vec<Option<&str>> {
    let writes = trace.iter().enumerate().filter(|(_, line)| line.contains("MSG_MORE"));
    let next = |(at, line): (usize, &String)| {
        let calls = trace[at + 1..].iter().filter(|next| argument(next) == argument(line));
        // An unoptimised standard library looks whether a socket is open before it closes it.
        calls.filter_map(|line| system_call(line)).find(|call| *call != "fcntl")
    };
    writes.map(next).collect()
}

fn is_write(call: &str) -> bool {
    matches!(call, "write" | "writev" | "sendto" | "sendmsg")
}

/// Answers everything with a megabyte, whose length it says.
fn of_megabytes() -> Origin {
    Origin::answering(|_: &Message| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MEGABYTE}\r\n\r\n");
        [head.as_bytes(), &pattern(MEGABYTE)].concat()
    })
}

/// The system calls of a proxy, as strace tells them, while `exchange` is done `times` times; it was done before.
/// None, and said, where strace is missing or may not trace.
fn traced(
    role: &str,
    origin: &Origin,
    times: usize,
    mut exchange: impl FnMut(&ProxyProcess, &mut Wire),
) -> Option<Vec<String>> {
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
    {
        eprintln!("skipped: there is no strace here, or it may not trace");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let under = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let mut proxy = ProxyProcess::start("proxy_process", role, origin.address(), &under);
    let mut client = proxy.client();
    (0..20).for_each(|_| exchange(&proxy, &mut client));
    // What the process answers is seen in the trace and marks what lies between.
    proxy.ask();
    (0..times).for_each(|_| exchange(&proxy, &mut client));
    proxy.ask();
    proxy.finish();
    let trace = std::fs::read_to_string(&trace).unwrap();
    let between = trace.split("the proxy says: 0").nth(1).expect("two marks");
    let is_mark = |line: &str| line.contains(" read(0, ") || line.contains(" write(1, ");
    // Once a second, not once a request, a worker sweeps its pools, whose timer wakes the loop by its eventfd.
    let is_sweep = |line: &str| line.contains(r#""\1\0\0\0\0\0\0\0", 8"#);
    let lines = between.lines().skip(1).filter(|line| !is_mark(line) && !is_sweep(line));
    Some(lines.map(str::to_owned).collect())
}

/// HTTP/2 over TLS.
#[cfg(feature = "tls")]
mod secure {
    use lb_core::prelude::*;
    use lb_core::tls::Termination;
    use tokio::net::TcpStream;

    use super::{h2_client, rig};

    pub(super) fn frontend(shop: &Backend) -> lb_core::proxy::HttpFrontend {
        let authority = rig::Authority::new();
        let certificate = authority.issue(&["shop.example"]);
        let tls = Termination::builder().certificate(certificate).build().unwrap();
        Frontend::http("web").listen("127.0.0.1:0").backend(shop).tls(tls)
    }

    /// Whose windows hold up nothing.
    pub(super) async fn connect(address: &str, window: usize) -> h2_client::Client {
        let window = u32::try_from(window).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window);
        let tls = rig::Client::believing_anybody().protocol("h2");
        let stream = tls.shake_hands(TcpStream::connect(address).await.unwrap(), "shop.example").await;
        h2_client::Client::over(stream, &builder).await
    }
}

/// How often what was called, waiting aside.
#[derive(Debug, Default)]
struct Calls<'a> {
    reads: usize,
    writes: usize,
    splices: usize,
    others: BTreeMap<&'a str, usize>,
}

impl<'a> Calls<'a> {
    fn of(trace: &'a [String]) -> Self {
        let mut calls = Self::default();
        for name in trace.iter().filter_map(|line| system_call(line)) {
            match name {
                "read" | "readv" | "recvfrom" | "recvmsg" => calls.reads += 1,
                write if is_write(write) => calls.writes += 1,
                "splice" => calls.splices += 1,
                "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {}
                other => *calls.others.entry(other).or_default() += 1,
            }
        }
        calls
    }
}

/// The name of the call that a line of strace's output tells the beginning of.
fn system_call(line: &str) -> Option<&str> {
    let (_pid, call) = line.trim_start().split_once(' ')?;
    let (name, _) = call.trim_start().split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}

/// The first argument of that call.
fn argument(line: &str) -> Option<&str> {
    system_call(line)?;
    line.split_once('(')?.1.split([',', ')', ' ']).next()
}
