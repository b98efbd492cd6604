//! Promise: CONNECT opens a tunnel from either protocol to either (RFC 9110 section 9.3.6, RFC 9113 section 8.5), where a
//! route allows it and the server agrees. `upgrade.rs` holds what HTTP/1.1 alone can get wrong.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_client;

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, Response, StatusCode};
use lb_core::prelude::*;
use lb_core::testkit::{Closing, Entry, Origin, Running, Wire};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use h2_client::server::{Asked, Server, answer};
use h2_client::tunnel::{self, Kind, Stream, by_protocol};
use h2_client::{Answer, Client};

/// Agrees, greets, and gives back all that comes, at its end.
fn echo(server: &mut Wire) {
    let Some(head) = server.head() else { return };
    assert_eq!(head.start, "CONNECT one.db:5432 HTTP/1.1");
    assert_eq!((head.field("host"), head.field("x-a")), (Some("one.db:5432"), Some("b")));
    assert!(head.field("content-length").is_none() && head.field("transfer-encoding").is_none());
    server.send("HTTP/1.1 200 OK\r\nX-By: db\r\n\r\nwelcome");
    tunnel::echo(server);
}

async fn h2_echo(asked: Asked) {
    let Asked { request, mut respond, .. } = asked;
    let uri = request.uri();
    assert_eq!((request.method(), uri.to_string()), (&Method::CONNECT, "one.db:5432".to_owned()));
    assert!(uri.scheme().is_none() && uri.path_and_query().is_none(), "{uri:?}");
    assert_eq!(request.headers()["x-a"], "b");
    let head = Response::builder().header("x-by", "db").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    stream.send_data(Bytes::from_static(b"welcome"), false).unwrap();
    tunnel::h2_echo(request.into_body(), stream).await;
}

/// A proxy whose routes take CONNECT for `*.db` alone.
fn proxy(address: &str, http2: bool) -> Running {
    let db = Backend::builder("db").server(address).http2(http2).retries(0).build().unwrap();
    let web = Frontend::http("web").listen("127.0.0.1:0");
    let web = web.route(Route::any().host("*.db").connect().to(&db)).route(Route::any().to(&db));
    Running::start(Proxy::builder().frontend(web))
}

fn connect(authority: &str) -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(authority).header("x-a", "b");
    request.body(()).unwrap()
}

async fn open(client: &mut Client) -> Stream {
    let (response, stream) = client.send(connect("one.db:5432"), false).await;
    (response.await.unwrap(), stream)
}

async fn open_by_h2(proxy: &Running) -> Stream {
    let (mut response, stream) = open(&mut Client::connect(&proxy.address("web")).await).await;
    assert_eq!((response.status(), response.headers()["x-by"].as_bytes()), (StatusCode::OK, &b"db"[..]));
    assert!(!response.headers().contains_key("content-length"));
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "welcome");
    (response, stream)
}

fn open_by_h1(proxy: &Running) -> (Wire, &'static [u8]) {
    let mut client = proxy.client("web");
    client.send("CONNECT one.db:5432 HTTP/1.1\r\nHost: one.db:5432\r\nX-A: b\r\n\r\nahead");
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.field("x-by")), (200, Some("db")));
    assert_eq!(client.exactly(7), b"welcome");
    (client, b"ahead")
}

fn logged(entry: &Entry) {
    assert_eq!((entry.request.as_deref(), entry.status), (Some("CONNECT one.db:5432"), Some(200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_client_connects_by_any_server_until_both_have_ended() {
    let (h1, h2) = (Origin::scripted(echo), Server::start(100, h2_echo).await);
    Kind { proxy, open_by_h2, open_by_h1, logged }.joins_any_two(&h1, &h2).await;
}

#[test]
fn a_server_of_http2_is_asked_for_any_authority() {
    let origin = Origin::scripted(|server| {
        let Some(head) = server.head() else { return };
        assert_eq!(head.start, "CONNECT abs%2Fone.db:5432 HTTP/1.1");
        server.send("HTTP/1.1 200 OK\r\n\r\n");
        tunnel::echo(server);
    });
    let behind = proxy(origin.address(), false);
    let proxy = proxy(&behind.address("web"), true);
    let mut client = proxy.client("web");
    client.send("CONNECT abs%2Fone.db:5432 HTTP/1.1\r\nHost: abs%2Fone.db:5432\r\n\r\nahead");
    assert_eq!(client.head().unwrap().status(), 200);
    client.finish_sending();
    assert_eq!(client.until_closed().0, b"ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_passed_on_and_costs_no_connection() {
    let h1 = Origin::scripted(|server| {
        while server.head().is_some() {
            server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let h2 = Server::start(100, |asked| async move {
        let refused = Response::builder().status(403).body(()).unwrap();
        answer(asked.respond, refused, b"no", None).await;
    })
    .await;
    for (address, http2) in by_protocol(&h1, &h2) {
        let proxy = proxy(address, http2);
        let mut client = Client::connect(&proxy.address("web")).await;
        for _ in 0..2 {
            let (response, mut stream) = client.send(connect("one.db:5432"), false).await;
            // It may be on its way already.
            let _ = stream.send_data(Bytes::from_static(b"hello"), false);
            let answer = Answer::of(response.await.unwrap()).await.unwrap();
            assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
        }
    }
    assert_eq!(h2.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_nowhere_but_where_a_route_allows_it() {
    let origin = Origin::named("db");
    let proxy = proxy(origin.address(), false);
    let mut client = Client::connect(&proxy.address("web")).await;
    for (authority, length, status) in
        [("a:443", None, 405), ("db:443", None, 405), ("one.db", None, 400), ("one.db:1", Some("3"), 400)]
    {
        let mut request = connect(authority);
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let (response, _stream) = client.send(request, false).await;
        assert_eq!(response.await.unwrap().status(), status, "{authority}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_passes_either_way() {
    let (heard, mut told) = mpsc::unbounded_channel();
    let h1 = Origin::scripted(move |server| {
        server.head();
        server.send("HTTP/1.1 200 OK\r\n\r\n");
        match &server.exactly(1)[..] {
            b"r" => server.reset_on_close(),
            byte => {
                server.send(byte);
                assert_eq!(server.until_closed().1, Closing::Reset);
                heard.send(None).unwrap();
            }
        }
    });
    let (heard, mut reset) = mpsc::unbounded_channel();
    let h2 = Server::start(100, move |mut asked| {
        let heard = heard.clone();
        async move {
            let mut stream = asked.respond.send_response(Response::new(()), false).unwrap();
            let first = asked.request.body_mut().data().await.unwrap().unwrap();
            if first == "r" {
                return stream.send_reset(Reason::CONNECT_ERROR);
            }
            stream.send_data(first, false).unwrap();
            let _ = heard.send(std::future::poll_fn(|cx| stream.poll_reset(cx)).await.ok());
        }
    })
    .await;
    for (address, http2) in by_protocol(&h1, &h2) {
        let proxy = proxy(address, http2);
        let mut client = Client::connect(&proxy.address("web")).await;
        let (response, mut stream) = open(&mut client).await;
        stream.send_data(Bytes::from_static(b"r"), false).unwrap();
        let error = Answer::of(response).await.unwrap_err();
        // RFC 9113 section 8.5.
        assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::CONNECT_ERROR)), "{http2}");
        assert_eq!(block_in_place(|| proxy.log().wait_for(1))[0].reason, Some("server_abort"));

        let (mut response, mut stream) = open(&mut client).await;
        stream.send_data(Bytes::from_static(b"x"), false).unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "x");
        stream.send_reset(Reason::CANCEL);
        let heard = if http2 { reset.recv().await } else { told.recv().await };
        assert_eq!(heard, Some(http2.then_some(Reason::CONNECT_ERROR)));
        assert_eq!(block_in_place(|| proxy.log().wait_for(2))[1].reason, Some("client_abort"));
    }
}
