//! Promise: servers are spoken to by TLS where their backend wants it, and only those whose certificates are good.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![cfg(all(feature = "tls", feature = "http"))]

mod h2_client;
mod rig;

use std::time::Duration;

use lb_core::backend::{BackendBuilder, PoolLimits, ServerState};
use lb_core::prelude::*;
use lb_core::proxy::ProxyBuilder;
use lb_core::testkit::{Origin, Running, eventually, pattern};
use lb_core::tls::{Origination, OriginationBuilder, SkipVerification};

use rig::{Authority, Server};

/// Answers each request with what the handshake told it, and closes if asked to.
fn secure_origin(server: Server) -> Origin {
    Origin::scripted(move |wire| {
        let Some(shaken) = server.accept(wire) else { return };
        while let Some(request) = wire.request() {
            let name = shaken.name.as_deref().unwrap_or("-");
            let body = format!("{name} resumed={} certificate={}", shaken.is_resumed, shaken.has_certificate);
            let close = if request.target() == "/close" { "connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 200 OK\r\n{close}content-length: {}\r\n\r\n{body}", body.len());
            // A health check may be gone by now.
            if wire.try_send(answer).is_err() || !close.is_empty() {
                return;
            }
        }
    })
}

fn shop(origin: &Origin, tls: OriginationBuilder) -> BackendBuilder {
    Backend::builder("shop").server(origin.address()).tls(tls.build().unwrap())
}

fn proxy(shop: BackendBuilder) -> ProxyBuilder {
    let shop = shop.build().unwrap();
    Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop))
}

fn get(proxy: &Running, path: &str) -> (u16, String) {
    let mut client = proxy.client("web");
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let response = client.response();
    (response.status(), response.text())
}

#[test]
fn connections_are_pooled_and_sessions_resumed() {
    let authority = Authority::new();
    let origin = secure_origin(Server::showing(&authority.issue(&["shop.internal"])));
    let tls = Origination::builder().authorities(authority.file()).server_name("shop.internal");
    let proxy = Running::start(proxy(shop(&origin, tls)));
    let answer = |resumed| (200, format!("shop.internal resumed={resumed} certificate=false"));
    assert_eq!(get(&proxy, "/"), answer(false));
    assert_eq!(get(&proxy, "/close"), answer(false));
    assert_eq!(origin.connections(), 1);
    assert_eq!(get(&proxy, "/"), answer(true));
    assert_eq!(origin.connections(), 2);
}

#[test]
fn only_good_certificates_are_believed() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ours = || Origination::builder().authorities(authority.file());
    let skip = || Origination::builder().dangerous(SkipVerification::i_accept_any_certificate());
    let expired = authority.file().with_file_name("expired");
    let expired =
        authority.issue_to(&expired, &["127.0.0.1"], &rcgen::KeyPair::generate().unwrap(), |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        });
    let good = authority.issue(&["127.0.0.1"]);
    let strange = stranger.issue(&["127.0.0.1"]);
    for (what, files, tls, is_believed) in [
        ("the address", &good, ours(), true),
        ("another name", &good, ours().server_name("shop.internal"), false),
        ("another authority", &strange, ours(), false),
        ("the system's authorities", &good, Origination::builder(), false),
        ("over", &expired, ours(), false),
        ("anything goes", &strange, skip(), true),
    ] {
        let origin = secure_origin(Server::showing(files));
        let Ok(tls) = tls.build() else {
            assert_eq!(what, "the system's authorities", "a machine may have none");
            continue;
        };
        let shop = Backend::builder("shop").server(origin.address()).tls(tls);
        let proxy = Running::start(proxy(shop));
        let (status, text) = get(&proxy, "/");
        if is_believed {
            assert_eq!(status, 200, "{what}");
        } else {
            assert_eq!((status, &*text), (502, "the server's certificate was not accepted\n"), "{what}");
            eventually(what, || proxy.errors("web", "server_certificate") == 1.0);
        }
    }
}

#[test]
fn a_certificate_that_stands_in_the_file_itself_is_believed() {
    type Change = fn(&mut rcgen::CertificateParams);
    let authority = Authority::new();
    let named: Change = |params| params.distinguished_name.push(rcgen::DnType::CommonName, "127.0.0.1");
    let over: Change = |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2020, 2, 1));
    };
    let for_clients: Change =
        |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let plain: Change = |_| {};
    let no_authority: Change = |params| params.is_ca = rcgen::IsCa::ExplicitNoCa;
    for (what, names, change, is_believed) in [
        ("as openssl makes them", &["127.0.0.1"][..], plain, true),
        ("no authority's", &["127.0.0.1"], no_authority, true),
        ("with a common name alone", &[], named, true),
        ("another name", &["shop.example"], plain, false),
        ("another name, although the common one is right", &["shop.example"], named, false),
        ("over", &["127.0.0.1"], over, false),
        ("for clients alone", &["127.0.0.1"], for_clients, false),
    ] {
        let files = authority.self_signed(names, change);
        let origin = secure_origin(Server::showing(&files));
        let proxy = Running::start(proxy(shop(
            &origin,
            Origination::builder().authorities(files.certificate_file()),
        )));
        assert_eq!(get(&proxy, "/").0, if is_believed { 200 } else { 502 }, "{what}");
    }
    // A twin: same names, another key.
    let (one, other) =
        (authority.self_signed(&["127.0.0.1"], plain), authority.self_signed(&["127.0.0.1"], plain));
    let origin = secure_origin(Server::showing(&one));
    let proxy =
        Running::start(proxy(shop(&origin, Origination::builder().authorities(other.certificate_file()))));
    assert_eq!(get(&proxy, "/").0, 502);
}

#[test]
fn a_server_in_clear_text_is_no_server() {
    let authority = Authority::new();
    let origin = Origin::scripted(|wire| {
        wire.send("220 hello\r\n");
        wire.until_closed();
    });
    let proxy = Running::start(proxy(shop(&origin, Origination::builder().authorities(authority.file()))));
    assert_eq!(get(&proxy, "/").0, 502);
    eventually("it is counted", || proxy.errors("web", "connect_failed") == 1.0);
}

#[test]
fn the_proxy_shows_its_own_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let origin = secure_origin(Server::asking(&authority.issue(&["127.0.0.1"]), &clients));
    let tls = Origination::builder().authorities(authority.file()).certificate(clients.issue(&["lb"]));
    let proxy = Running::start(proxy(shop(&origin, tls)));
    assert_eq!(get(&proxy, "/"), (200, "- resumed=false certificate=true".to_owned()));
}

#[test]
fn large_bodies_pass_whole_between_two_tls() {
    const LARGE: usize = 2 * 1024 * 1024 + 7;
    let authority = Authority::new();
    let files = authority.issue(&["127.0.0.1", "shop.example"]);
    let server = Server::showing(&files);
    let origin = Origin::scripted(move |wire| {
        let Some(_) = server.accept(wire) else { return };
        while let Some(request) = wire.request() {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
            wire.send([head.as_bytes(), &request.body].concat());
        }
    });
    let shop = shop(&origin, Origination::builder().authorities(authority.file())).build().unwrap();
    let tls = lb_core::tls::Termination::builder().certificate(files).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).tls(tls);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client =
        rig::wire(rig::Client::trusting(&authority).connect(&proxy.address("web"), "shop.example"));
    let body = pattern(LARGE);
    for _ in 0..2 {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).send(&body);
        let answer = client.response().body;
        assert!(answer == body, "{} of {LARGE} bytes", answer.len());
    }
}

#[test]
fn health_checks_come_by_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = secure_origin(Server::showing(&authority.issue(&["127.0.0.1"])));
    for (check, believed, state, detail) in [
        (HealthCheck::http("/"), &authority, ServerState::Up, "status 200"),
        (HealthCheck::tcp(), &authority, ServerState::Up, "connected"),
        (HealthCheck::http("/"), &stranger, ServerState::Down, "connect: invalid peer certificate: "),
        (HealthCheck::tcp(), &stranger, ServerState::Down, "connect: invalid peer certificate: "),
    ] {
        let check = check.interval(Duration::from_millis(10)).rise(1).fall(1);
        let tls = Origination::builder().authorities(believed.file());
        let proxy = Running::start(proxy(shop(&origin, tls).health(check)));
        let server = || proxy.handle().status().backends[0].servers[0].server.clone();
        eventually(detail, || server().state == state);
        let said = server().last_check.unwrap().detail;
        assert!(said.starts_with(detail), "{said}");
    }
}

#[test]
fn a_reload_that_believes_otherwise_uses_no_connection_of_before() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = secure_origin(Server::showing(&authority.issue(&["127.0.0.1"])));
    let believing =
        |authority: &Authority| proxy(shop(&origin, Origination::builder().authorities(authority.file())));
    let proxy = Running::start(believing(&authority));
    assert_eq!(get(&proxy, "/").0, 200);
    proxy.apply(believing(&authority));
    assert_eq!(get(&proxy, "/").0, 200);
    assert_eq!(origin.connections(), 1);
    proxy.apply(believing(&stranger));
    assert_eq!(get(&proxy, "/").0, 502);
}

#[test]
fn renewed_files_are_taken_and_broken_ones_leave_the_old_in_place() {
    let (authority, stranger, clients) = (Authority::new(), Authority::new(), Authority::new());
    let origin = secure_origin(Server::asking(&authority.issue(&["127.0.0.1"]), &clients));
    let (ca, stem) = (stranger.file().with_file_name("servers.pem"), stranger.file().with_file_name("own"));
    std::fs::copy(stranger.file(), &ca).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let own = stranger.issue_to(&stem, &["lb"], &key, |_| {});
    let tls = Origination::builder().authorities(&ca).certificate(own.clone());
    let proxy = Running::start(proxy(shop(&origin, tls.watch_every(Duration::from_millis(5)))));
    let backend = || proxy.handle().status().backends[0].clone();
    let renewals = |result: &str| {
        proxy
            .metric(&format!("lb_backend_certificate_renewals_total{{backend=\"shop\",result=\"{result}\"}}"))
    };
    assert_eq!(
        (get(&proxy, "/close").0, renewals("success")),
        (502, 0.0),
        "by an authority that is not believed"
    );

    let believed = std::fs::read(authority.file()).unwrap();
    std::fs::write(&ca, &believed[..believed.len() / 2]).unwrap();
    eventually("half of a file is noticed", || backend().authorities.unwrap().error.is_some());
    std::fs::write(&ca, &believed).unwrap();
    eventually("the authorities are taken", || renewals("success") == 1.0);
    assert_eq!(backend().authorities.unwrap().error, None);
    assert_eq!(get(&proxy, "/close").0, 502, "showing a certificate that is not accepted");

    std::fs::write(own.key_file(), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    eventually("another key is noticed", || backend().certificate.unwrap().error.is_some());
    clients.issue_to(&stem, &["lb"], &key, |_| {});
    eventually("the certificate is taken", || renewals("success") == 2.0);
    assert_eq!(backend().certificate.unwrap().error, None);
    let answer = |resumed| (200, format!("- resumed={resumed} certificate=true"));
    assert_eq!(get(&proxy, "/close"), answer(false));
    assert_eq!(get(&proxy, "/close"), answer(true));

    // What is believed no longer is not resumed.
    std::fs::copy(stranger.file(), &ca).unwrap();
    eventually("they are taken back", || renewals("success") == 3.0);
    assert_eq!(get(&proxy, "/").0, 502);
    assert!(renewals("error") >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_authorities_use_no_connection_of_before() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Server::showing(&authority.issue(&["127.0.0.1"]));
    let acceptor = tokio_rustls::TlsAcceptor::from(server.config("h2"));
    let enter = move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    };
    let h2 = h2_client::server::Server::start_behind(enter, 100, |asked| async move {
        h2_client::server::answer(asked.respond, http::Response::new(()), b"web1", None).await;
    })
    .await;
    let h1 = secure_origin(server);
    tokio::task::block_in_place(|| {
        for (address, http2) in [(h1.address(), false), (&h2.address, true)] {
            let ca = stranger.file().with_file_name("servers.pem");
            std::fs::copy(authority.file(), &ca).unwrap();
            let believing = |retries| {
                let tls = Origination::builder().authorities(&ca).watch_every(Duration::from_millis(5));
                let pool = PoolLimits::default().idle_timeout(Duration::from_secs(60));
                let shop = Backend::builder("shop").server(address).http2(http2).retries(retries);
                proxy(shop.pool(pool).tls(tls.build().unwrap()))
            };
            let proxy = Running::start(believing(2));
            assert_eq!(get(&proxy, "/").0, 200);
            // What is carried over follows the files as well.
            proxy.apply(believing(1));
            assert_eq!(get(&proxy, "/").0, 200);
            assert_eq!(if http2 { h2.connections() } else { h1.connections() }, 1);
            std::fs::copy(stranger.file(), &ca).unwrap();
            let renewals = "lb_backend_certificate_renewals_total{backend=\"shop\",result=\"success\"}";
            eventually("the others are taken", || proxy.metric(renewals) == 1.0);
            assert_eq!(get(&proxy, "/").0, 502, "{http2}");
        }
    });
}

#[test]
fn tunnels_lead_to_servers_by_tls() {
    let authority = Authority::new();
    let server = Server::showing(&authority.issue(&["127.0.0.1"]));
    let origin = Origin::scripted(move |wire| {
        let Some(_) = server.accept(wire) else { return };
        assert_eq!(wire.exactly(4), b"ping");
        wire.send("pong");
        let (rest, _) = wire.until_closed();
        wire.send(rest);
    });
    let shop = shop(&origin, Origination::builder().authorities(authority.file())).build().unwrap();
    let web = Frontend::tcp("web").listen("127.0.0.1:0").backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    assert_eq!(client.send("ping").exactly(4), b"pong");
    let large = pattern(100_000);
    client.send(&large).finish_sending();
    let (echo, _) = client.until_closed();
    assert!(echo == large, "{} bytes", echo.len());
}
