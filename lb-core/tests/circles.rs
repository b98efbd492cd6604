//! Promise: a request that comes back to where it was ends, and a configuration that sends it back is refused.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use lb_core::http::edits::HeaderEdits;
use lb_core::http::route::Route;
use lb_core::prelude::*;
use lb_core::proxy::HttpFrontend;
use lb_core::testkit::{Origin, Running};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn shop(server: &str) -> Backend {
    Backend::builder("shop").server(server).build().unwrap()
}

fn web(backend: &Backend) -> HttpFrontend {
    Frontend::http("web").listen("127.0.0.1:0").backend(backend)
}

/// A port that the kernel chose can't be seen when the configuration is read.
#[test]
fn a_request_that_comes_back_again_and_again_is_508() {
    for http2 in [false, true] {
        let proxy = Running::in_front_of(&Origin::named("web1"));
        let itself = Backend::builder("itself").server(proxy.address("web")).http2(http2).build().unwrap();
        proxy.apply(Proxy::builder().frontend(web(&itself)));
        let response = proxy.client("web").send(GET).response();
        assert_eq!(response.status(), 508, "http2 = {http2}");
        assert_eq!(proxy.errors("web", "loop_detected"), 1.0);
        // The first two turns are not marked yet; the last finds 16 marks.
        let entries = proxy.log().wait_for(18);
        assert_eq!(entries.len(), 18);
        assert!(entries.iter().all(|entry| entry.status == Some(508)), "{entries:?}");
    }
}

#[test]
fn only_what_passed_a_proxy_is_marked() {
    let origin = Origin::named("web1");
    let untouched = Backend::builder("untouched").server(origin.address()).forwarded(false).build().unwrap();
    let edits = HeaderEdits::new().remove("cdn-loop").unwrap();
    let shop = shop(origin.address());
    let front = web(&shop)
        .route(Route::prefix("/untouched").to(&untouched))
        .route(Route::prefix("/removed").to(&shop).request_headers(edits));
    let proxy = Running::start(Proxy::builder().frontend(front));
    for (path, fields, expected) in [
        ("/", "", &[][..]),
        ("/", "X-Forwarded-For: 192.0.2.1\r\n", &["lb"]),
        ("/", "Forwarded: for=192.0.2.1\r\n", &["lb"]),
        ("/", "Via: 1.1 edge\r\n", &["lb"]),
        ("/", "CDN-Loop: cloudflare\r\n", &["cloudflare", "lb"]),
        // Connection can't take the marks away.
        ("/", "CDN-Loop: lb, lb\r\nConnection: cdn-loop\r\n", &["lb, lb", "lb"]),
        ("/untouched", "X-Forwarded-For: 192.0.2.1\r\n", &[]),
        ("/removed", "X-Forwarded-For: 192.0.2.1\r\n", &[]),
    ] {
        let mut client = proxy.client("web");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(client.response().status(), 200);
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.fields_named("cdn-loop").collect::<Vec<_>>(), expected, "{path} {fields:?}");
    }
}

#[test]
fn fifteen_turns_pass_and_sixteen_do_not() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    for (marks, status) in [(15, 200), (16, 508)] {
        let marks = vec!["lb"; marks].join(", ");
        let mut client = proxy.client("web");
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nCDN-Loop: {marks}\r\n\r\n"));
        assert_eq!(client.response().status(), status, "{marks}");
    }
}

/// What is said of a proxy of these frontends.
fn refused(frontends: impl IntoIterator<Item = HttpFrontend>) -> Option<String> {
    let proxy = frontends.into_iter().fold(Proxy::builder(), |proxy, frontend| proxy.frontend(frontend));
    proxy.snapshot().err().map(|error| error.to_string())
}

#[test]
fn a_frontend_that_is_its_own_server_is_refused() {
    let listening = |listen: &str| Frontend::http("web").listen(listen);
    for (listen, server) in [
        ("127.0.0.1:8100", "127.0.0.1:8100"),
        ("0.0.0.0:8100", "127.0.0.1:8100"),
        (":8100", "[::1]:8100"),
        (":8100", "localhost:8100"),
        ("unix:/run/lb.sock", "unix:/run/lb.sock"),
    ] {
        let said = refused([listening(listen).backend(&shop(server))]);
        let expected = format!(
            "server `{server}` of backend shop is where frontend web listens: requests would go round in a circle; \
             name the server's own address"
        );
        assert_eq!(said, Some(expected), "{listen}");
    }
    let itself = shop("127.0.0.1:8100");
    let others = Backend::builder("others").server("192.0.2.1:80").build().unwrap();
    let some = Route::prefix("/some").split([(&others, 95), (&itself, 5)]);
    assert!(refused([listening("0.0.0.0:8100").route(some).backend(&others)]).is_some());
    let rewritten = Route::prefix("/old").to(&itself).replace_prefix("/old", "/new");
    let expected = None;
    assert_eq!(refused([listening("0.0.0.0:8100").route(rewritten).backend(&others)]), expected);
    let tcp = Frontend::tcp("db").listen("127.0.0.1:8100").backend(&itself);
    assert!(Proxy::builder().frontend(tcp).snapshot().is_err());
}

#[test]
fn a_chain_of_frontends_is_fine_and_a_ring_is_not() {
    let at = |port: u16| {
        Backend::builder(format!("at{port}")).server(format!("127.0.0.1:{port}").as_str()).build().unwrap()
    };
    let front = |name: &str, port: u16| Frontend::http(name).listen(format!("127.0.0.1:{port}"));
    let chain = [front("a", 8101).backend(&at(8102)), front("b", 8102).backend(&at(9000))];
    assert_eq!(refused(chain), None);
    let ring = [front("a", 8101).backend(&at(8102)), front("b", 8102).backend(&at(8101))];
    let said = refused(ring).unwrap();
    assert!(said.contains("backend at8102 is where frontend b listens"), "{said}");
    // What comes back may well go elsewhere then.
    let by_path = front("b", 8102).route(Route::prefix("/x").to(&at(8101))).backend(&at(9000));
    assert_eq!(refused([front("a", 8101).backend(&at(8102)), by_path]), None);
}
