//! Promise: servers whose checks fail get no requests, and get them again when their checks pass.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lb_core::backend::ServerState;
use lb_core::prelude::*;
use lb_core::testkit::{Closing, Message, Origin, Running, eventually, refusing_address};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn to(backend: &Backend) -> Running {
    Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(backend)))
}

fn quick(check: HealthCheck) -> HealthCheck {
    check.interval(Duration::from_millis(20)).timeout(Duration::from_secs(30)).rise(2).fall(3)
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// An origin whose `/health` says 200 or 503, as the switch says.
fn switched(name: &'static str) -> (Origin, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(true));
    let origin = Origin::answering({
        let is_well = Arc::clone(&is_well);
        move |request: &Message| {
            if request.target() != "/health" {
                return ok(name);
            }
            assert_eq!(request.method(), "GET");
            if is_well.load(Ordering::SeqCst) {
                return ok("well");
            }
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()
        }
    });
    (origin, is_well)
}

fn state(proxy: &Running, at: usize) -> ServerState {
    proxy.handle().status().backends[0].servers[at].server.state
}

#[test]
fn a_server_whose_checks_fail_is_left_out_and_comes_back() {
    let (first, _) = switched("web1");
    let (second, second_is_well) = switched("web2");
    let backend = Backend::builder("shop").servers([first.address(), second.address()]);
    let proxy = to(&backend.health(quick(HealthCheck::http("/health"))).build().unwrap());
    eventually("both are up", || state(&proxy, 0) == ServerState::Up && state(&proxy, 1) == ServerState::Up);
    assert!(proxy.handle().is_ready());
    let mut client = proxy.client("web");
    let mut ask =
        |times: usize| -> Vec<String> { (0..times).map(|_| client.send(GET).response().text()).collect() };
    let mut turns = ask(4);
    turns.sort_unstable();
    assert_eq!(turns, ["web1", "web1", "web2", "web2"]);
    second_is_well.store(false, Ordering::SeqCst);
    eventually("the second is down", || state(&proxy, 1) == ServerState::Down);
    assert_eq!(ask(4), ["web1"; 4]);
    let up = |origin: &Origin| {
        proxy.metric(&format!("lb_server_up{{backend=\"shop\",server=\"{}\"}}", origin.address()))
    };
    assert_eq!((up(&first), up(&second)), (1.0, 0.0));
    let requests = |code: &str| {
        let address = second.address();
        proxy.metric(&format!(
            "lb_server_requests_total{{backend=\"shop\",server=\"{address}\",code=\"{code}\"}}"
        ))
    };
    assert_eq!(requests("2xx"), 2.0, "a server that is down keeps its counters");
    second_is_well.store(true, Ordering::SeqCst);
    eventually("the second is up again", || state(&proxy, 1) == ServerState::Up);
    let mut turns = ask(4);
    turns.sort_unstable();
    assert_eq!(turns, ["web1", "web1", "web2", "web2"]);
    // Counted when the exchange is over, which the client can't see.
    eventually("all four are counted", || requests("2xx") == 4.0);
    let checks = second.requests().iter().filter(|request| request.target() == "/health").count();
    assert!(checks >= 5, "{checks}");
}

#[test]
fn the_statuses_that_count_and_the_host_are_configured() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = Origin::answering({
        let asked = Arc::clone(&asked);
        move |request| {
            if request.target() == "/health?full" {
                assert_eq!(request.field("host"), Some("shop.example"));
                asked.fetch_add(1, Ordering::SeqCst);
                return b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n".to_vec();
            }
            ok("web1")
        }
    });
    let check = quick(HealthCheck::http("/health?full")).expect("418".parse().unwrap()).host("shop.example");
    let proxy = to(&Backend::builder("shop").server(origin.address()).health(check).build().unwrap());
    eventually("it is up", || state(&proxy, 0) == ServerState::Up);
    eventually("it is checked again", || asked.load(Ordering::SeqCst) >= 3);
}

#[test]
fn a_tcp_check_is_a_connect() {
    let (refusing, guard) = refusing_address();
    let other = Origin::named("web2");
    let backend = Backend::builder("shop").servers([refusing.as_str(), other.address()]);
    let proxy = to(&backend.health(quick(HealthCheck::tcp())).build().unwrap());
    eventually("both are known", || {
        (state(&proxy, 0), state(&proxy, 1)) == (ServerState::Down, ServerState::Up)
    });
    let mut client = proxy.client("web");
    for _ in 0..4 {
        assert_eq!(client.send(GET).response().text(), "web2");
    }
    assert_eq!(proxy.metric("lb_retries_total{backend=\"shop\"}"), 0.0);
    drop(guard);
    let _returned = Origin::named_at("web1", &refusing);
    eventually("the first is up", || state(&proxy, 0) == ServerState::Up);
    let mut turns: Vec<String> = (0..2).map(|_| client.send(GET).response().text()).collect();
    turns.sort_unstable();
    assert_eq!(turns, ["web1", "web2"]);
}

#[test]
fn a_tcp_check_is_over_before_the_server_accepts_it() {
    let origin = Origin::scripted(|server| {
        // A database that counts whoever comes and says nothing.
        assert_eq!(server.until_closed().1, Closing::Reset, "an end in order would be a client that gave up");
    });
    let proxy = to(&Backend::builder("shop")
        .server(origin.address())
        .health(quick(HealthCheck::tcp()))
        .build()
        .unwrap());
    let checks = || {
        let server = format!("backend=\"shop\",server=\"{}\"", origin.address());
        proxy.metric(&format!("lb_server_checks_total{{{server},result=\"passed\"}}"))
    };
    eventually("it is checked often", || checks() >= 20.0);
    assert!((origin.connections() as f64) < checks() / 2.0, "{} of {}", origin.connections(), checks());
}

#[test]
fn what_a_client_could_not_be_given_fails_a_check() {
    let answers = [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: {}\r\n\r\n", "x".repeat(40 * 1024)),
    ];
    let origins = answers.map(|answer| Origin::answering(move |_| answer.clone().into_bytes()));
    let backend = Backend::builder("shop").servers(origins.iter().map(Origin::address));
    let proxy = to(&backend.health(quick(HealthCheck::http("/"))).build().unwrap());
    eventually("all are known", || proxy.handle().is_ready());
    let states = [0, 1, 2].map(|at| state(&proxy, at));
    assert_eq!(states, [ServerState::Down, ServerState::Down, ServerState::Up]);
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().status(), 200);
}

#[test]
fn a_backend_without_a_server_up_answers_503_until_one_is() {
    let (origin, is_well) = switched("web1");
    is_well.store(false, Ordering::SeqCst);
    let backend = Backend::builder("shop").server(origin.address());
    let proxy = to(&backend.health(quick(HealthCheck::http("/health"))).build().unwrap());
    eventually("it is down", || state(&proxy, 0) == ServerState::Down);
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().status(), 503);
    assert_eq!(proxy.log().only().reason, Some("no_server"));
    is_well.store(true, Ordering::SeqCst);
    eventually("it is up", || state(&proxy, 0) == ServerState::Up);
    assert_eq!(client.send(GET).response().text(), "web1");
}

#[test]
fn readiness_waits_for_the_first_result_of_every_server() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.until_told();
        server.send(ok("well"));
    });
    let check = quick(HealthCheck::http("/health")).interval(Duration::from_secs(600));
    let proxy = to(&Backend::builder("shop").server(origin.address()).health(check).build().unwrap());
    eventually("the check is under way", || origin.connections() == 1);
    assert!(!proxy.handle().is_ready());
    origin.tell();
    eventually("it is ready", || proxy.handle().is_ready());
}
