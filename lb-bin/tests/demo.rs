//! The demonstration shows what it promises.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod rig;

use std::net::{SocketAddr, TcpListener};

use rig::{Lb, bodies, get, lb};
use rustix::process::Signal;

/// A demonstration on ports that the kernel chooses: its frontend and its admin listener.
fn demo() -> (Lb, SocketAddr, SocketAddr) {
    let lb = Lb::start(&["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let printed = lb.prints("Ctrl-C");
    let address = |path: &str| {
        let end = printed.find(path).unwrap_or_else(|| panic!("no {path} in {printed}"));
        printed[..end].rsplit("http://").next().unwrap().parse().unwrap()
    };
    let (web, admin) = (address("/admin"), address("/metrics"));
    (lb, web, admin)
}

fn titles(address: SocketAddr, path: &str) -> Vec<String> {
    let title = |page: String| {
        let (_, rest) = page.split_once("<title>").unwrap();
        rest.split_once(" answers</title>").unwrap().0.to_owned()
    };
    bodies(address, path, 6).into_iter().map(title).collect()
}

#[test]
fn pages_take_turns_exactly() {
    let (lb, web, admin) = demo();
    assert_eq!(titles(web, "/"), ["shop1", "shop2", "shop1", "shop2", "shop1", "shop2"]);
    assert_eq!(titles(web, "/admin"), ["admin1", "admin2", "admin1", "admin2", "admin1", "admin2"]);
    // Whole segments: this is not the administration.
    assert_eq!(titles(web, "/administrator")[..2], ["shop1", "shop2"]);

    let metrics = get(admin, "/metrics").body;
    let requests = "lb_server_requests_total{backend=\"admin\",server=\"admin1\",code=\"2xx\"} 3";
    assert!(metrics.contains(requests), "{metrics}");

    lb.signal(Signal::INT);
    assert_eq!(lb.ended().code, Some(0));
}

#[test]
fn a_page_shows_its_server_and_links_to_the_other_side() {
    let (_lb, web, _) = demo();
    let page = get(web, "/some&where?x=1");
    assert!(page.head.to_ascii_lowercase().contains("content-type: text/html"), "{}", page.head);
    for part in ["<h1>shop1</h1>", "href=\"/\"", "href=\"/admin\"", "/some&amp;where"] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    // A browser that fetched an icon with each page would see the same server each time.
    assert!(page.body.contains("rel=\"icon\" href=\"data:,\""), "{}", page.body);
}

#[test]
fn three_commands_are_there_to_try() {
    let (lb, ..) = demo();
    let printed = lb.prints("Ctrl-C");
    assert_eq!(printed.lines().filter(|line| line.contains("curl ")).count(), 3, "{printed}");
}

#[test]
fn a_port_that_is_taken_is_three_and_shows_the_flags() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, admin) in [(address.as_str(), "127.0.0.1:0"), ("127.0.0.1:0", address.as_str())] {
        let ended = lb(&["demo", "--listen", listen, "--admin", admin]);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("can't listen on {address}: ")), "{}", ended.stderr);
        assert!(ended.stderr.contains("--listen") && ended.stderr.contains("--admin"), "{}", ended.stderr);
    }
}
