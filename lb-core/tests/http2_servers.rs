//! Promise: servers may speak HTTP/2; requests share a few connections to them, and are not lost with one.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_client;

use std::sync::Arc;

use h2::Reason;
use http::{HeaderMap, Response};
use lb_core::prelude::*;
use lb_core::testkit::{Running, pattern};
use tokio::sync::{Barrier, Notify};

use h2_client::server::{Server, answer};
use h2_client::{Answer, Client, request};

/// In front of this server, spoken to in HTTP/2 or not.
fn proxy(address: &str, http2: bool) -> Running {
    let shop = Backend::builder("shop").server(address).http2(http2).build().unwrap();
    Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])
}

fn ok() -> Response<()> {
    Response::new(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_connections_within_the_servers_limit() {
    let all_there = Arc::new(Barrier::new(50));
    let server = Server::start(10, {
        let all_there = Arc::clone(&all_there);
        move |asked| {
            let all_there = Arc::clone(&all_there);
            async move {
                if asked.request.uri().path() == "/together" {
                    all_there.wait().await;
                }
                answer(asked.respond, ok(), b"web1", None).await;
            }
        }
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.unwrap().text(), "web1");
    }
    assert_eq!(server.connections(), 1);
    let mut responses = Vec::new();
    for _ in 0..50 {
        responses.push(client.send(request("GET", "/together"), true).await.0);
    }
    for response in responses {
        assert_eq!(response.await.unwrap().status(), 200);
    }
    assert!(server.connections() >= 5, "{}", server.connections());
    let series = "lb_server_connections_total{backend=\"shop\",server=\"ADDRESS\",result=\"opened\"}";
    let opened = proxy.metric(&series.replace("ADDRESS", &server.address));
    assert_eq!(opened, server.connections() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_goaway_gets_no_more_and_fails_nothing() {
    let server = Server::start(100, |asked| async move {
        let connection = asked.connection.to_string();
        let (request, respond) = asked.read().await;
        answer(respond, ok(), &[connection.as_bytes(), b":", &request.body].concat(), None).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    for at in 0..200 {
        let answer = client.ask(request("POST", "/"), b"x", None).await.unwrap();
        assert_eq!(answer.status(), 200, "request {at}");
        if at % 20 == 0 {
            server.leave();
        }
    }
    assert!(server.connections() > 5, "{}", server.connections());
    assert_eq!(proxy.errors("web", "bad_response"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_sent_again_with_its_body() {
    let server = Server::start(100, |mut asked| async move {
        if asked.connection == 1 && asked.request.uri().path() != "/first" {
            asked.respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        let (request, respond) = asked.read().await;
        answer(respond, ok(), &request.body, request.trailers).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    assert_eq!(client.get("/first").await.unwrap().status(), 200);
    let body = pattern(10_000);
    let answer = client.ask(request("POST", "/again"), &body, Some(trailers())).await.unwrap();
    assert_eq!((answer.status(), answer.trailers), (200, Some(trailers())));
    assert!(answer.body == body);
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_may_have_done_is_not_sent_again() {
    let server = Server::start(100, |mut asked| async move {
        asked.respond.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    assert_eq!(client.ask(request("POST", "/"), b"x", None).await.unwrap().status(), 502);
    assert_eq!(proxy.metric("lb_retries_total{backend=\"shop\"}"), 0.0);
}

/// The length of a 304 is that of what it stands for. Some servers end its stream by a frame of its own, at once or
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_content_ends_with_its_head_however_its_stream_ends() {
    let is_received = Arc::new(Notify::new());
    let server = Server::start(100, {
        let is_received = Arc::clone(&is_received);
        move |mut asked| {
            let is_received = Arc::clone(&is_received);
            async move {
                let path = asked.request.uri().path().to_owned();
                let mut head = ok();
                if path.starts_with("/304") {
                    *head.status_mut() = http::StatusCode::NOT_MODIFIED;
                    head.headers_mut().insert("content-length", 5.into());
                } else {
                    *head.status_mut() = http::StatusCode::NO_CONTENT;
                }
                let mut stream = asked.respond.send_response(head, false).unwrap();
                if path.ends_with("later") {
                    is_received.notified().await;
                }
                let content = if path.ends_with("full") { "HTTP/1.1 200 OK\r\n\r\n" } else { "" };
                // It may have been told by now that nobody wants it.
                let _ = stream.send_data(content.into(), true);
            }
        }
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    let mut plain = proxy.client("web");
    let paths = ["/304", "/304/later", "/304/full", "/204", "/204/later", "/204/full", "/304"];
    for path in paths {
        let is_304 = path.starts_with("/304");
        let expected = (if is_304 { 304 } else { 204 }, is_304.then_some("5"));
        let (response, _) = client.send(request("GET", path), true).await;
        let response = response.await.unwrap();
        assert!(response.body().is_end_stream(), "{path}");
        let answer = Answer::of(response).await.unwrap();
        assert_eq!((answer.status(), answer.field("content-length")), expected, "{path}");
        if path.ends_with("later") {
            is_received.notify_one();
        }
        plain.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = plain.response();
        assert_eq!((answer.status(), answer.field("content-length")), expected, "{path}");
        if path.ends_with("later") {
            is_received.notify_one();
        }
    }
    let log = proxy.log().wait_for(2 * paths.len());
    assert!(log.iter().all(|entry| entry.reason.is_none()), "{log:?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_trailers_only_and_one_of_trailers_pass() {
    let server = Server::start(100, |asked| async move {
        let mut head = ok();
        head.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        if asked.request.uri().path() == "/only" {
            head.headers_mut().extend(trailers());
            return answer(asked.respond, head, b"", None).await;
        }
        assert_eq!(asked.request.headers()["te"], "trailers");
        answer(asked.respond, head, b"message", Some(trailers())).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    let only = client.get("/only").await.unwrap();
    assert_eq!((only.field("grpc-status"), only.body.len(), &only.trailers), (Some("0"), 0, &None));
    let mut call = request("POST", "/call");
    call.headers_mut().insert("te", "trailers".parse().unwrap());
    let answer = client.ask(call, b"message", None).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.trailers), ("message", Some(trailers())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_passes_from_either_end_to_the_other() {
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let seen = Arc::new(Notify::new());
    let is_seen = Arc::clone(&seen);
    let server = Server::start(100, move |mut asked| {
        let (gone, is_seen) = (Arc::clone(&gone), Arc::clone(&is_seen));
        async move {
            let mut stream = asked.respond.send_response(ok(), false).unwrap();
            stream.send_data("begun".into(), false).unwrap();
            if asked.request.uri().path() == "/broken" {
                is_seen.notified().await;
                return stream.send_reset(Reason::INTERNAL_ERROR);
            }
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
            let _ = gone.lock().unwrap().take().unwrap().send(reason);
        }
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    let (response, _) = client.send(request("GET", "/broken"), true).await;
    let response = response.await.unwrap();
    seen.notify_one();
    assert!(Answer::of(response).await.is_err_and(|error| error.is_reset()));
    let (response, mut stream) = client.send(request("GET", "/"), true).await;
    let response = response.await.unwrap();
    stream.send_reset(Reason::CANCEL);
    drop(response);
    assert_eq!(is_gone.await.unwrap(), Reason::CANCEL);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn tiny_frames_that_wait_arrive_as_one() {
    // By default a server of the `h2` crate ends a connection on which a hundred tiny frames wait.
    let server = Server::start(100, |asked| async move {
        let (request, respond) = asked.read().await;
        answer(respond, ok(), &request.body, None).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = Client::connect(&proxy.address("web")).await;
    let (response, mut stream) = client.send(request("POST", "/"), false).await;
    let body = pattern(1000);
    body.iter().for_each(|byte| stream.send_data(vec![*byte].into(), false).unwrap());
    stream.send_data(Default::default(), true).unwrap();
    let answer = Answer::of(response.await.unwrap()).await.unwrap();
    assert_eq!((answer.status(), answer.body), (200, body));
}

/// `conf/grpc.toml` with its servers' ports moved to `servers` and its own to one that the kernel chooses.
#[cfg(feature = "config")]
fn grpc_toml(servers: [&str; 3]) -> Running {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf/grpc.toml");
    let mut text = std::fs::read_to_string(path).unwrap().replace("127.0.0.1:50051", "127.0.0.1:0");
    for (named, server) in ["127.0.0.1:50061", "127.0.0.1:50062", "127.0.0.1:50063"].iter().zip(servers) {
        assert!(text.contains(named));
        text = text.replace(named, server);
    }
    let loaded = lb_core::config::load_text("grpc.toml", &text, |_| None).unwrap();
    Running::start(loaded.builder)
}

#[cfg(feature = "config")]
#[tokio::test(flavor = "multi_thread")]
async fn calls_spread_over_the_servers_of_grpc_toml() {
    let named = |name: &'static str| {
        Server::start(100, move |asked| async move {
            assert_eq!(asked.request.headers()["grpc-timeout"], "1S");
            let (request, respond) = asked.read().await;
            answer(respond, ok(), &[name.as_bytes(), &request.body].concat(), Some(trailers())).await;
        })
    };
    let servers = [named("a").await, named("b").await, named("orders").await];
    let proxy = grpc_toml([&servers[0].address, &servers[1].address, &servers[2].address]);
    let mut client = Client::connect(&proxy.address("grpc")).await;
    let mut call = async |path: &str| {
        let mut call = request("POST", path);
        for (name, value) in
            [("te", "trailers"), ("grpc-timeout", "1S"), ("content-type", "application/grpc")]
        {
            call.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = client.ask(call, b"!", None).await.unwrap();
        assert_eq!((answer.status(), &answer.trailers), (200, &Some(trailers())));
        answer.text()
    };
    assert_eq!(call("/shop.Orders/Place").await, "orders!");
    let mut texts = Vec::new();
    for _ in 0..10 {
        texts.push(call("/shop.Catalog/List").await);
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts, ["a!", "b!"]);
    // The others are connected to by their health checks, too.
    assert_eq!(servers[2].connections(), 1);
}

/// This one's targets and authorities are the `http` crate's, and it resets a stream for others (`http2_targets.rs` holds
/// what the rest get).
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_the_server_takes_for_malformed_costs_nobody_a_connection() {
    let server = Server::start(100, |asked| async move {
        let target = asked.request.uri().path_and_query().unwrap().as_str().to_owned();
        answer(asked.respond, ok(), target.as_bytes(), None).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = proxy.client("web");
    for (method, target, host, expected) in [
        ("GET", "/a?b=[]{}|\\^`~'", "a", 200),
        ("GET", "/a?b=<x>", "a", 502),
        ("POST", "/a?b=\"x\"", "a", 502),
        ("GET", "/a<b", "a", 502),
        ("GET", "/a`b", "a", 502),
        ("GET", "/a", "%41.example", 502),
        ("GET", "/a", "a", 200),
    ] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status(), expected, "{target:?} of {host:?}");
        assert!(expected != 200 || response.text() == target, "{response:?}");
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(proxy.errors("web", "bad_response"), 5.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_a_name_says_that_it_was_on_the_way() {
    let server = Server::start(100, |asked| async move {
        let via = asked.request.headers().get_all("via").iter().map(|via| via.to_str().unwrap().to_owned());
        let via = via.collect::<Vec<_>>().join(", ");
        answer(asked.respond, ok(), via.as_bytes(), None).await;
    })
    .await;
    let shop = Backend::builder("shop").server(&*server.address).http2(true).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop).via("lb.example:80");
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 fred\r\n\r\n");
    assert_eq!(client.response().text(), "1.0 fred, 1.1 lb.example:80");
}
