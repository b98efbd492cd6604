//! Promise: in mode tcp bytes pass both ways as they are, until both sides have closed.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use lb_core::backend::{BackendTimeouts, Passive, ServerSpec};
use lb_core::prelude::*;
use lb_core::proxy::TcpFrontend;
use lb_core::testkit::{
    Closing, Origin, PATIENCE, Running, black_hole_address, eventually, pattern, refusing_address,
};

const LARGE: usize = 10 * 1024 * 1024;

fn to(backend: &Backend) -> Running {
    Running::start(Proxy::builder().frontend(Frontend::tcp("db").listen("127.0.0.1:0").backend(backend)))
}

fn backend(origin: &Origin) -> Backend {
    Backend::builder("rows").server(origin.address()).build().unwrap()
}

/// An origin that sends back what it has received, once its client has half-closed.
fn answering_at_the_end() -> Origin {
    Origin::scripted(|server| {
        let (received, closing) = server.until_closed();
        assert_eq!(closing, Closing::End);
        server.send(received);
    })
}

#[test]
fn bytes_pass_both_ways_whole_and_are_counted() {
    for length in [0, 1, 1000, 16_384, 16_385, 300_000, LARGE] {
        let origin = answering_at_the_end();
        let proxy = to(&backend(&origin));
        let mut client = proxy.client("db");
        let body = pattern(length);
        client.send(&body).finish_sending();
        let (received, closing) = client.until_closed();
        assert!(received == body, "{length} bytes came back as {}", received.len());
        assert_eq!(closing, Closing::End);
        let entry = proxy.log().only();
        assert_eq!((entry.received_bytes, entry.sent_bytes), (length as u64, length as u64));
        assert_eq!((entry.frontend.as_str(), entry.backend.as_deref()), ("db", Some("rows")));
        assert_eq!((entry.server.as_deref(), entry.reason), (Some(origin.address()), None));
        for direction in ["in", "out"] {
            let series = format!("lb_frontend_bytes_total{{frontend=\"db\",direction=\"{direction}\"}}");
            assert_eq!(proxy.metric(&series), length as f64);
        }
    }
}

#[test]
fn bytes_pass_both_ways_at_once() {
    let origin = Origin::scripted(|server| {
        // Answers each piece while the next ones come.
        for _ in 0..LARGE / 65_536 {
            let piece = server.exactly(65_536);
            server.send(piece);
        }
    });
    let proxy = to(&backend(&origin));
    let mut reading = TcpStream::connect(proxy.address("db")).unwrap();
    reading.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writing = reading.try_clone().unwrap();
    let body = pattern(LARGE);
    thread::scope(|scope| {
        scope.spawn(|| {
            writing.write_all(&body).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        reading.read_to_end(&mut received).unwrap();
        assert!(received == body);
    });
}

#[test]
fn a_server_that_half_closes_first_still_hears_its_client() {
    let origin = Origin::scripted(|server| {
        server.send(pattern(100_000)).finish_sending();
        let (received, closing) = server.until_closed();
        assert!(
            received == pattern(200_000) && closing == Closing::End,
            "{} bytes, {closing:?}",
            received.len()
        );
    });
    let proxy = to(&backend(&origin));
    let mut client = proxy.client("db");
    let (greeting, closing) = client.until_closed();
    assert!(greeting == pattern(100_000) && closing == Closing::End);
    client.send(pattern(200_000)).finish_sending();
    let entry = proxy.log().only();
    assert_eq!((entry.received_bytes, entry.sent_bytes, entry.reason), (200_000, 100_000, None));
}

#[test]
fn a_reset_is_passed_on() {
    let origin = Origin::scripted(|server| {
        server.send("hello");
        server.until_told();
        server.reset_on_close();
    });
    let proxy = to(&backend(&origin));
    let mut client = proxy.client("db");
    assert_eq!(client.exactly(5), b"hello");
    origin.tell();
    assert_eq!(client.until_closed(), (Vec::new(), Closing::Reset));
    assert_eq!(proxy.log().only().reason, Some("server_abort"));
    assert_eq!(proxy.errors("db", "server_abort"), 1.0);

    let origin = Origin::scripted(|server| {
        server.send("hello");
        assert_eq!(server.until_closed().1, Closing::Reset);
    });
    let proxy = to(&backend(&origin));
    let mut client = proxy.client("db");
    assert_eq!(client.exactly(5), b"hello");
    client.reset();
    assert_eq!(proxy.log().only().reason, Some("client_abort"));
    assert_eq!(proxy.errors("db", "client_abort"), 1.0);
}

#[test]
fn a_reset_after_the_client_has_ended_is_the_servers_way_to_close() {
    // Nothing, as much as a notice of TLS that it closes, and an answer that may be cut short.
    for (length, reason) in [(0, None), (96, None), (97, Some("server_abort"))] {
        let answer = pattern(length);
        let sent = answer.clone();
        let origin = Origin::scripted(move |server| {
            server.send("hello");
            assert_eq!(server.until_closed(), (b"bye".to_vec(), Closing::End));
            server.send(&sent);
            server.until_told();
            server.reset_on_close();
        });
        let proxy = to(&backend(&origin));
        let mut client = proxy.client("db");
        assert_eq!(client.exactly(5), b"hello");
        client.send("bye").finish_sending();
        assert_eq!(client.exactly(length), answer);
        origin.tell();
        // Who still listens can tell.
        assert_eq!(client.until_closed(), (Vec::new(), Closing::Reset));
        assert_eq!(proxy.log().only().reason, reason);
        assert_eq!(proxy.errors("db", "server_abort"), if reason.is_some() { 1.0 } else { 0.0 });
    }
}

#[test]
fn a_silent_tunnel_ends_and_a_talking_one_does_not() {
    let origin = Origin::scripted(|server| {
        while !server.is_closed() {
            let byte = server.exactly(1);
            server.send(byte);
        }
    });
    let frontend = Frontend::tcp("db").listen("127.0.0.1:0").backend(&backend(&origin));
    let idle = Duration::from_millis(400);
    let proxy = Running::start(Proxy::builder().frontend(frontend.idle_timeout(idle)));
    let mut client = proxy.client("db");
    // Longer in all than the timeout, never silent for as long.
    for byte in 0..40 {
        client.send([byte]);
        assert_eq!(client.exactly(1), [byte]);
        thread::sleep(idle / 20);
    }
    assert_eq!(client.until_closed().0, b"");
    assert_eq!(proxy.log().only().reason, Some("idle_timeout"));
    assert_eq!(proxy.errors("db", "idle_timeout"), 1.0);
}

/// The timers that the kernel has set for the sockets of this process with `port` at their `at`-th address, as
/// `/proc/net/tcp` writes them: which it is (2: keepalive), and its jiffies.
fn timers(at: usize, port: &str) -> Vec<(u8, u64)> {
    let port = format!(":{:04X}", port.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Established ones: state 01.
    let rows = rows.filter(|row| row[at].ends_with(&port) && row[3] == "01");
    rows.map(|row| {
        let (timer, jiffies) = row[5].split_once(':').unwrap();
        (timer.parse().unwrap(), u64::from_str_radix(jiffies, 16).unwrap())
    })
    .collect()
}

#[test]
fn the_kernel_asks_silent_ends_whether_they_are_there() {
    let origin = Origin::scripted(|server| {
        server.send("hello");
        server.until_closed();
    });
    for (keepalive, timer) in [(None, 2), (Some(Duration::from_secs(5)), 2), (Some(Duration::ZERO), 0)] {
        let frontend = Frontend::tcp("db").listen("127.0.0.1:0").backend(&backend(&origin));
        let frontend = keepalive.into_iter().fold(frontend, TcpFrontend::keepalive);
        let proxy = Running::start(Proxy::builder().frontend(frontend));
        let mut client = proxy.client("db");
        assert_eq!(client.exactly(5), b"hello");
        // The client's side by our own port, the server's by its port.
        for (side, port) in [(1, proxy.address("db")), (2, origin.address().to_owned())] {
            eventually("the timer is set", || {
                let timers = timers(side, &port);
                assert_eq!(timers.len(), 1, "{timers:?}");
                timers[0].0 == timer
            });
            // USER_HZ is 100.
            let longest = keepalive.unwrap_or(Duration::from_secs(60)).as_secs() * 100;
            assert!(timers(side, &port)[0].1 <= longest, "{:?} of {longest}", timers(side, &port));
        }
    }
}

#[test]
fn a_server_that_can_not_be_reached_is_left_for_another() {
    let (refusing, _refusing) = refusing_address();
    let (black_hole, _hole) = black_hole_address();
    let origin = answering_at_the_end();
    let servers = [refusing.as_str(), black_hole.as_str(), origin.address()];
    let backend = Backend::builder("rows").servers(servers);
    let backend = backend.timeouts(BackendTimeouts::default().connect(Duration::from_millis(100)));
    let proxy = to(&backend.passive(Passive::default().failures(0)).build().unwrap());
    for _ in 0..3 {
        let mut client = proxy.client("db");
        client.send("hello").finish_sending();
        assert_eq!(client.until_closed(), (b"hello".to_vec(), Closing::End));
    }
    let entries = proxy.log().wait_for(3);
    assert!(entries.iter().all(|entry| entry.server.as_deref() == Some(origin.address())), "{entries:?}");
    assert_eq!(entries[0].retries, 2);
}

#[test]
fn a_backup_takes_what_the_primaries_could_not() {
    let (refusing, _refusing) = refusing_address();
    let origin = answering_at_the_end();
    let spec = |name: &str, address: &str| ServerSpec::new(name, address.parse().unwrap());
    let servers = [spec("db1", &refusing), spec("spare", origin.address()).backup()];
    for retries in [0, 2] {
        let backend = Backend::builder("rows").servers(servers.clone()).retries(retries);
        let proxy = to(&backend.passive(Passive::default().failures(0)).build().unwrap());
        for _ in 0..3 {
            let mut client = proxy.client("db");
            client.send("hello").finish_sending();
            assert_eq!(client.until_closed(), (b"hello".to_vec(), Closing::End));
        }
    }
}

#[test]
fn a_client_that_no_server_takes_is_reset() {
    let (refusing, _guard) = refusing_address();
    let refused = Backend::builder("rows").server(refusing.as_str()).build().unwrap();
    let unresolved = Backend::builder("rows").server("nowhere.invalid:1").build().unwrap();
    for (backend, reason) in [(refused, "connect_failed"), (unresolved, "no_server")] {
        let proxy = to(&backend);
        let mut client = proxy.client("db");
        assert_eq!(client.until_closed(), (Vec::new(), Closing::Reset));
        assert_eq!(proxy.log().only().reason, Some(reason));
        assert_eq!(proxy.errors("db", reason), 1.0);
        assert_eq!(proxy.log().only().retries, 0);
    }
}

#[test]
fn connections_go_round() {
    let origins = ["db1", "db2", "db3"].map(|name| {
        Origin::scripted(move |server| {
            server.send(name);
        })
    });
    let proxy = to(&Backend::builder("rows").servers(origins.iter().map(Origin::address)).build().unwrap());
    let turns: Vec<String> =
        (0..6).map(|_| String::from_utf8(proxy.client("db").until_closed().0).unwrap()).collect();
    assert_eq!(turns, ["db1", "db2", "db3", "db1", "db2", "db3"]);
    eventually("every tunnel is over", || proxy.metric("lb_frontend_connections{frontend=\"db\"}") == 0.0);
}
