//! Promise: clients speak HTTP/2 to a frontend; each of its streams is an exchange like any other.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_client;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use h2::Reason;
use http::HeaderMap;
use lb_core::prelude::*;
use lb_core::testkit::{Message, Origin, Running, chunk, eventually, pattern};

use h2_client::{Answer, Client, request};

const LARGE: usize = 3 * 1024 * 1024 + 7;

fn reply(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn echo() -> Origin {
    Origin::answering(|request| reply(&request.body))
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    trailers
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_served_side_by_side_over_one_connection() {
    let origin = Origin::answering(|request| reply(request.target()));
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let mut responses = Vec::new();
    for at in 0..50 {
        responses.push(client.send(request("GET", &format!("/{at}")), true).await.0);
    }
    for (at, response) in responses.into_iter().enumerate() {
        let answer = Answer::of(response.await.unwrap()).await.unwrap();
        assert_eq!((answer.status(), answer.text()), (200, format!("/{at}")));
        assert_eq!(answer.field("connection"), None);
    }
    let first = &origin.requests()[0];
    assert_eq!((first.field("host"), first.field("x-forwarded-proto")), (Some("shop.example"), Some("http")));
    assert_eq!(proxy.log().wait_for(50).len(), 50);
    assert_eq!(proxy.metric("lb_frontend_connections_total{frontend=\"web\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_pass_both_ways() {
    let origin = Origin::answering(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n".to_vec();
        answer.extend(request.body.chunks(10_000).flat_map(chunk));
        answer.extend_from_slice(b"0\r\nx-sum: 42\r\n\r\n");
        answer
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    for length in [0, 1, 16 * 1024, LARGE] {
        for sent in [None, Some(trailers())] {
            let body = pattern(length);
            let answer = client.ask(request("POST", "/"), &body, sent).await.unwrap();
            assert!(answer.body == body, "{} of {length} bytes", answer.body.len());
            assert_eq!(answer.trailers, Some(trailers()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_was_announced_is_passed_on() {
    let origin = echo();
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let body = pattern(LARGE);
    let mut post = request("POST", "/");
    post.headers_mut().insert("content-length", LARGE.into());
    let answer = client.ask(post, &body, None).await.unwrap();
    assert!(answer.body == body);
    assert_eq!(answer.field("content-length"), Some(LARGE.to_string().as_str()));
    let head = &origin.requests()[0];
    assert_eq!((head.field("content-length"), head.field("transfer-encoding")), (Some("3145735"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_no_content_is_said_where_the_method_expects_some() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    for (at, (method, length)) in
        [("POST", Some("0")), ("PUT", Some("0")), ("PATCH", Some("0")), ("QUERY", Some("0")), ("GET", None)]
            .into_iter()
            .chain([("HEAD", None), ("DELETE", None), ("OPTIONS", None), ("PROPFIND", None)])
            .enumerate()
    {
        let (response, _) = client.send(request(method, "/"), true).await;
        assert_eq!(response.await.unwrap().status(), 200, "{method}");
        assert_eq!(origin.requests()[at].field("content-length"), length, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_content_end_with_their_head() {
    for (method, head, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, Some("1234")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, Some("7")),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
    ] {
        let origin = Origin::answering(move |_| head.as_bytes().to_vec());
        let proxy = Running::in_front_of(&origin);
        let mut client = Client::connect(&proxy.address("web")).await;
        let (response, _) = client.send(request(method, "/"), true).await;
        let response = response.await.unwrap();
        assert!(response.body().is_end_stream(), "{head}");
        let answer = Answer::of(response).await.unwrap();
        assert_eq!((answer.status(), answer.field("content-length")), (status, length), "{head}");
        assert_eq!(answer.body, b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_pass() {
    let origin = Origin::answering(|_| {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        [&hints[..], &reply("web1")].concat()
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let (mut response, _) = client.send(request("GET", "/"), true).await;
    let hints = std::future::poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
    assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a.css>".parse().unwrap()));
    assert_eq!(Answer::of(response.await.unwrap()).await.unwrap().text(), "web1");
}

#[tokio::test(flavor = "multi_thread")]
async fn crumbs_of_a_cookie_are_one_field_again() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let mut get = request("GET", "/");
    for crumb in ["a=1", "b=2", "c=3"] {
        get.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    let (response, _) = client.send(get, true).await;
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(origin.requests()[0].field("cookie"), Some("a=1; b=2; c=3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_from_other_clients_is_refused() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    for (method, path, field, status) in [
        ("GET", "/", ("host", "other.example"), 400),
        ("GET", "/../x", ("x-a", "1"), 400),
        ("TRACE", "/", ("x-a", "1"), 405),
        ("GET", "/", ("x-large", &*"a".repeat(40_000)), 431),
    ] {
        let mut request = request(method, path);
        request.headers_mut().insert(field.0, field.1.parse().unwrap());
        let (response, _) = client.send(request, true).await;
        let answer = Answer::of(response.await.unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path} {}", field.0);
    }
    assert_eq!(client.get("/").await.unwrap().text(), "web1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_gives_its_server_up() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.expect_closed();
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let (response, mut stream) = client.send(request("GET", "/"), true).await;
    eventually("the request is at the server", || origin.connections() == 1);
    stream.send_reset(Reason::CANCEL);
    drop(response);
    let entry = tokio::task::block_in_place(|| proxy.log().only());
    assert_eq!(entry.reason, Some("client_abort"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_off_resets_the_stream_and_no_other() {
    let origin = Origin::scripted(|server| {
        while let Some(request) = server.request() {
            if request.target() == "/broken" {
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
                return;
            }
            server.send(reply("web1"));
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut client = Client::connect(&proxy.address("web")).await;
    let error = client.get("/broken").await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
    assert_eq!(client.get("/").await.unwrap().text(), "web1");
    assert_eq!(proxy.errors("web", "server_abort"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_its_own_stream_up_and_no_other() {
    const HUGE: usize = 64 * 1024 * 1024;
    let is_sent = Arc::new(AtomicBool::new(false));
    let origin = Origin::scripted({
        let is_sent = Arc::clone(&is_sent);
        move |server| {
            while let Some(request) = server.request() {
                let length = if request.target() == "/huge" { HUGE } else { 10 };
                server.send(reply(pattern(length)));
                is_sent.fetch_or(length == HUGE, Ordering::SeqCst);
            }
        }
    });
    let proxy = Running::in_front_of(&origin);
    // Its window for the connection is larger than that of a stream: what it does not read leaves room for others.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1024 * 1024);
    let mut client = Client::with(&proxy.address("web"), &builder).await;
    let (huge, _) = client.send(request("GET", "/huge"), true).await;
    let huge = huge.await.unwrap();
    for _ in 0..20 {
        assert_eq!(client.get("/").await.unwrap().body.len(), 10);
    }
    assert!(!is_sent.load(Ordering::SeqCst), "64 MiB are in somebody's memory");
    assert!(Answer::of(huge).await.unwrap().body == pattern(HUGE));
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_open_streams_and_takes_no_more() {
    let origin = Origin::scripted(|server| {
        while server.request().is_some() {
            server.until_told();
            server.send(reply(pattern(LARGE)));
        }
    });
    let mut proxy = Running::in_front_of(&origin);
    let mut idle = Client::connect(&proxy.address("web")).await;
    idle.requests = idle.requests.ready().await.unwrap();
    let mut client = Client::connect(&proxy.address("web")).await;
    let (response, _) = client.send(request("GET", "/"), true).await;
    eventually("the request is at the server", || origin.connections() == 1);
    proxy.begin_drain();
    idle.end.await.unwrap().unwrap();
    origin.tell();
    assert!(Answer::of(response.await.unwrap()).await.unwrap().body == pattern(LARGE));
    client.end.await.unwrap().unwrap();
    tokio::task::block_in_place(|| proxy.wait_drained());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_leaves_the_connection_open_and_serves_its_next_stream_anew() {
    let origins = [Origin::named("old"), Origin::named("new")];
    let proxy = Running::in_front_of(&origins[0]);
    let mut client = Client::connect(&proxy.address("web")).await;
    assert_eq!(client.get("/").await.unwrap().text(), "old");
    let shop = Backend::builder("shop").server(origins[1].address()).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").backend(&shop);
    tokio::task::block_in_place(|| proxy.apply(Proxy::builder().frontend(web)));
    assert_eq!(client.get("/").await.unwrap().text(), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_opens_and_resets_is_sent_away() {
    let origin = Origin::scripted(|server| {
        server.request();
        server.expect_closed();
    });
    let proxy = Running::in_front_of(&origin);
    let client = Client::connect(&proxy.address("web")).await;
    // By time, not by count: how far a client gets ahead of a proxy that waits for its turn is the machine's to say.
    let patience = Instant::now() + Duration::from_secs(60);
    for opened in 0.. {
        assert!(Instant::now() < patience, "it may go on for ever");
        let Ok(mut requests) = client.requests.clone().ready().await else { break };
        let Ok((_, mut stream)) = requests.send_request(request("GET", "/"), true) else { break };
        // Some reach the server, so that not only the protocol's own limit counts.
        if opened % 2 == 0 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(Reason::CANCEL);
    }
    let error = client.end.await.unwrap().unwrap_err();
    // What it sent on meanwhile may have made a reset of the close, which overtakes the word.
    assert!(error.is_io() || error.reason() == Some(Reason::ENHANCE_YOUR_CALM), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_can_be_left_out() {
    let origin = Origin::named("web1");
    let shop = Backend::builder("shop").server(origin.address()).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0").http2(false).backend(&shop);
    let proxy = Running::start(Proxy::builder().frontend(web));
    let mut client = proxy.client("web");
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_that_is_none_is_a_bad_request() {
    let origin = Origin::named("web1");
    let proxy = Running::in_front_of(&origin);
    let mut client = proxy.client("web");
    client.send_byte_by_byte("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n");
    assert_eq!(client.response().status(), 400);
    client.expect_closed();
    let mut client = proxy.client("web");
    client.send_byte_by_byte("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().text(), "web1");
    assert_eq!(origin.requests().iter().map(Message::method).collect::<Vec<_>>(), ["PATCH"]);
}
