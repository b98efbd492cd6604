//! What the diagnostics log says of TLS.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod rig;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use rig::{Config, DEADLINE, Lb, get, wait_until};
use rustix::process::Signal;

/// Begins a handshake with something that is none; returns once the proxy has closed.
fn babble(address: SocketAddr) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    let _reset = socket.read_to_end(&mut Vec::new());
}

#[test]
fn failed_handshakes_are_lines_and_a_flood_is_counted() {
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/certificates");
    let config = Config::new(&format!(
        r#"
[global]
workers = 1
[admin]
listen = "127.0.0.1:0"
[frontend.web]
listen = "127.0.0.1:0"
routes = [{{ respond = {{ status = 204 }} }}]
[frontend.web.tls]
certificates = [{{ cert = "{certificates}/localhost.pem", key = "{certificates}/localhost.key" }}]
[frontend.mail]
listen = "127.0.0.1:0"
mode = "tcp"
backend = "mail"
[frontend.mail.tls]
certificates = [{{ cert = "{certificates}/localhost.pem", key = "{certificates}/localhost.key" }}]
[backend.mail]
servers = ["127.0.0.1:1"]
"#
    ));
    let lb = Lb::run(&config.path());
    for _ in 0..50 {
        babble(lb.address("web"));
    }
    babble(lb.address("mail"));
    let log = lb.says("frontend=mail");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a TLS handshake failed")).collect();
    let of_web: Vec<_> = lines.iter().filter(|line| line.contains("frontend=web")).collect();
    for field in ["level=warn", "cause=malformed", "why=", "client=127.0.0.1:"] {
        assert!(lines.iter().all(|line| line.contains(field)), "{field}: {log}");
    }
    // Each second has three at most; all are counted.
    assert!((3..50).contains(&of_web.len()), "{log}");
    let counted = "lb_tls_handshakes_total{frontend=\"web\",result=\"malformed\"} 50";
    wait_until("all are counted", || {
        get(lb.address("admin"), "/metrics").body.contains(counted).then_some(())
    });
}

#[test]
fn what_is_odd_about_a_certificate_is_told_once() {
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/certificates");
    let folder = tempfile::tempdir().unwrap();
    let staple = folder.path().join("site.ocsp");
    std::fs::write(&staple, "no response").unwrap();
    let config = Config::new(&format!(
        r#"
[frontend.web]
listen = "127.0.0.1:0"
routes = [{{ respond = {{ status = 204 }} }}]
[frontend.web.tls]
certificates = [{{ cert = "{certificates}/localhost.pem", key = "{certificates}/localhost.key", ocsp = "{}" }}]
"#,
        staple.display()
    ));
    let lb = Lb::run(&config.path());
    babble(lb.address("web"));
    lb.says("a TLS handshake failed");
    lb.signal(Signal::TERM);
    let said = lb.ended().stderr;
    assert_eq!(said.matches("is not passed on").count(), 1, "{said}");
}
