//! Promise: each request of a connection goes where its most specific route says, by its path as normalised; what is
//! forwarded is what the client sent, unless a rewrite says otherwise.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::net::TcpListener;
use std::time::Duration;

use http::StatusCode;
use lb_core::backend::BackendTimeouts;
use lb_core::http::edits::HeaderEdits;
use lb_core::http::route::Respond;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, Running};

/// An origin that says its name and the target that it was asked for.
fn origin(name: &'static str) -> (Origin, Backend) {
    let origin = Origin::answering(move |request| {
        let body = format!("{name} {}", request.target());
        format!("HTTP/1.1 200 OK\r\nServer: {name}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    });
    let backend = Backend::builder(name).server(origin.address()).build().unwrap();
    (origin, backend)
}

fn start(routes: impl IntoIterator<Item = Route>) -> Running {
    let web = Frontend::http("web").listen("127.0.0.1:0");
    Running::start(Proxy::builder().frontend(routes.into_iter().fold(web, |web, route| web.route(route))))
}

fn ask(proxy: &Running, head: &str) -> Message {
    proxy.client("web").send(format!("{head}\r\n\r\n")).response()
}

#[test]
fn each_request_of_a_connection_is_routed_anew_by_every_kind_of_match() {
    let (_shop, shop) = origin("shop");
    let (_admin, admin) = origin("admin");
    let proxy = start([
        Route::any().to(&shop),
        Route::path("/exact").to(&admin),
        Route::prefix("/admin").to(&admin),
        Route::prefix("/admin/public").to(&shop),
        Route::begins("/adm-").to(&admin),
        Route::regex("^/v[0-9]+/").to(&admin),
        Route::prefix("/m").method("POST").to(&admin),
        Route::prefix("/h").header("x-beta", "1").to(&admin),
        Route::prefix("/q").query("debug", "1").to(&admin),
        Route::any().host("*.admin.example").to(&admin),
        Route::any().host("admin.example").to(&admin),
    ]);
    let mut client = proxy.client("web");
    for (line, fields, name) in [
        ("GET /", "", "shop"),
        ("GET /exact", "", "admin"),
        ("GET /exact/", "", "shop"),
        ("GET /exact?q", "", "admin"),
        ("GET /admin", "", "admin"),
        ("GET /admin/", "", "admin"),
        ("GET /admin/x", "", "admin"),
        ("GET /administrator", "", "shop"),
        ("GET /admin/public/x", "", "shop"),
        ("GET /adm-x", "", "admin"),
        ("GET /v12/x", "", "admin"),
        ("GET /vx/x", "", "shop"),
        ("POST /m", "Content-Length: 0\r\n", "admin"),
        ("GET /m", "", "shop"),
        ("GET /h", "X-Beta: 1\r\n", "admin"),
        ("GET /h", "X-Beta: 2\r\n", "shop"),
        ("GET /q?a=b&debug=1", "", "admin"),
        ("GET /q?debug=2", "", "shop"),
    ] {
        client.send(format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let text = client.response().text();
        assert!(text.starts_with(name), "{line} {fields:?}: {text}");
    }
    for (host, name) in [
        ("admin.example", "admin"),
        ("ADMIN.example:8080", "admin"),
        ("x.admin.example", "admin"),
        ("x.y.admin.example", "admin"),
        ("notadmin.example", "shop"),
        ("admin.example.org", "shop"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let text = client.response().text();
        assert!(text.starts_with(name), "{host}: {text}");
    }
}

#[test]
fn a_route_can_not_be_bypassed_and_what_is_forwarded_is_what_was_sent() {
    let (_shop, shop) = origin("shop");
    let proxy =
        start([Route::any().to(&shop), Route::prefix("/admin").respond(Respond::new(403).body("no"))]);
    for (target, status) in [
        ("/admin", 403),
        ("/admin?x=1", 403),
        ("//admin", 403),
        ("/./admin", 403),
        ("/x/../admin", 403),
        ("/x/.%2E/admin/y", 403),
        ("/%2e/admin", 403),
        ("/%61dmin", 403),
        ("/%61%64%6d%69%6e", 403),
        ("/admin/%2e%2e/admin", 403),
        ("http://a/admin", 403),
        ("HTTP://A/admin", 403),
        ("/admin%00", 400),
        ("/../admin", 400),
        // Other names, as RFC 3986 has them: case, an encoded slash and a parameter make another path.
        ("/ADMIN", 200),
        ("/admin%2fx", 200),
        ("/%2561dmin", 200),
        ("/admin/../x", 200),
    ] {
        let response = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nHost: a"));
        assert_eq!(response.status(), status, "{target}");
        if status == 200 {
            assert_eq!(response.text(), format!("shop {target}"));
        }
    }
}

#[test]
fn the_proxy_answers_redirects_and_splits_by_itself() {
    let (first_origin, first) = origin("first");
    let (second_origin, second) = origin("second");
    let proxy = start([
        Route::prefix("/old").redirect(301, "https://{host}/new{path}{query}"),
        Route::prefix("/tls").redirect(308, "https://{host_name}{path}{query}"),
        Route::prefix("/moved").redirect(302, "{path}").strip_prefix("/moved"),
        Route::path("/closed").respond(Respond::new(503).body("closed\n").content_type("text/x-note")),
        Route::any().split([(&first, 1), (&second, 1)]),
    ]);
    let response = ask(&proxy, "GET /old/x?y=z HTTP/1.1\r\nHost: shop.example");
    assert_eq!(response.status(), 301);
    assert_eq!(response.field("location"), Some("https://shop.example/new/old/x?y=z"));
    for (target, host, location) in [
        ("/tls//a%2fb/%7E/./c?d=%2f", "shop.example:80", "https://shop.example/tls//a%2fb/%7E/./c?d=%2f"),
        ("//tls", "[::1]:8080", "https://[::1]//tls"),
        ("/moved//evil.example/x", "a", "/evil.example/x"),
        ("/moved/x//%2f", "a", "/x//%2f"),
    ] {
        let response = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nHost: {host}"));
        assert_eq!(response.field("location"), Some(location), "{target}");
    }
    let response = ask(&proxy, "GET /closed HTTP/1.1\r\nHost: a");
    assert_eq!((response.status(), response.text().as_str()), (503, "closed\n"));
    assert_eq!(response.field("content-type"), Some("text/x-note"));
    let response = proxy.client("web").send("HEAD /closed HTTP/1.1\r\nHost: a\r\n\r\n").response_to_head();
    assert_eq!((response.status(), response.field("content-length")), (503, Some("7")));
    for _ in 0..200 {
        assert_eq!(ask(&proxy, "GET / HTTP/1.1\r\nHost: a").status(), 200);
        if !first_origin.requests().is_empty() && !second_origin.requests().is_empty() {
            return;
        }
    }
    panic!("one half of the split was never chosen in 200 turns");
}

#[test]
fn paths_and_fields_are_rewritten() {
    let (shop_origin, shop) = origin("shop");
    let edits = || HeaderEdits::new();
    let proxy = start([
        Route::prefix("/strip").to(&shop).strip_prefix("/strip"),
        Route::prefix("/api").to(&shop).replace_prefix("/api", "/v2"),
        Route::any()
            .to(&shop)
            .request_headers(edits().set("x-a", "1").unwrap().add("x-b", "2").unwrap().remove("x-c").unwrap())
            .response_headers(edits().set("x-d", "3").unwrap().remove("server").unwrap()),
    ]);
    for (target, forwarded) in [
        ("/strip/x?y", "/x?y"),
        ("/strip", "/"),
        ("/strip/", "/"),
        ("/api/x%20y", "/v2/x%20y"),
        ("/api//a%2fb/./%7E?c=%2f", "/v2//a%2fb/./%7E?c=%2f"),
        ("/strip//evil.example/x", "/evil.example/x"),
        ("//str%69p/./x//y", "/./x//y"),
        ("/x/../strip/%2e%2E/strip/y", "/y"),
        ("http://a/strip/x%2fy", "/x%2fy"),
        ("/api", "/v2"),
        ("/other", "/other"),
    ] {
        let response = ask(&proxy, &format!("GET {target} HTTP/1.1\r\nHost: a"));
        assert_eq!(response.text(), format!("shop {forwarded}"), "{target}");
    }
    let response = ask(&proxy, "GET / HTTP/1.1\r\nHost: a\r\nX-A: 0\r\nX-B: 0\r\nX-C: 0");
    assert_eq!((response.field("x-d"), response.field("server")), (Some("3"), None));
    let request = shop_origin.requests().pop().unwrap();
    assert_eq!(request.field("x-a"), Some("1"));
    assert_eq!(request.fields_named("x-b").collect::<Vec<_>>(), ["0", "2"]);
    assert_eq!(request.field("x-c"), None);
}

#[test]
fn a_route_edits_the_answers_that_the_proxy_gives_in_a_servers_place() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Origin::scripted(|wire| drop(wire.until_closed()));
    let backend = |name: &str| Backend::builder(name).retries(0);
    let idle = ServerSpec::new("none", dead.to_string().parse().unwrap()).weight(0);
    let impatient = BackendTimeouts::default().response(Duration::from_millis(50));
    let backends = [
        ("/502", backend("dead").server(dead.to_string()), 502),
        ("/503", backend("drained").server(idle), 503),
        ("/504", backend("silent").server(silent.address()).timeouts(impatient), 504),
        ("/401", backend("closed").server(dead.to_string()), 401),
    ];
    let edits = HeaderEdits::new().set("access-control-allow-origin", "*").unwrap();
    let edits = edits.set("content-type", "text/html").unwrap();
    let mut web = Frontend::http("web").listen("127.0.0.1:0").filter(Bouncer);
    let mut expected = Vec::new();
    for (path, backend, status) in backends {
        let backend = backend.build().unwrap();
        web = web.route(Route::path(path).to(&backend).response_headers(edits.clone()));
        expected.push((path, status, Some("*")));
    }
    let proxy = Running::start(Proxy::builder().frontend(web));
    // No route is no route's.
    expected.push(("/404", 404, None));
    for (path, status, origin) in expected {
        let response = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nHost: a"));
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.field("access-control-allow-origin"), origin, "{path}");
        let types: Vec<_> = response.fields_named("content-type").collect();
        assert_eq!(types == ["text/html"], origin.is_some(), "{path}: {types:?}");
    }
}

#[test]
fn header_fields_have_values_made_of_the_request() {
    let (shop_origin, shop) = origin("shop");
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Backend::builder("gone").server(dead.to_string()).retries(0).build().unwrap();
    let value = "{client} {scheme}://{host}{path}{query} {host_name} {port} {method} {{}}";
    let edits = HeaderEdits::new().set("x-made", value).unwrap();
    let forwarded =
        edits.clone().set("host", "www.{host_name}").unwrap().add("x-port", "{client_port}").unwrap();
    let route = |route: Route| route.request_headers(forwarded.clone()).response_headers(edits.clone());
    let web = Frontend::http("web").listen("127.0.0.1:0").trusted_proxies(["127.0.0.0/8".parse().unwrap()]);
    let web = web.route(route(Route::prefix("/a").to(&shop).strip_prefix("/a")));
    let web = web.route(route(Route::prefix("/gone").to(&gone)));
    let web = web.route(Route::any().respond(Respond::new(200)).response_headers(edits.clone()));
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    let port = client.local().port().to_string();
    for (target, fields, client_address) in [
        ("/a//b%2f?c=d", "", "127.0.0.1"),
        ("/a//b%2f?c=d", "X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
        ("/gone", "", "127.0.0.1"),
        ("/", "", "127.0.0.1"),
    ] {
        let made = format!("{client_address} http://shop:81{target} shop 81 GET {{}}");
        client.send(format!("GET {target} HTTP/1.1\r\nHost: shop:81\r\nX-Made: 0\r\n{fields}\r\n"));
        let response = client.response();
        assert_eq!(response.fields_named("x-made").collect::<Vec<_>>(), [&*made], "{target}");
        if let Some(request) = shop_origin.requests().pop().filter(|_| target.starts_with("/a")) {
            assert_eq!(request.fields_named("x-made").collect::<Vec<_>>(), [&*made], "{target}");
            assert_eq!((request.target(), request.field("host")), ("/b%2f?c=d", Some("www.shop")));
            assert_eq!(request.field("x-port"), Some(if fields.is_empty() { &*port } else { "" }));
        }
    }
}

/// Lets nobody in by the backend `closed`.
struct Bouncer;

impl Filter for Bouncer {
    fn request(&self, request: &mut Request<'_>) -> Verdict {
        if request.backend() == "closed" {
            return Verdict::Answer(Reply::text(StatusCode::UNAUTHORIZED, "no\n"));
        }
        Verdict::Continue
    }
}

#[test]
fn only_trusted_proxies_are_believed_about_where_a_request_came_from() {
    for is_trusted in [false, true] {
        let (origin, shop) = origin("shop");
        let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
        let networks = is_trusted.then(|| "127.0.0.0/8".parse().unwrap());
        let proxy = Running::start(Proxy::builder().frontend(web.trusted_proxies(networks)));
        let claims = "X-Forwarded-For: 10.9.8.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Port: 8443";
        assert_eq!(ask(&proxy, &format!("GET / HTTP/1.1\r\nHost: a\r\n{claims}")).status(), 200);
        let request = origin.requests().pop().unwrap();
        let told = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]
            .map(|name| request.field(name).unwrap());
        let expected = if is_trusted {
            ["10.9.8.7, 127.0.0.1", "https", "b", "8443"]
        } else {
            ["127.0.0.1", "http", "a", "80"]
        };
        assert_eq!(told, expected);
    }
}
