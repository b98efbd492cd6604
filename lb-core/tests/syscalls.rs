//! Promise: in steady state a kept-alive request costs two reads and two writes, and no other system call but
//! epoll_wait.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use lb_core::backend::PoolLimits;
use lb_core::prelude::*;
use lb_core::testkit::{Origin, ProxyProcess};

const REQUESTS: usize = 300;

/// The other process; see [`ProxyProcess`].
#[test]
fn proxy_process() {
    let builder = |_: &str, origin: &str| {
        // However slow the machine is, pooled connections stay.
        let pool = PoolLimits::default().idle_timeout(Duration::from_secs(600));
        let shop = Backend::builder("shop").server(origin).pool(pool).build().unwrap();
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop))
    };
    ProxyProcess::serve(builder, || 0);
}

#[test]
fn a_request_in_steady_state_costs_two_reads_and_two_writes() {
    if !Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
    {
        eprintln!("skipped: there is no strace here, or it may not trace");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let origin = Origin::named("web1");
    let under = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let mut proxy = ProxyProcess::start("proxy_process", "web", origin.address(), &under);
    let mut client = proxy.client();
    let mut exchange = |times: usize| {
        for _ in 0..times {
            assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").response().text(), "web1");
        }
    };
    exchange(20);
    // What the process answers is seen in the trace and marks what lies between.
    proxy.ask();
    exchange(REQUESTS);
    proxy.ask();
    proxy.finish();
    let trace = std::fs::read_to_string(&trace).unwrap();
    let between = trace.split("the proxy says: 0").nth(1).expect("two marks");
    let mut calls = BTreeMap::new();
    // Once a second, not once a request, a worker sweeps its pools, whose timer wakes the loop by its eventfd.
    let calls_made = between.lines().skip(1).filter(|line| !line.contains(r#""\1\0\0\0\0\0\0\0", 8"#));
    for name in calls_made.filter_map(system_call) {
        *calls.entry(name).or_insert(0_usize) += 1;
    }
    let (mut reads, mut writes) = (0, 0);
    for (name, count) in &calls {
        match *name {
            "read" | "readv" | "recvfrom" | "recvmsg" => reads += count,
            "write" | "writev" | "sendto" | "sendmsg" => writes += count,
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {}
            other => panic!("{count} calls of {other} in {REQUESTS} requests: {calls:?}"),
        }
    }
    // One read and one write are the question and the answer of the mark.
    assert!(reads <= 2 * REQUESTS + 2 && writes <= 2 * REQUESTS + 1, "{calls:?}");
    assert!(reads >= 2 * REQUESTS && writes >= 2 * REQUESTS, "{calls:?}");
}

/// The name of the call that a line of strace's output tells the beginning of.
fn system_call(line: &str) -> Option<&str> {
    let (_pid, call) = line.trim_start().split_once(' ')?;
    let (name, _) = call.trim_start().split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}
