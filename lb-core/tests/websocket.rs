//! Promise: a WebSocket is opened from either protocol to either (RFC 6455, RFC 8441), and is a tunnel like any other.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod h2_client;

use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::{Method, Request, Response};
use lb_core::prelude::*;
use lb_core::testkit::{Closing, Entry, Message, Origin, Running, Wire};
use tokio::task::block_in_place;

use h2_client::server::{Asked, Server, answer};
use h2_client::tunnel::{self, Kind, Stream};
use h2_client::{Answer, Client, request};

/// The example of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a server has to answer to this request.
fn accept(request: &Message) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let key = request.field("sec-websocket-key").unwrap();
    let digest = sha1_smol::Sha1::from(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).digest().bytes();
    let bits: String = digest.iter().map(|byte| format!("{byte:08b}")).chain(["00".to_owned()]).collect();
    let six = |at: usize| char::from(ALPHABET[usize::from_str_radix(&bits[at..at + 6], 2).unwrap()]);
    (0..bits.len()).step_by(6).map(six).chain(['=']).collect()
}

/// Opens a WebSocket and gives back all that comes, at its end.
fn echo(server: &mut Wire) {
    if let Some(request) = server.whole_request() {
        agree(server, &request);
    }
}

fn agree(server: &mut Wire, request: &Message) {
    assert_eq!((request.method(), request.field("upgrade")), ("GET", Some("websocket")));
    assert!(request.lists("connection", "upgrade"));
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    server.send(format!("{switching}Sec-WebSocket-Accept: {}\r\nX-By: web1\r\n\r\n", accept(request)));
    tunnel::echo(server);
}

async fn h2_echo(asked: Asked) {
    let Asked { request, mut respond, .. } = asked;
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    assert_eq!((request.method(), protocol), (&Method::CONNECT, Some("websocket")));
    assert_eq!(request.uri().path(), "/chat");
    assert!(!request.headers().contains_key("sec-websocket-key"));
    let head = Response::builder().header("x-by", "web1").body(()).unwrap();
    let stream = respond.send_response(head, false).unwrap();
    tunnel::h2_echo(request.into_body(), stream).await;
}

fn proxy(address: &str, http2: bool) -> Running {
    let shop = Backend::builder("shop").server(address).http2(http2).retries(0).build().unwrap();
    Running::start(Proxy::builder().frontend(Frontend::http("web").listen("127.0.0.1:0").backend(&shop)))
}

fn connect(protocol: &'static str) -> Request<()> {
    let mut request = request("CONNECT", "/chat");
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request
}

/// A client that knows the proxy's settings.
async fn client(proxy: &Running) -> Client {
    let client = Client::connect(&proxy.address("web")).await;
    while !client.requests.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    client
}

async fn open(client: &mut Client) -> Stream {
    let (response, stream) = client.send(connect("websocket"), false).await;
    (response.await.unwrap(), stream)
}

fn upgrading(proxy: &Running) -> Wire {
    let mut client = proxy.client("web");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    client.send(format!("GET /chat HTTP/1.1\r\nHost: a\r\n{upgrade}\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"));
    client
}

async fn open_by_h2(proxy: &Running) -> Stream {
    let (response, stream) = open(&mut client(proxy).await).await;
    assert_eq!((response.status().as_u16(), response.headers()["x-by"].as_bytes()), (200, &b"web1"[..]));
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    (response, stream)
}

fn open_by_h1(proxy: &Running) -> (Wire, &'static [u8]) {
    let mut client = upgrading(proxy);
    let response = client.response();
    assert_eq!((response.status(), response.field("x-by")), (101, Some("web1")));
    assert_eq!(
        (response.field("upgrade"), response.field("sec-websocket-accept")),
        (Some("websocket"), Some(ACCEPT))
    );
    assert!(response.lists("connection", "upgrade"));
    (client, b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_client_talks_to_any_server_until_both_have_ended() {
    let (h1, h2) = (Origin::scripted(echo), Server::start_connecting(h2_echo).await);
    let logged = |entry: &Entry| assert_eq!(entry.status, Some(101));
    Kind { proxy, open_by_h2, open_by_h1, logged }.joins_any_two(&h1, &h2).await;
}

#[test]
fn a_server_of_http2_is_asked_for_any_target_at_any_host() {
    let (target, host) = ("/chat?<\"room\">", "abs%2Flb.sock");
    let origin = Origin::scripted(move |server| {
        let Some(request) = server.whole_request() else { return };
        assert_eq!((request.target(), request.field("host")), (target, Some(host)));
        agree(server, &request);
    });
    let behind = proxy(origin.address(), false);
    let proxy = proxy(&behind.address("web"), true);
    let mut client = proxy.client("web");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ));
    let response = client.response();
    assert_eq!((response.status(), response.field("sec-websocket-accept")), (101, Some(ACCEPT)));
    client.send("hello");
    client.finish_sending();
    assert_eq!(client.until_closed().0, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket_is_told_so() {
    let answering = |response: &'static str| {
        Origin::scripted(move |server| {
            while server.whole_request().is_some() {
                server.send(response);
            }
        })
    };
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nweb1";
    let refusing = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let unproven = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for (response, protocol, status) in [
        (plain, "websocket", 502),
        (refusing, "websocket", 403),
        (unproven, "websocket", 502),
        (wrong, "websocket", 502),
        (plain, "connect-udp", 501),
    ] {
        let origin = answering(response);
        let proxy = proxy(origin.address(), false);
        let mut client = client(&proxy).await;
        let (response, _stream) = client.send(connect(protocol), false).await;
        assert_eq!(response.await.unwrap().status(), status, "{protocol}");
        // The connection is none the worse for it.
        let (response, _stream) = client.send(connect(protocol), false).await;
        assert_eq!(response.await.unwrap().status(), status, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_none_is_not_asked() {
    let server = Server::start(100, |asked| async move {
        answer(asked.respond, Response::new(()), b"web1", None).await;
    })
    .await;
    let proxy = proxy(&server.address, true);
    let mut client = client(&proxy).await;
    let (response, _stream) = client.send(connect("websocket"), false).await;
    assert_eq!(response.await.unwrap().status(), 501);
    assert_eq!(block_in_place(|| upgrading(&proxy).response().status()), 501);
    assert_eq!(client.get("/").await.unwrap().text(), "web1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_passes_either_way() {
    let origin = Origin::scripted(|server| {
        let request = server.whole_request().unwrap();
        let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        server.send(format!("{switching}Sec-WebSocket-Accept: {}\r\n\r\n", accept(&request)));
        match &server.exactly(1)[..] {
            b"r" => server.reset_on_close(),
            byte => {
                server.send(byte);
                assert_eq!(server.until_closed().1, Closing::Reset);
            }
        }
    });
    let proxy = proxy(origin.address(), false);
    let mut client = client(&proxy).await;

    let (response, mut stream) = open(&mut client).await;
    stream.send_data(Bytes::from_static(b"r"), false).unwrap();
    let error = Answer::of(response).await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::CANCEL)));
    assert_eq!(block_in_place(|| proxy.log().wait_for(1))[0].reason, Some("server_abort"));

    let (mut response, mut stream) = open(&mut client).await;
    stream.send_data(Bytes::from_static(b"x"), false).unwrap();
    assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "x");
    stream.send_reset(Reason::CANCEL);
    assert_eq!(block_in_place(|| proxy.log().wait_for(2))[1].reason, Some("client_abort"));
    poll_fn(|cx| client.requests.poll_ready(cx)).await.unwrap();
}
