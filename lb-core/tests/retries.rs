//! Promise: a request is tried again where that is safe, and never where it could be carried out twice.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lb_core::backend::{BackendTimeouts, Passive, ServerSpec};
use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running, black_hole_address, eventually, pattern, refusing_address};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn to(backend: &Backend) -> Running {
    Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(backend)))
}

fn backend<'a>(servers: impl IntoIterator<Item = &'a str>) -> Backend {
    Backend::builder("shop").servers(servers).build().unwrap()
}

/// A server is left out for longer than the test lasts when so many of its connects have failed in a row.
fn left_out_after(failures: u32) -> Passive {
    let long = Duration::from_secs(600);
    Passive::default().failures(failures).eject(long).max_eject(long)
}

/// An origin whose connections answer one request each and then close, or are reset, once they have read another;
/// it counts the requests it has read.
fn closing_upon_the_second(is_reset: bool) -> (Origin, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let origin = Origin::scripted(move |server| {
        for at in 0..2 {
            let Some(request) = server.request() else { return };
            counter.fetch_add(1, Ordering::SeqCst);
            if at == 0 {
                server.send(if request.method() == "HEAD" { OK.trim_end_matches("ok") } else { OK });
            } else if is_reset {
                server.reset_on_close();
            }
        }
    });
    (origin, requests)
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_sent_again() {
    for is_reset in [false, true] {
        for method in
            ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "QUERY", "PROPFIND", "REPORT", "SEARCH", "COPY"]
        {
            let (origin, requests) = closing_upon_the_second(is_reset);
            let proxy = Running::in_front_of(&origin);
            let mut client = proxy.client("web");
            for _ in 0..3 {
                let body = if ["PUT", "QUERY"].contains(&method) {
                    "Content-Length: 5\r\n\r\nhello"
                } else {
                    "\r\n"
                };
                client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}"));
                let response = if method == "HEAD" { client.response_to_head() } else { client.response() };
                assert_eq!(response.status(), 200, "{method}");
            }
            let retries: Vec<u32> = proxy.log().wait_for(3).iter().map(|entry| entry.retries).collect();
            assert_eq!(retries, [0, 1, 1], "{method}");
            assert_eq!(proxy.metric("lb_retries_total{backend=\"shop\"}"), 2.0);
            assert_eq!((requests.load(Ordering::SeqCst), origin.connections()), (5, 3));
        }
    }
}

#[test]
fn a_request_that_is_not_idempotent_is_never_sent_twice() {
    for is_reset in [false, true] {
        for method in ["POST", "PATCH", "LOCK", "BREW", "query"] {
            let (origin, requests) = closing_upon_the_second(is_reset);
            let proxy = Running::in_front_of(&origin);
            let mut client = proxy.client("web");
            client.send(GET);
            assert_eq!(client.response().text(), "ok");
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
            assert_eq!(client.response().status(), 502, "{method}");
            assert_eq!(requests.load(Ordering::SeqCst), 2, "{method}");
            let entry = proxy.log().wait_for(2).swap_remove(1);
            assert_eq!((entry.reason, entry.retries), (Some("bad_response"), 0));
            // The client's own connection is fine.
            client.send(GET);
            assert_eq!(client.response().text(), "ok");
        }
    }
}

#[test]
fn a_connection_that_the_server_closed_while_idle_is_not_used() {
    let origin = Origin::scripted(|server| {
        if server.request().is_some() {
            server.send(OK);
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    for turn in 1..=20 {
        // A close that arrives in the very moment of the request is a stale connection: safe for GET only.
        client.send(if turn % 2 == 0 { GET } else { "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n" });
        assert_eq!(client.response().text(), "ok");
    }
}

#[test]
fn a_body_that_can_not_be_replayed_is_not_sent_twice() {
    let bytes = Arc::new(AtomicUsize::new(0));
    let origin = Origin::scripted({
        let bytes = Arc::clone(&bytes);
        move |server| {
            if server.request().is_some() {
                server.send(OK);
            }
            if server.head().is_some() {
                bytes.fetch_add(server.exactly(100_000).len(), Ordering::SeqCst);
            }
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(GET);
    assert_eq!(client.response().text(), "ok");
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    let _ = client.try_send(pattern(200_000));
    assert_eq!(client.response().status(), 502);
    assert_eq!((bytes.load(Ordering::SeqCst), origin.connections()), (100_000, 1));
}

#[test]
fn half_a_response_is_502_and_not_tried_again() {
    let origin = Origin::scripted(|server| {
        if server.request().is_some() {
            server.send(OK);
        }
        if server.request().is_some() {
            server.send("HTTP/1.1 200 OK\r\nContent-Le");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send(GET);
    assert_eq!(client.response().status(), 200);
    client.send(GET);
    assert_eq!(client.response().status(), 502);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_server_that_accepts_and_resets_is_502_and_the_request_not_duplicated() {
    let origin = Origin::scripted(|server| server.reset_on_close());
    let proxy = Running::in_front_of(&origin);
    for request in [GET, POST] {
        let mut client = proxy.client("web");
        client.send(request);
        let response = client.response();
        assert_eq!(response.status(), 502);
    }
    assert_eq!(origin.connections(), 2);
    // The reset may arrive before connect(2) has told of its success.
    let reasons = [Some("bad_response"), Some("connect_failed")];
    let entries = proxy.log().wait_for(2);
    assert!(entries.iter().all(|entry| reasons.contains(&entry.reason) && entry.retries == 0), "{entries:?}");
}

#[test]
fn an_idempotent_request_leaves_a_server_that_accepts_and_closes_for_another() {
    for is_reset in [false, true] {
        let read = Arc::new(AtomicUsize::new(0));
        let dying = Origin::scripted({
            let read = Arc::clone(&read);
            move |server| {
                read.fetch_add(usize::from(server.request().is_some()), Ordering::SeqCst);
                if is_reset {
                    server.reset_on_close();
                }
            }
        });
        let origin = Origin::named("web2");
        let proxy = to(&backend([dying.address(), origin.address()]));
        let mut client = proxy.client("web");
        for _ in 0..4 {
            assert_eq!(client.send(GET).response().text(), "web2");
        }
        let before = read.load(Ordering::SeqCst);
        assert!(before > 0);
        let statuses = [(); 2].map(|()| client.send(POST).response().status());
        // Each POST went to one server once: answered by the one, lost at the other.
        let lost = statuses.iter().filter(|status| **status == 502).count();
        assert_eq!(read.load(Ordering::SeqCst) - before, lost, "{statuses:?}");
        assert_eq!(origin.requests().iter().filter(|request| request.method() == "POST").count(), 2 - lost);
    }
}

#[test]
fn a_server_that_refuses_or_does_not_answer_is_left_for_another() {
    let (refusing, _refusing) = refusing_address();
    let (black_hole, _hole) = black_hole_address();
    for address in [refusing, black_hole] {
        let origin = Origin::answering(|request| {
            [
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()).as_bytes(),
                &request.body,
            ]
            .concat()
        });
        let backend = Backend::builder("shop")
            .servers([address.as_str(), origin.address()])
            .timeouts(BackendTimeouts::default().connect(Duration::from_millis(100)))
            .passive(Passive::default().failures(0))
            .build();
        let proxy = to(&backend.unwrap());
        let mut client = proxy.client("web");
        let large = pattern(1_000_000);
        for body in [&b""[..], b"hello", &large, b""] {
            client
                .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()))
                .send(body);
            let response = client.response();
            assert!(response.status() == 200 && response.body == body, "{address}: {} bytes", body.len());
        }
        assert_eq!(origin.requests().len(), 4, "each reached a server once");
        let entries = proxy.log().wait_for(4);
        assert!(entries.iter().all(|entry| entry.retries <= 1), "{entries:?}");
        assert_eq!(entries[0].retries, 1, "{entries:?}");
        assert!(entries.iter().all(|entry| entry.server.as_deref() == Some(origin.address())), "{entries:?}");
    }
}

#[test]
fn retries_are_bounded_and_no_server_is_tried_twice() {
    let refusing: Vec<_> = (0..4).map(|_| refusing_address()).collect();
    let addresses = || refusing.iter().map(|(address, _)| address.as_str());
    for (retries, attempts) in [(0, 1), (1, 2), (2, 3), (9, 4)] {
        let backend = Backend::builder("shop").servers(addresses()).retries(retries);
        let proxy = to(&backend.passive(Passive::default().failures(0)).build().unwrap());
        let mut client = proxy.client("web");
        client.send(GET);
        assert_eq!(client.response().status(), 502);
        let entry = proxy.log().only();
        assert_eq!((entry.reason, entry.status), (Some("connect_failed"), Some(502)));
        let failed = addresses().map(|address| {
            let labels = format!("{{backend=\"shop\",server=\"{address}\",result=\"failed\"}}");
            proxy.metric(&format!("lb_server_connections_total{labels}"))
        });
        let failed: Vec<f64> = failed.collect();
        assert!(failed.iter().all(|count| *count <= 1.0), "{failed:?}");
        assert_eq!(failed.iter().sum::<f64>(), f64::from(attempts), "{retries} retries");
    }
}

#[test]
fn requests_queue_for_a_server_at_its_max_connections() {
    let serving = Arc::new(AtomicUsize::new(0));
    let origin = Origin::answering({
        let serving = Arc::clone(&serving);
        move |_| {
            assert_eq!(serving.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            thread::yield_now();
            serving.fetch_sub(1, Ordering::SeqCst);
            OK.into()
        }
    });
    let server = ServerSpec::new("web1", origin.address().parse().unwrap()).max_connections(1);
    let backend = Backend::builder("shop").server(server);
    let backend =
        backend.timeouts(BackendTimeouts::default().queue(Duration::from_secs(60))).build().unwrap();
    let builder = Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&backend));
    let proxy = Running::start_with(builder, Workers::Threads(2));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut client = proxy.client("web");
                for _ in 0..10 {
                    client.send(GET);
                    assert_eq!(client.response().text(), "ok");
                }
            });
        }
    });
    assert_eq!(origin.requests().len(), 200);
}

#[test]
fn who_waits_sees_a_server_that_a_reload_adds() {
    let busy = Origin::scripted(|server| {
        server.request();
        server.until_told();
        server.send(OK);
    });
    let added = Origin::named("added");
    let spec = |name: &str, origin: &Origin| {
        ServerSpec::new(name, origin.address().parse().unwrap()).max_connections(1)
    };
    let builder = |servers: Vec<ServerSpec>| {
        let timeouts = BackendTimeouts::default().queue(Duration::from_secs(600));
        let backend = Backend::builder("shop").servers(servers).timeouts(timeouts).build().unwrap();
        Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&backend))
    };
    let proxy = Running::start(builder(vec![spec("web1", &busy)]));
    let mut first = proxy.client("web");
    first.send(GET);
    eventually("the first is served", || busy.connections() == 1);
    let mut second = proxy.client("web");
    second.send(GET);
    eventually("the second is there", || proxy.metric("lb_frontend_connections{frontend=\"web\"}") == 2.0);
    proxy.apply(builder(vec![spec("web1", &busy), spec("web2", &added)]));
    assert_eq!(second.response().text(), "added");
    busy.tell();
    assert_eq!(first.response().text(), "ok");
}

#[test]
fn a_backend_without_servers_answers_503_until_it_has_one() {
    let proxy = to(&backend([]));
    assert!(proxy.handle().is_ready());
    let mut client = proxy.client("web");
    client.send(GET);
    assert_eq!(client.response().status(), 503);
    assert_eq!(proxy.log().only().reason, Some("no_server"));
    let origin = Origin::named("web1");
    let shop = backend([origin.address()]);
    proxy.apply(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)));
    client.send(GET);
    assert_eq!(client.response().text(), "web1");
}

#[test]
fn a_server_of_weight_0_drains_and_says_so() {
    let (kept, drained) = (Origin::named("web1"), Origin::named("web2"));
    let spec = |name: &str, origin: &Origin| ServerSpec::new(name, origin.address().parse().unwrap());
    let proxy = to(&Backend::builder("shop")
        .servers([spec("web1", &kept), spec("web2", &drained).weight(0)])
        .build()
        .unwrap());
    let state = |server: &str, state: &str| {
        proxy.metric(&format!("lb_server_state{{backend=\"shop\",server=\"{server}\",state=\"{state}\"}}"))
    };
    assert_eq!((state("web1", "up"), state("web1", "drain")), (1.0, 0.0));
    assert_eq!((state("web2", "up"), state("web2", "drain"), state("web2", "down")), (0.0, 1.0, 0.0));
}

#[test]
fn a_client_that_leaves_the_queue_leaves_no_slot_behind() {
    let origin = Origin::scripted(|server| {
        while server.request().is_some() {
            server.until_told();
            server.send(OK);
        }
    });
    let server = ServerSpec::new("web1", origin.address().parse().unwrap()).max_connections(1);
    let proxy = to(&Backend::builder("shop").server(server).build().unwrap());
    let mut first = proxy.client("web");
    first.send(GET);
    eventually("the first holds the slot", || {
        proxy.handle().status().backends[0].servers[0].server.in_flight == 1
    });
    let mut second = proxy.client("web");
    second.send(GET);
    second.reset();
    let mut third = proxy.client("web");
    third.send(GET);
    origin.tell();
    origin.tell();
    origin.tell();
    assert_eq!((first.response().text(), third.response().text()), ("ok".into(), "ok".into()));
}

#[test]
fn a_server_whose_connects_fail_in_a_row_is_left_out() {
    let (refusing, _guard) = refusing_address();
    let origin = Origin::named("web2");
    let backend = Backend::builder("shop").servers([refusing.as_str(), origin.address()]);
    let proxy = to(&backend.passive(left_out_after(3)).build().unwrap());
    let mut client = proxy.client("web");
    for _ in 0..30 {
        client.send(GET);
        assert_eq!(client.response().text(), "web2");
    }
    let labels = format!("{{backend=\"shop\",server=\"{refusing}\",result=\"failed\"}}");
    assert_eq!(proxy.metric(&format!("lb_server_connections_total{labels}")), 3.0);
    assert_eq!(proxy.metric(&format!("lb_server_up{{backend=\"shop\",server=\"{refusing}\"}}")), 0.0);
    assert_eq!(
        proxy.metric(&format!("lb_server_up{{backend=\"shop\",server=\"{}\"}}", origin.address())),
        1.0
    );
}

#[test]
fn a_server_that_was_left_out_comes_back_by_a_trial() {
    let (returning, guard) = refusing_address();
    let origin = Origin::named("web2");
    let backend = Backend::builder("shop").servers([returning.as_str(), origin.address()]);
    let backend = backend.passive(Passive::default().failures(1).eject(Duration::from_millis(20)));
    let proxy = to(&backend.build().unwrap());
    let mut client = proxy.client("web");
    let mut ask = || {
        client.send(GET);
        let response = client.response();
        assert_eq!(response.status(), 200);
        response.text()
    };
    (0..4).for_each(|_| assert_eq!(ask(), "web2"));
    drop(guard);
    let _back = Origin::named_at("web1", &returning);
    eventually("the server that returned is chosen", || ask() == "web1");
    // And for good: turns are exact again.
    let turns: Vec<String> = (0..4).map(|_| ask()).collect();
    assert!(
        turns == ["web1", "web2", "web1", "web2"] || turns == ["web2", "web1", "web2", "web1"],
        "{turns:?}"
    );
}

#[test]
fn the_last_server_standing_is_never_left_out() {
    let (address, guard) = refusing_address();
    let backend = Backend::builder("shop").server(address.as_str());
    let proxy = to(&backend.passive(left_out_after(1)).build().unwrap());
    let mut client = proxy.client("web");
    for _ in 0..5 {
        client.send(GET);
        assert_eq!(client.response().status(), 502);
    }
    drop(guard);
    let _back = Origin::named_at("web1", &address);
    client.send(GET);
    assert_eq!(client.response().text(), "web1");
}

#[test]
fn a_backup_serves_only_when_no_primary_does() {
    let primary = Origin::named("primary");
    let backup = Origin::named("backup");
    let spec = |name: &str, origin: &Origin| ServerSpec::new(name, origin.address().parse().unwrap());
    let servers = [spec("web1", &primary), spec("spare", &backup).backup()];
    let backend = Backend::builder("shop").servers(servers);
    let backend = backend.passive(left_out_after(1)).build().unwrap();
    let proxy = to(&backend);
    let mut client = proxy.client("web");
    for _ in 0..4 {
        client.send(GET);
        assert_eq!(client.response().text(), "primary");
    }
    drop(primary);
    eventually("the backup takes over", || {
        client.send(GET);
        client.response().text() == "backup"
    });
}

#[test]
fn a_name_that_does_not_resolve_is_a_state_and_no_reason_not_to_start() {
    let origin = Origin::named("web1");
    let proxy = to(&backend(["nowhere.invalid:80", origin.address()]));
    let mut client = proxy.client("web");
    for _ in 0..4 {
        client.send(GET);
        assert_eq!(client.response().text(), "web1");
    }
    let alone = to(&backend(["nowhere.invalid:80"]));
    let mut client = alone.client("web");
    client.send(GET);
    assert_eq!(client.response().status(), 503);
    assert_eq!(alone.log().only().reason, Some("no_server"));
}

/// One primary that refuses and a backup that serves, with no retries at all.
fn refusing_primary_and_backup(failures: u32) -> (Backend, Origin, impl Sized) {
    let (refusing, guard) = refusing_address();
    let backup = Origin::named("backup");
    let spec = |name: &str, address: &str| ServerSpec::new(name, address.parse().unwrap());
    let servers = [spec("web1", &refusing), spec("spare", backup.address()).backup()];
    let backend = Backend::builder("shop").servers(servers).retries(0).passive(left_out_after(failures));
    (backend.build().unwrap(), backup, guard)
}

#[test]
fn a_backup_takes_what_the_primaries_could_not_without_a_retry_to_spare() {
    for failures in [0, 3] {
        let (backend, _backup, _guard) = refusing_primary_and_backup(failures);
        let proxy = to(&backend);
        let mut client = proxy.client("web");
        // More than the retries that a budget always allows: moving to a backup is no storm on the primaries.
        for turn in 0..100 {
            for request in [GET, POST] {
                assert_eq!(client.send(request).response().text(), "backup", "turn {turn}");
            }
        }
        let up =
            |server: &str| proxy.metric(&format!("lb_server_up{{backend=\"shop\",server=\"{server}\"}}"));
        assert_eq!((up("web1"), up("spare")), (if failures == 0 { 1.0 } else { 0.0 }, 1.0));
    }
}

#[test]
fn a_backup_is_tried_once_beyond_the_retries() {
    let addresses: Vec<_> = (0..3).map(|_| refusing_address()).collect();
    let spec = |at: usize| ServerSpec::new(format!("web{at}"), addresses[at].0.parse().unwrap());
    let backend = Backend::builder("shop").servers([spec(0), spec(1).backup(), spec(2).backup()]);
    let proxy = to(&backend.retries(0).passive(left_out_after(0)).build().unwrap());
    assert_eq!(proxy.client("web").send(GET).response().status(), 502);
    let entry = proxy.log().only();
    assert_eq!((entry.retries, entry.reason), (1, Some("connect_failed")));
}

#[test]
fn a_primary_that_was_not_tried_comes_before_the_backup() {
    let (refusing, _guard) = refusing_address();
    let (primary, backup) = (Origin::named("primary"), Origin::named("backup"));
    let spec = |name: &str, address: &str| ServerSpec::new(name, address.parse().unwrap());
    let servers =
        [spec("web1", &refusing), spec("web2", primary.address()), spec("spare", backup.address()).backup()];
    let proxy = to(&Backend::builder("shop").servers(servers).passive(left_out_after(0)).build().unwrap());
    let mut client = proxy.client("web");
    for _ in 0..6 {
        assert_eq!(client.send(GET).response().text(), "primary");
    }
}
