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

/// A frontend `web` that listens at these addresses, in front of `origin`.
fn listening(name: &str, addresses: &[&str], origin: &Origin) -> ProxyBuilder {
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let frontend = Frontend::http(name).backend(&shop);
    Proxy::builder().frontend(addresses.iter().fold(frontend, |frontend, address| frontend.listen(*address)))
}

#[test]
fn an_address_becomes_wider_and_narrower_again_without_a_gap() {
    let origin = Origin::named("web1");
    for (narrow, wide) in [("127.0.0.1", "0.0.0.0"), ("[::1]", "[::]")] {
        let first = listening("web", &[&format!("{narrow}:0")], &origin);
        let proxy = Running::start_with(first, Workers::Threads(2));
        let address = proxy.address("web");
        let port = address.rsplit(':').next().unwrap();
        let served = AtomicUsize::new(0);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends_the_clients = OnDrop(|| is_over.store(true, Ordering::SeqCst));
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        let mut client = Wire::connect(&address);
                        assert_eq!(client.send(GET).response().text(), "web1");
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for turn in 0..10 {
                let before = served.load(Ordering::SeqCst);
                let ip = if turn % 2 == 0 { wide } else { narrow };
                proxy.apply(listening("web", &[&format!("{ip}:{port}")], &origin));
                eventually("clients go on", || served.load(Ordering::SeqCst) > before + 10);
            }
        });
    }
}

#[test]
fn a_listener_that_was_removed_can_be_added_again_at_once() {
    let origin = Origin::named("web1");
    let proxy = Running::start(listening("web", &["127.0.0.1:0", "127.0.0.2:0"], &origin));
    let addresses = proxy.handle().addresses("web");
    let exact: Vec<&str> = addresses.iter().map(String::as_str).collect();
    for _ in 0..5 {
        proxy.apply(listening("web", &exact, &origin));
        proxy.apply(listening("web", &exact[..1], &origin));
    }
}

#[test]
fn connections_of_a_removed_address_finish_and_others_stay() {
    let origin = Origin::named("web1");
    let proxy = Running::start(listening("web", &["127.0.0.1:0", "127.0.0.2:0"], &origin));
    let addresses = proxy.handle().addresses("web");
    let mut clients: Vec<_> = addresses.iter().map(|address| Wire::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.send(GET).response().text(), "web1");
    }
    proxy.apply(listening("web", &["127.0.0.1:0"], &origin));
    clients[1].expect_closed();
    assert_eq!(clients[0].send(GET).response().text(), "web1");
}

#[test]
fn connections_of_a_removed_address_are_closed_when_the_time_for_draining_has_run_out() {
    let origin = Origin::scripted(echo);
    let rows = || Backend::builder("rows").server(origin.address()).build().unwrap();
    let frontend = |addresses: &[&str]| {
        let frontend = Frontend::tcp("db").backend(&rows());
        Proxy::builder()
            .frontend(addresses.iter().fold(frontend, |frontend, address| frontend.listen(*address)))
    };
    let proxy = Running::start(frontend(&["127.0.0.1:0", "127.0.0.2:0"]));
    let addresses = proxy.handle().addresses("db");
    let mut tunnels: Vec<_> = addresses.iter().map(|address| Wire::connect(address)).collect();
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.send("x").exactly(1), b"x");
    }
    let snapshot = frontend(&["127.0.0.1:0"]).drain_timeout(Duration::from_millis(50)).snapshot().unwrap();
    let handle = proxy.handle().clone();
    proxy.block_on(async move { handle.apply(snapshot).await }).unwrap();
    tunnels[1].until_closed();
    assert_eq!(tunnels[0].send("y").exactly(1), b"y");
}

#[test]
fn a_frontend_that_is_only_renamed_keeps_its_connections_and_its_ports() {
    let origin = Origin::named("web1");
    let proxy = Running::start(listening("web", &["127.0.0.1:0"], &origin));
    let address = proxy.address("web");
    let mut client = proxy.client("web");
    assert_eq!(client.send(GET).response().text(), "web1");
    proxy.apply(listening("shop", &["127.0.0.1:0"], &origin));
    assert_eq!(proxy.address("shop"), address);
    let response = client.send(GET).response();
    assert_eq!((response.text().as_str(), response.field("connection")), ("web1", None));
    proxy.log().wait_for(2);
    assert_eq!(proxy.metric("lb_requests_total{frontend=\"shop\",backend=\"shop\",code=\"2xx\"}"), 1.0);
}

#[test]
fn the_file_of_a_unix_socket_has_the_mode_that_is_asked_for_and_goes_with_its_listener() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    let origin = Origin::named("web1");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let unix = format!("unix:{}", path.display());
    let with_mode = |mode| {
        let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
        let access = lb_core::proxy::SocketAccess::new().mode(mode);
        let frontend =
            Frontend::http("web").listen("127.0.0.1:0").listen(unix.as_str()).socket_access(access);
        Proxy::builder().frontend(frontend.backend(&shop))
    };
    let mode = || std::fs::metadata(&path).unwrap().mode() & 0o777;
    let mut proxy = Running::start(with_mode(0o660));
    assert_eq!(mode(), 0o660);
    proxy.apply(with_mode(0o606));
    assert_eq!(mode(), 0o606);
    UnixStream::connect(&path).unwrap();
    proxy.apply(listening("web", &["127.0.0.1:0"], &origin));
    assert!(!path.exists());
    proxy.apply(with_mode(0o600));
    UnixStream::connect(&path).unwrap();
    proxy.wait_drained();
    assert!(!path.exists());
}

#[test]
fn a_name_in_the_abstract_namespace_is_listened_on_and_reached() {
    let origin = Origin::named("web1");
    let name = format!("unix:@lb-core-reload-{}", std::process::id());
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let inner = Backend::builder("inner").server(name.as_str()).build().unwrap();
    let proxy = Running::start(
        Proxy::builder()
            .frontend(Frontend::http("inner").listen(name.as_str()).backend(&shop))
            .frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&inner)),
    );
    assert_eq!(proxy.client("web").send(GET).response().text(), "web1");
}

#[test]
fn a_reload_that_moves_or_removes_the_admin_listener_is_answered() {
    const RELOAD: &str = "POST /api/reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const ALIVE: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let origin = Origin::named("web1");
    for stays in [true, false] {
        let web = || listening("web", &["127.0.0.1:0"], &origin);
        let proxy = Running::start(web().admin("127.0.0.1:0".parse().unwrap()));
        let admin = proxy.handle().admin_address().unwrap();
        let wide = std::net::SocketAddr::from(([0, 0, 0, 0], admin.port()));
        let next = if stays { web().admin(wide) } else { web() };
        let (handle, snapshot) = (proxy.handle().clone(), next.snapshot().unwrap());
        proxy.handle().on_reload(move || {
            let (handle, snapshot) = (handle.clone(), snapshot.clone());
            async move {
                handle.apply(snapshot).await.map_or_else(|e| Err(e.to_string()), |()| Ok("applied".into()))
            }
        });
        let mut client = Wire::connect(&admin.to_string());
        assert_eq!(client.send(RELOAD).response().text(), "applied\n");
        if stays {
            assert_eq!(Wire::connect(&admin.to_string()).send(ALIVE).response().status(), 200);
        } else {
            eventually("nothing listens there any more", || std::net::TcpStream::connect(admin).is_err());
        }
    }
}
