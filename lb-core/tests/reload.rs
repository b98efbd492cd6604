//! Promise: replacing the snapshot of a running proxy disturbs nobody: no request fails, no connection is reset, no
//! tunnel ends. And: a server that dies under load costs no client of a request that may be repeated anything.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lb_core::backend::{ServerSpec, ServerState};
use lb_core::prelude::*;
use lb_core::proxy::ProxyBuilder;
use lb_core::testkit::{Closing, Message, Origin, PATIENCE, Running, Wire, eventually};

const RELOADS: usize = 50;
const GET: &str = "GET /shop/x HTTP/1.1\r\nHost: a\r\n\r\n";

/// An origin of pages and of tunnels, which echo.
fn origin(name: &'static str) -> Origin {
    Origin::scripted(move |server| {
        while let Some(request) = server.request() {
            if request.field("upgrade").is_some() {
                server
                    .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
                return echo(server);
            }
            let body = format!("{name} {}", request.text());
            if server
                .try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
                .is_err()
            {
                return;
            }
        }
    })
}

fn echo(server: &mut Wire) {
    while !server.is_closed() {
        let byte = server.exactly(1);
        server.send(byte);
    }
}

/// What the proxy serves after `turn` reloads.
fn snapshot(turn: usize, web: &[Origin; 3], db: &Origin) -> ProxyBuilder {
    let spec = |at: usize, weight: u32| {
        ServerSpec::new(format!("web{at}"), web[at].address().parse().unwrap()).weight(weight)
    };
    // The first stays, the others come and go; weights change all the time.
    let servers = (0..3).filter(|at| *at == 0 || !(turn + at).is_multiple_of(3));
    let weight = |at: usize| u32::try_from(1 + (turn * 7 + at) % 5).unwrap();
    let shop = Backend::builder("shop").servers(servers.map(|at| spec(at, weight(at))));
    let shop = if turn % 4 < 2 { shop.policy(RoundRobin) } else { shop.policy(LeastConnections) };
    let shop = shop.build().unwrap();
    let other = Backend::builder("other").server(web[1].address()).build().unwrap();
    let mut frontend = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    for extra in 0..turn % 5 {
        frontend = frontend.route(Route::prefix(&format!("/extra{extra}")).to(&other));
    }
    if turn % 2 == 1 {
        frontend = frontend.route(Route::prefix("/shop").to(&other));
    }
    let rows = Backend::builder("rows")
        .server(db.address())
        .retries(u32::try_from(turn % 3).unwrap())
        .build()
        .unwrap();
    let mut builder = Proxy::builder()
        .frontend(frontend)
        .frontend(Frontend::tcp("db").listen("127.0.0.1:0").backend(&rows));
    if turn % 3 != 2 {
        builder = builder.frontend(Frontend::http("sometimes").listen("127.0.0.1:0").backend(&shop));
    }
    builder
}

fn post(body: &str) -> String {
    format!("POST /shop/y HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Each response tells of its own request.
fn assert_answered(response: &Message, sent: &str) {
    assert_eq!(response.status(), 200, "{response:?}");
    let text = response.text();
    let (name, body) = text.split_once(' ').expect("name and body");
    assert!(name.starts_with("web") && body == sent, "{text:?} for {sent:?}");
}

#[test]
fn fifty_reloads_under_load_disturb_nobody() {
    let web = ["web0", "web1", "web2"].map(origin);
    let db = Origin::scripted(echo);
    let proxy = Running::start_with(snapshot(0, &web, &db), Workers::Threads(2));
    let is_over = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    let count = || served.fetch_add(1, Ordering::SeqCst);
    thread::scope(|scope| {
        for client in 0..2 {
            let (proxy, is_over, count) = (&proxy, &is_over, &count);
            scope.spawn(move || {
                let mut kept = proxy.client("web");
                for turn in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let body = format!("kept {client} {turn}");
                    assert_answered(&kept.send(post(&body)).response(), &body);
                    count();
                }
            });
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let mut fresh = proxy.client("web");
                    assert_answered(&fresh.send(GET).response(), "");
                    count();
                }
            });
        }
        let _ends_the_clients = OnDrop(|| is_over.store(true, Ordering::SeqCst));
        let mut websocket = proxy.client("web");
        websocket.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        assert_eq!(websocket.response().status(), 101);
        let mut tunnel = proxy.client("db");
        for turn in 1..=RELOADS {
            // Each reload meets requests, not only the gaps between them.
            let before = served.load(Ordering::SeqCst);
            // A connection to a frontend that may be about to go.
            let mut last = (turn % 3 == 2).then(|| proxy.client("sometimes"));
            proxy.apply(snapshot(turn, &web, &db));
            if let Some(last) = &mut last {
                assert_answered(&last.send(GET).response(), "");
            }
            for open in [&mut websocket, &mut tunnel] {
                let byte = [u8::try_from(turn).unwrap()];
                assert_eq!(open.send(byte).exactly(1), byte);
            }
            eventually("clients go on", || served.load(Ordering::SeqCst) > before + 4);
        }
        for mut open in [websocket, tunnel] {
            open.finish_sending();
            assert_eq!(open.until_closed(), (Vec::new(), Closing::End));
        }
    });
    let entries = proxy.log().wait_for(served.load(Ordering::SeqCst));
    let wrong: Vec<_> = entries.iter().filter(|entry| entry.reason.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Runs its closure however its scope is left.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn what_is_in_both_snapshots_is_carried_over() {
    let origin = Origin::named("web1");
    let snapshot = |extra: &str| {
        let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
        let frontend = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
        Proxy::builder().frontend(frontend.route(Route::path(extra).to(&shop)))
    };
    let proxy = Running::start(snapshot("/a"));
    let address = proxy.address("web");
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().text(), "web1");
    for turn in 0..3 {
        proxy.apply(snapshot(&format!("/b{turn}")));
        assert_eq!(client.send(GET).response().text(), "web1");
    }
    assert_eq!(proxy.address("web"), address);
    assert_eq!(origin.connections(), 1, "the pool was kept");
    proxy.log().wait_for(4);
    assert_eq!(proxy.metric("lb_requests_total{frontend=\"web\",backend=\"shop\",code=\"2xx\"}"), 4.0);
    assert_eq!(proxy.metric("lb_frontend_connections_total{frontend=\"web\"}"), 1.0);
}

#[test]
fn an_open_connection_goes_by_the_new_snapshot_from_its_next_request_on() {
    let (first, second) = (Origin::named("web1"), Origin::named("web2"));
    let snapshot = |origin: &Origin| {
        let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop))
    };
    let proxy = Running::start(snapshot(&first));
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().text(), "web1");
    proxy.apply(snapshot(&second));
    assert_eq!(client.send(GET).response().text(), "web2");
    let removed = format!("server=\"{}\"", first.address());
    eventually("a server that is removed takes its series with it", || {
        !proxy.handle().encode_metrics().unwrap().contains(&removed)
    });
}

#[test]
fn a_snapshot_that_can_not_be_bound_changes_nothing() {
    let origin = Origin::named("web1");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let web = || Frontend::http("web").listen("127.0.0.1:0");
    let proxy = Running::start(Proxy::builder().frontend(web().backend(&shop)));
    let wrong = Proxy::builder()
        .frontend(web().route(Route::path("/only").to(&shop)))
        .frontend(Frontend::http("other").listen(taken.local_addr().unwrap().to_string()).backend(&shop));
    let (handle, wrong) = (proxy.handle().clone(), wrong.snapshot().unwrap());
    let error = proxy.block_on(async move { handle.apply(wrong).await }).unwrap_err();
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()), "{error}");
    assert_eq!(proxy.client("web").send(GET).response().text(), "web1");
}

#[test]
fn a_backend_that_is_repeated_goes_on_with_the_check_that_runs() {
    let origin = Origin::scripted(|server| {
        while server.request().is_some() {
            server.until_told();
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let builder = || {
        let check = HealthCheck::http("/health").timeout(PATIENCE).interval(PATIENCE * 10);
        let shop = Backend::builder("shop").server(origin.address()).health(check).build().unwrap();
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop))
    };
    let proxy = Running::start(builder());
    eventually("the first check is at the server", || origin.connections() == 1);
    proxy.apply(builder());
    origin.tell();
    let status = || proxy.handle().status().backends[0].servers[0].server.clone();
    eventually("it has ended", || status().state == ServerState::Up);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_listener_that_goes_serves_what_it_has_accepted() {
    let origin = Origin::scripted(|server| {
        while server.request().is_some() {
            server.until_told();
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        }
    });
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let frontend = |name: &str| Frontend::http(name).listen("127.0.0.1:0").backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(frontend("web")).frontend(frontend("going")));
    let address = proxy.address("going");
    let mut client = proxy.client("going");
    client.send(GET);
    eventually("the request is at the server", || origin.connections() == 1);
    proxy.apply(Proxy::builder().frontend(frontend("web")));
    eventually("nothing listens there any more", || std::net::TcpStream::connect(&address).is_err());
    origin.tell();
    let response = client.response();
    assert_eq!((response.text().as_str(), response.field("connection")), ("late", Some("close")));
    client.expect_closed();
}

#[test]
fn a_server_killed_and_restarted_under_load_costs_nothing_that_may_be_repeated() {
    let steady = Origin::named("web1");
    let mut other = Some(Origin::named("web2"));
    let address = other.as_ref().unwrap().address().to_owned();
    let check = HealthCheck::tcp().interval(Duration::from_millis(20)).timeout(Duration::from_secs(30));
    let backend =
        Backend::builder("shop").servers([steady.address(), &address]).health(check.rise(2).fall(3));
    let frontend = Frontend::http("web").listen("127.0.0.1:0").backend(&backend.build().unwrap());
    let proxy = Running::start_with(Proxy::builder().frontend(frontend), Workers::Threads(2));
    let state = |at: usize| proxy.handle().status().backends[0].servers[at].server.state;
    eventually("both are up", || state(0) == ServerState::Up && state(1) == ServerState::Up);
    let is_over = AtomicBool::new(false);
    let answers: Arc<Mutex<Vec<String>>> = Arc::default();
    let has_answered = |name: &str| {
        answers.lock().unwrap().clear();
        eventually(name, || answers.lock().unwrap().iter().any(|answer| answer == name));
    };
    thread::scope(|scope| {
        let _ends_the_clients = OnDrop(|| is_over.store(true, Ordering::SeqCst));
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = proxy.client("web");
                while !is_over.load(Ordering::SeqCst) {
                    let response = client.send(GET).response();
                    assert_eq!(response.status(), 200, "{response:?}");
                    answers.lock().unwrap().push(response.text());
                }
            });
        }
        for _ in 0..3 {
            has_answered("web2");
            drop(other.take());
            has_answered("web1");
            eventually("it is down", || state(1) == ServerState::Down);
            other = Some(Origin::named_at("web2", &address));
        }
        has_answered("web2");
    });
}
