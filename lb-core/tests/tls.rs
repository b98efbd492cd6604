//! Promise: clients speak TLS to a frontend that has certificates, and learn whose; servers learn who they are.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![cfg(all(feature = "tls", feature = "http"))]

mod rig;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lb_core::prelude::*;
use lb_core::testkit::{Origin, Running, Wire, eventually, pattern};
use lb_core::tls::{CertificateFiles, ClientCertificates, MinVersion, Termination};

use rig::{Authority, Client};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn shop(origin: &Origin) -> Backend {
    Backend::builder("shop").server(origin.address()).build().unwrap()
}

/// A frontend `web` with this TLS in front of one server.
fn terminating(origin: &Origin, tls: Termination) -> Running {
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop(origin)).tls(tls);
    Running::start(Proxy::builder().frontend(web))
}

fn tls(files: &CertificateFiles) -> Termination {
    Termination::builder().certificate(files.clone()).build().unwrap()
}

/// What the server says on another request of this connection.
fn get(client: &mut Wire) -> String {
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status(), 200);
    response.text()
}

fn handshakes(proxy: &Running, result: &str) -> f64 {
    proxy.metric(&format!("lb_tls_handshakes_total{{frontend=\"web\",result=\"{result}\"}}"))
}

#[test]
fn requests_come_by_tls_and_the_server_learns_it() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = terminating(&origin, tls(&authority.issue(&["shop.example"])));
    let client = Client::trusting(&authority).connect(&proxy.address("web"), "shop.example");
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = rig::wire(client);
    for _ in 0..3 {
        assert_eq!(get(&mut client), "web1");
    }
    assert_eq!(origin.requests()[0].field("x-forwarded-proto"), Some("https"));
    assert_eq!(origin.connections(), 1);
    assert_eq!(handshakes(&proxy, "full"), 1.0);
}

#[test]
fn large_bodies_pass_whole_both_ways() {
    const LARGE: usize = 3 * 1024 * 1024 + 7;
    let origin = Origin::answering(|request| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        [head.as_bytes(), &request.body].concat()
    });
    let authority = Authority::new();
    let proxy = terminating(&origin, tls(&authority.issue(&["shop.example"])));
    let mut client = rig::wire(Client::trusting(&authority).connect(&proxy.address("web"), "shop.example"));
    let body = pattern(LARGE);
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).send(&body);
        let answer = client.response().body;
        assert!(answer == body, "{} of {LARGE} bytes", answer.len());
    }
}

#[test]
fn the_certificate_is_chosen_by_exact_name_then_wildcard_then_the_first() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let tls = Termination::builder()
        .certificate(authority.issue(&["first.example"]))
        .certificate(authority.issue(&["*.shop.example"]))
        .certificate(authority.issue(&["a.shop.example"]))
        .build()
        .unwrap();
    let proxy = terminating(&origin, tls);
    for (asked, shown) in [
        ("first.example", "first.example"),
        ("a.shop.example", "a.shop.example"),
        ("A.shop.Example", "a.shop.example"),
        ("b.shop.example", "*.shop.example"),
        ("b.c.shop.example", "first.example"),
        ("shop.example", "first.example"),
        ("127.0.0.1", "first.example"),
    ] {
        let client = Client::believing_anybody().connect(&proxy.address("web"), asked);
        assert_eq!(rig::names_shown(&client), [shown], "{asked}");
    }
}

#[test]
fn a_directory_holds_certificates_too() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let directory = authority.directory(&[("b", "b.example"), ("a", "a.example")]);
    let proxy = terminating(&origin, Termination::builder().directory(&directory).build().unwrap());
    for (asked, shown) in [("b.example", "b.example"), ("a.example", "a.example"), ("c.example", "a.example")]
    {
        let client = Client::believing_anybody().connect(&proxy.address("web"), asked);
        assert_eq!(rig::names_shown(&client), [shown], "{asked}");
    }
}

#[test]
fn ecdsa_and_rsa_stand_side_by_side() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let tls = Termination::builder()
        .certificate(authority.issue_rsa(&["shop.example"]))
        .certificate(authority.issue(&["shop.example"]))
        .build()
        .unwrap();
    let proxy = terminating(&origin, tls);
    let address = proxy.address("web");
    for (client, expected) in [
        (Client::trusting(&authority), "ecdsa"),
        (Client::trusting(&authority).without_ecdsa(), "rsa"),
        (Client::trusting(&authority).tls12(), "ecdsa"),
        (Client::trusting(&authority).tls12().without_ecdsa(), "rsa"),
    ] {
        let client = client.connect(&address, "shop.example");
        assert_eq!(rig::kind_shown(&client), expected);
        assert_eq!(get(&mut rig::wire(client)), "web1");
    }
}

#[test]
fn sessions_resume_on_every_worker_and_over_a_reload() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let files = authority.issue(&["shop.example"]);
    let shop = shop(&origin);
    let builder = || {
        let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls(&files));
        Proxy::builder().frontend(web)
    };
    let proxy = Running::start_with(builder(), Workers::Threads(3));
    for version in [Client::trusting(&authority), Client::trusting(&authority).tls12()] {
        let before = handshakes(&proxy, "full");
        for _ in 0..10 {
            get(&mut rig::wire(version.connect(&proxy.address("web"), "shop.example")));
        }
        proxy.apply(builder());
        get(&mut rig::wire(version.connect(&proxy.address("web"), "shop.example")));
        assert_eq!(handshakes(&proxy, "full") - before, 1.0);
    }
    assert_eq!(handshakes(&proxy, "resumed"), 20.0);
}

#[test]
fn old_versions_and_unknown_protocols_are_refused_and_counted() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let tls = Termination::builder()
        .certificate(authority.issue(&["shop.example"]))
        .min_version(MinVersion::Tls13)
        .build()
        .unwrap();
    let proxy = terminating(&origin, tls);
    let address = proxy.address("web");
    assert!(Client::trusting(&authority).tls12().try_connect(&address, "shop.example").is_err());
    assert!(Client::trusting(&authority).protocol("gopher").try_connect(&address, "shop.example").is_err());
    assert!(Client::trusting(&Authority::new()).try_connect(&address, "shop.example").is_err());
    for result in ["incompatible", "no_protocol", "alert"] {
        eventually(result, || handshakes(&proxy, result) == 1.0);
    }
}

#[test]
fn clients_that_offer_http_1_0_alone_are_served() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = terminating(&origin, tls(&authority.issue(&["shop.example"])));
    let client = Client::trusting(&authority).protocol("http/1.0");
    let client = client.connect(&proxy.address("web"), "shop.example");
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.0"[..]));
    let mut client = rig::wire(client);
    client.send("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.response().text(), "web1");
}

#[test]
fn clear_text_on_a_tls_port_is_told_so() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let proxy = terminating(&origin, tls(&authority.issue(&["shop.example"])));
    let mut client = Wire::connect(&proxy.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status(), 400);
    assert!(response.text().contains("TLS"), "{}", response.text());
    client.expect_closed();
    assert_eq!(handshakes(&proxy, "clear_text"), 1.0);
    assert!(origin.requests().is_empty());
}

#[test]
fn clients_show_certificates_and_servers_learn_the_subject() {
    let (authority, clients, origin) = (Authority::new(), Authority::new(), Origin::named("web1"));
    let strangers = Authority::new();
    let alice = clients.issue(&["alice"]);
    let header = || http::HeaderName::from_static("x-client-subject");
    let start = |asked| {
        let tls = Termination::builder().certificate(authority.issue(&["shop.example"])).clients(asked);
        let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop(&origin));
        let web = web.tls(tls.build().unwrap()).client_subject_header(header());
        Running::start(Proxy::builder().frontend(web))
    };
    let forged = "GET / HTTP/1.1\r\nHost: a\r\nX-Client-Subject: CN=root\r\n\r\n";

    let proxy = start(ClientCertificates::required(clients.file()));
    let client = Client::trusting(&authority).showing(&alice).connect(&proxy.address("web"), "shop.example");
    let mut client = rig::wire(client);
    assert_eq!(client.send(forged).response().status(), 200);
    let nobody = Client::trusting(&authority).connect(&proxy.address("web"), "shop.example");
    assert!(rig::is_refused(nobody));
    let stranger = strangers.issue(&["alice"]);
    let stranger =
        Client::trusting(&authority).showing(&stranger).connect(&proxy.address("web"), "shop.example");
    assert!(rig::is_refused(stranger));
    eventually("refused", || handshakes(&proxy, "client_certificate") == 2.0);
    drop(client);
    let two_names = clients.issue(&["bob, CN=admin"]);
    let client = Client::trusting(&authority).showing(&two_names);
    let mut client = rig::wire(client.connect(&proxy.address("web"), "shop.example"));
    assert_eq!(client.send(forged).response().status(), 200);
    drop(client);
    drop(proxy);

    let proxy = start(ClientCertificates::optional(clients.file()));
    let mut client = rig::wire(Client::trusting(&authority).connect(&proxy.address("web"), "shop.example"));
    assert_eq!(client.send(forged).response().status(), 200);
    let requests = origin.requests();
    assert_eq!(requests[0].fields_named("x-client-subject").collect::<Vec<_>>(), ["CN=alice"]);
    assert_eq!(requests[1].fields_named("x-client-subject").collect::<Vec<_>>(), ["CN=bob\\, CN=admin"]);
    assert_eq!(requests[2].field("x-client-subject"), None);
}

#[test]
fn clients_whose_own_certificate_is_named_are_let_in() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let (alice, bob) = (authority.self_signed(&["alice"], |_| {}), authority.self_signed(&["bob"], |_| {}));
    let tls = Termination::builder().certificate(authority.issue(&["shop.example"]));
    let tls = tls.clients(ClientCertificates::required(alice.certificate_file())).build().unwrap();
    let proxy = terminating(&origin, tls);
    let connect = |files: &CertificateFiles| {
        Client::trusting(&authority).showing(files).connect(&proxy.address("web"), "shop.example")
    };
    assert_eq!(get(&mut rig::wire(connect(&alice))), "web1");
    assert!(rig::is_refused(connect(&bob)));
    eventually("refused", || handshakes(&proxy, "client_certificate") == 1.0);
}

#[test]
fn renewed_certificates_are_taken_and_broken_ones_leave_the_old_in_place() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let stem = authority.file().with_file_name("site");
    let issue = |name: &str| {
        authority.issue_to(&stem, &[name], &rcgen::KeyPair::generate().unwrap(), |params| {
            params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        })
    };
    let files = issue("old.example");
    let proxy = terminating(&origin, tls(&files));
    let shown = || rig::names_shown(&Client::believing_anybody().connect(&proxy.address("web"), "a.example"));
    let error = || proxy.handle().status().frontends[0].certificates[0].error.clone().unwrap_or_default();
    let renewals = |result: &str| {
        proxy.metric(&format!("lb_tls_certificate_renewals_total{{frontend=\"web\",result=\"{result}\"}}"))
    };
    let key = std::fs::read(files.key_file()).unwrap();

    std::fs::write(files.key_file(), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    eventually("a key of another certificate is noticed", || {
        error().contains("is not that of the certificate")
    });
    assert_eq!(shown(), ["old.example"]);
    std::fs::write(files.key_file(), &key[..key.len() / 2]).unwrap();
    eventually("half of a key is noticed", || error().contains("site.key"));
    assert_eq!(shown(), ["old.example"]);
    eventually("both are counted", || renewals("error") == 2.0);
    std::fs::write(files.key_file(), &key).unwrap();
    let chain = std::fs::read(files.certificate_file()).unwrap();
    let nonsense = b"-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";
    std::fs::write(files.certificate_file(), [&chain[..], nonsense].concat()).unwrap();
    eventually("nonsense behind it is noticed", || error().contains("certificate 2 is no X.509 certificate"));
    assert_eq!(shown(), ["old.example"]);
    eventually("it is counted, too", || renewals("error") == 3.0);

    issue("new.example");
    eventually("the new one is taken", || shown() == ["new.example"]);
    eventually("it is counted", || renewals("success") == 1.0);
    assert_eq!(error(), "");
    let certificate = files.certificate_file().display();
    let expiry = proxy
        .metric(&format!("lb_tls_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}}"));
    assert_eq!(expiry, 4_102_444_800.0);
}

#[test]
fn fifty_renewals_under_load_fail_no_handshake() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let stem = authority.file().with_file_name("site");
    // Key first, then the certificate: each renewal is half one for a moment.
    let issue = || authority.issue_to(&stem, &["shop.example"], &rcgen::KeyPair::generate().unwrap(), |_| {});
    let tls = Termination::builder().certificate(issue()).watch_every(Duration::from_millis(5));
    let proxy = terminating(&origin, tls.build().unwrap());
    let (address, is_over) = (proxy.address("web"), AtomicBool::new(false));
    let handshakes_made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let load = || {
            while !is_over.load(Ordering::Relaxed) {
                get(&mut rig::wire(Client::trusting(&authority).connect(&address, "shop.example")));
                handshakes_made.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(load), scope.spawn(load)];
        for _ in 0..50 {
            let files = issue();
            let renewed = CertificateDer::from_pem_file(files.certificate_file()).unwrap();
            let served = handshakes_made.load(Ordering::Relaxed);
            eventually("the renewed one is shown, under load", || {
                let client = Client::trusting(&authority).connect(&address, "shop.example");
                let is_shown = client.conn.peer_certificates().unwrap()[0] == renewed;
                is_shown && handshakes_made.load(Ordering::Relaxed) > served
                    || clients.iter().any(|client| client.is_finished())
            });
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let failed = |result: &&str| handshakes(&proxy, result) > 0.0;
    let results = ["clear_text", "malformed", "incompatible", "no_protocol", "alert", "closed", "timeout"];
    assert_eq!(results.iter().find(|result| failed(result)), None);
    assert!(handshakes_made.into_inner() >= 50);
}

#[test]
fn renewed_authorities_of_clients_are_taken_and_tickets_of_before_are_not() {
    let (authority, origin) = (Authority::new(), Origin::named("web1"));
    let (old, new) = (Authority::new(), Authority::new());
    let (alice, bob) = (old.issue(&["alice"]), new.issue(&["bob"]));
    let file = authority.file().with_file_name("clients.pem");
    std::fs::copy(old.file(), &file).unwrap();
    let tls = Termination::builder().certificate(authority.issue(&["shop.example"]));
    let tls = tls.clients(ClientCertificates::required(&file)).watch_every(Duration::from_millis(5));
    let proxy = terminating(&origin, tls.build().unwrap());
    let showing = |files: &CertificateFiles| Client::trusting(&authority).showing(files);
    let (alice, bob) = (showing(&alice), showing(&bob));
    let connect = |client: &Client| client.connect(&proxy.address("web"), "shop.example");
    let error = || proxy.handle().status().frontends[0].client_authorities.clone().unwrap().error;
    let renewals = |result: &str| {
        proxy.metric(&format!("lb_tls_certificate_renewals_total{{frontend=\"web\",result=\"{result}\"}}"))
    };

    get(&mut rig::wire(connect(&alice)));
    get(&mut rig::wire(connect(&alice)));
    assert_eq!(handshakes(&proxy, "resumed"), 1.0);
    assert!(rig::is_refused(connect(&bob)));

    let renewed = std::fs::read(new.file()).unwrap();
    std::fs::write(&file, &renewed[..renewed.len() / 2]).unwrap();
    eventually("half of a file is noticed", || error().is_some_and(|error| error.contains("clients.pem")));
    eventually("it is counted", || renewals("error") >= 1.0);
    get(&mut rig::wire(connect(&alice)));

    std::fs::write(&file, &renewed).unwrap();
    eventually("the new ones are taken", || renewals("success") == 1.0);
    assert_eq!(error(), None);
    assert!(rig::is_refused(connect(&alice)), "by a ticket");
    get(&mut rig::wire(connect(&bob)));
}

#[cfg(feature = "config")]
#[test]
fn the_example_serves() {
    let origin = Origin::named("web1");
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    let environment = |name: &str| match name {
        "PLAIN" | "LISTEN" => Some("127.0.0.1:0".to_owned()),
        "SHOP" => Some(origin.address().to_owned()),
        _ => None,
    };
    let loaded = lb_core::config::load(conf.join("tls.toml"), environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let proxy = Running::start(loaded.builder);
    let client = Client::trusting_file(&conf.join("certificates/ca.pem"));
    let mut client = rig::wire(client.connect(&proxy.address("web"), "localhost"));
    assert_eq!(get(&mut client), "web1");
    let mut plain = proxy.client("plain");
    plain.send("GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let redirect = plain.response();
    assert_eq!((redirect.status(), redirect.field("location")), (308, Some("https://localhost:8443/a?b=c")));
}
