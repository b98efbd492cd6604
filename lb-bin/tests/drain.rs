//! SIGTERM, SIGINT and SIGQUIT drain, a later one ends.

mod rig;

use std::net::TcpStream;
use std::thread;

use rig::{Config, Lb, Server, get, request, shop, wait_until};
use rustix::process::Signal;

#[test]
fn a_signal_lets_requests_finish_and_takes_no_new_ones() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
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
    // The server never answers: only a signal that is no repetition of the first can end this.
    let ended = lb.signalled_until_it_ends(Signal::TERM);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("ended before it was drained"), "{}", ended.stderr);
    slow.join().unwrap().expect_err("there was nobody to answer");
}

#[test]
fn two_signals_at_once_are_one() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    let web = lb.address("web");
    let slow = thread::spawn(move || get(web, "/slow"));
    server.is_asked();

    lb.signal(Signal::TERM);
    lb.signal(Signal::INT);
    lb.says("draining");
    server.release();
    assert_eq!(slow.join().unwrap().status, 200);
    let ended = lb.ended();
    assert!(ended.stderr.trim_end().ends_with("msg=drained"), "{}", ended.stderr);
}

#[test]
fn a_delay_before_draining_is_spent_not_ready_and_serving() {
    let server = Server::start("web1");
    let config = Config::new(&format!("[global]\ndrain_delay = \"1h\"\n{}", shop(&[&server])));
    let lb = Lb::run(&config.path());
    let (web, admin) = (lb.address("web"), lb.address("admin"));
    wait_until("it is ready", || (get(admin, "/readyz").status == 200).then_some(()));

    lb.signal(Signal::TERM);
    wait_until("it is not ready", || (get(admin, "/readyz").status == 503).then_some(()));
    let answer = get(web, "/");
    assert_eq!((answer.status, answer.body.as_str()), (200, "web1"));
    let ended = lb.signalled_until_it_ends(Signal::TERM);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_delay_that_is_over_ends_in_draining() {
    let server = Server::start("web1");
    let config = Config::new(&format!("[global]\ndrain_delay = \"50ms\"\n{}", shop(&[&server])));
    let lb = Lb::run(&config.path());
    lb.signal(Signal::TERM);
    let ended = lb.ended();
    assert!(ended.stderr.contains("delay=50ms"), "{}", ended.stderr);
    assert!(ended.stderr.trim_end().ends_with("msg=drained"), "{}", ended.stderr);
}

#[test]
fn signals_that_mean_nothing_here_are_told_and_change_nothing() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let lb = Lb::run(&config.path());
    for (signal, line) in [(Signal::USR1, "signal=SIGUSR1"), (Signal::USR2, "signal=SIGUSR2")] {
        lb.signal(signal);
        lb.says(line);
    }
    assert_eq!(get(lb.address("web"), "/").body, "web1");
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

#[test]
fn the_file_of_a_unix_socket_goes_with_its_listener() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]).replacen(
        "[frontend.web]\nlisten = \"127.0.0.1:0\"",
        "[frontend.web]\nlisten = [\"127.0.0.1:0\", \"unix:lb.sock\"]",
        1,
    ));
    let lb = Lb::run(&config.path());
    let socket = config.dir.path().join("lb.sock");
    assert!(socket.exists());
    lb.signal(Signal::TERM);
    assert_eq!(lb.ended().code, Some(0));
    assert!(!socket.exists());
}
