//! SIGTERM and SIGINT drain, a second signal ends.

mod rig;

use std::net::TcpStream;
use std::thread;

use rig::{Config, Lb, Server, get, request, shop, wait_until};
use rustix::process::Signal;

#[test]
fn a_signal_lets_requests_finish_and_takes_no_new_ones() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start("web1");
        let config = Config::new(&shop(&[&server]));
        let lb = Lb::run(&config.path());
        let (web, admin) = (lb.address("web"), lb.address("admin"));
        let slow = thread::spawn(move || get(web, "/slow"));
        server.is_asked();

        lb.signal(signal);
        lb.says("draining");
        wait_until("new connections are refused", || TcpStream::connect(web).is_err().then_some(()));
        assert_eq!(get(admin, "/readyz").status, 503);
        assert_eq!(get(admin, "/healthz").status, 200);

        server.release();
        let answer = slow.join().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "web1"));
        let ended = lb.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.trim_end().ends_with("drained"), "{}", ended.stderr);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    let web = lb.address("web");
    let slow = thread::spawn(move || request(web, "GET", "/slow"));
    server.is_asked();

    lb.signal(Signal::TERM);
    lb.says("draining");
    lb.signal(Signal::TERM);
    // The server never answers: only the second signal can end this.
    let ended = lb.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("ended before it was drained"), "{}", ended.stderr);
    slow.join().unwrap().expect_err("there was nobody to answer");
}

#[test]
fn the_time_for_draining_is_bounded() {
    let server = Server::start("web1");
    let config = Config::new(&format!("[global]\ndrain_timeout = \"100ms\"\n{}", shop(&[&server])));
    let lb = Lb::run(&config.path());
    let web = lb.address("web");
    let slow = thread::spawn(move || request(web, "GET", "/slow"));
    server.is_asked();

    lb.signal(Signal::TERM);
    let ended = lb.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("ran out"), "{}", ended.stderr);
    drop(slow.join().unwrap());
}
