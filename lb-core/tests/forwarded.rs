//! Promise: servers learn who asked, how and for what, from nobody but the proxy and those that it trusts.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use lb_core::backend::BackendBuilder;
use lb_core::http::edits::HeaderEdits;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, Running};

/// What a server is sent of a request with these fields, by a proxy that trusts the client or doesn't.
struct Asked {
    origin: Origin,
    proxy: Running,
}

impl Asked {
    fn of(
        is_trusted: bool,
        backend: impl FnOnce(BackendBuilder) -> BackendBuilder,
        route: impl FnOnce(Route) -> Route,
    ) -> Self {
        let origin = Origin::named("web1");
        let shop = backend(Backend::builder("shop").server(origin.address())).build().unwrap();
        let networks = is_trusted.then(|| "127.0.0.0/8".parse().unwrap());
        let web = Frontend::http("web").listen("127.0.0.1:0").trusted_proxies(networks);
        let web = web.route(route(Route::prefix("/api").to(&shop))).backend(&shop);
        Self { origin, proxy: Running::start(Proxy::builder().frontend(web)) }
    }

    fn sent(&self, target: &str, host: &str, fields: &str) -> Message {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        assert_eq!(self.proxy.client("web").send(head).response().status(), 200);
        self.origin.requests().pop().unwrap()
    }
}

/// What is told by a proxy, and may be believed by a server.
const TOLD: [&str; 16] = [
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Original-URI",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
];
/// What only seems to be.
const OTHERS: [&str; 5] = ["X-Forward-For", "X-Forwardedly", "X-Original", "X-Real-IPv6", "X-Real"];

fn claims(names: impl Iterator<Item = String>) -> String {
    names.map(|name| format!("{name}: claimed\r\n")).collect()
}

/// The names of the fields that are as they were claimed.
fn passed(request: &Message) -> Vec<String> {
    let claimed = request.fields.iter().filter(|(_, value)| value == "claimed");
    claimed.map(|(name, _)| name.clone()).collect()
}

#[test]
fn what_strangers_tell_does_not_pass_in_any_spelling() {
    let asked = Asked::of(false, |shop| shop, |route| route);
    let spellings =
        |name: &str| [name.to_owned(), name.replace('-', "_"), name.to_lowercase().replacen('-', "_", 1)];
    let told = claims(TOLD.iter().flat_map(|name| spellings(name)));
    let others = claims(OTHERS.iter().map(|name| (*name).to_owned()));
    let request = asked.sent("/", "a", &format!("{told}{others}"));
    assert_eq!(passed(&request), OTHERS);
    let own = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
    ];
    assert_eq!(
        own.map(|name| request.field(name)),
        [Some("127.0.0.1"), Some("http"), Some("a"), Some("80"), None]
    );
}

#[test]
fn what_trusted_proxies_tell_passes_as_they_spell_it() {
    let asked = Asked::of(true, |shop| shop, |route| route);
    let told = TOLD.iter().map(|name| (*name).to_owned());
    let alike = TOLD.iter().map(|name| name.replace('-', "_"));
    // Naming them in Connection takes nothing away.
    let named = format!("Connection: {}\r\n", TOLD.join(", "));
    let request = asked.sent("/", "a", &format!("{named}{}", claims(told.chain(alike))));
    // X-Forwarded-For goes on behind what was received.
    let expected: Vec<_> = TOLD.into_iter().filter(|name| *name != "X-Forwarded-For").collect();
    assert_eq!(passed(&request), expected);
    assert_eq!(request.fields_named("x-forwarded-for").collect::<Vec<_>>(), ["claimed, 127.0.0.1"]);
}

#[test]
fn a_backend_that_is_told_nothing_gets_all_as_received() {
    let asked = Asked::of(false, |shop| shop.forwarded(false), |route| route.strip_prefix("/api"));
    let request = asked.sent("/api/x", "a", &claims(TOLD.iter().map(|name| (*name).to_owned())));
    assert_eq!(passed(&request), TOLD);
}

#[test]
fn the_port_is_that_of_the_host_or_of_the_scheme() {
    for (is_trusted, host, fields, port) in [
        (false, "a", "", "80"),
        (false, "a:8080", "", "8080"),
        (false, "[::1]:8080", "X-Forwarded-Port: 1\r\n", "8080"),
        (true, "a", "X-Forwarded-Proto: https\r\n", "443"),
        (true, "a", "X-Forwarded-Proto: HTTPS, http\r\n", "443"),
        (true, "a:8080", "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n", "443"),
        (true, "a", "X-Forwarded-Host: b:8443\r\n", "8443"),
        (true, "a", "X-Forwarded-Port: 9\r\n", "9"),
    ] {
        let asked = Asked::of(is_trusted, |shop| shop, |route| route);
        let request = asked.sent("/", host, fields);
        assert_eq!(request.fields_named("x-forwarded-port").collect::<Vec<_>>(), [port], "{host} {fields}");
    }
}

#[test]
fn a_prefix_that_is_stripped_is_told() {
    let strip: fn(Route) -> Route = |route| route.strip_prefix("/api");
    let replace: fn(Route) -> Route = |route| route.replace_prefix("/api", "/v2");
    let outer = "X-Forwarded-Prefix: /outer/\r\n";
    for (is_trusted, route, target, fields, told) in [
        (false, strip, "/api/x", "", Some("/api")),
        (false, strip, "/%61pi", outer, Some("/api")),
        (false, strip, "/x", outer, None),
        (false, replace, "/api/x", "", None),
        (true, strip, "/api/x", outer, Some("/outer/api")),
        (true, replace, "/api/x", outer, Some("/outer/")),
    ] {
        let request = Asked::of(is_trusted, |shop| shop, route).sent(target, "a", fields);
        let prefixes: Vec<_> = request.fields_named("x-forwarded-prefix").collect();
        assert_eq!(prefixes, told.into_iter().collect::<Vec<_>>(), "{target} {fields}");
    }
}

#[test]
fn the_clients_address_is_told_as_x_real_ip_where_that_is_wanted() {
    let claim = "X-Real-IP: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n";
    let list = "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.9\r\n";
    for forwarded in [true, false] {
        for (is_trusted, fields, client) in [
            (false, "", "127.0.0.1"),
            (false, claim, "127.0.0.1"),
            (false, list, "127.0.0.1"),
            (true, list, "192.0.2.7"),
            (true, claim, "127.0.0.1"),
        ] {
            let asked = Asked::of(is_trusted, |shop| shop.real_ip(true).forwarded(forwarded), |route| route);
            let request = asked.sent("/", "a", fields);
            let told: Vec<_> =
                request.fields_named("x-real-ip").chain(request.fields_named("x_real_ip")).collect();
            assert_eq!(told, [client], "{is_trusted} {fields}");
        }
    }
}

#[test]
fn a_route_has_the_last_word() {
    let edits = HeaderEdits::new().set("x-forwarded-proto", "https").unwrap();
    let edits = edits.set("x-real-ip", "{client}").unwrap().remove("x-forwarded-host").unwrap();
    let asked = Asked::of(false, |shop| shop.real_ip(true), |route| route.request_headers(edits));
    let request = asked.sent("/api", "a", "X-Forwarded-Proto: ftp\r\nX-Forwarded-Host: b\r\n");
    let told = |name| request.fields_named(name).collect::<Vec<_>>();
    assert_eq!((told("x-forwarded-proto"), told("x-real-ip")), (vec!["https"], vec!["127.0.0.1"]));
    assert_eq!((told("x-forwarded-host"), told("x-forwarded-for")), (vec![], vec!["127.0.0.1"]));
}
