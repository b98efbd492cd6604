//! Responses are read as strictly as requests: a server that can be read in two ways is a bad one, and what it sends
//! beyond a response answers nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lb_core::testkit::{Origin, Running, eventually};

use crate::bytes;

/// What becomes of a response.
enum Response {
    /// 502, and the server's connection is thrown away.
    Bad,
    /// The client gets this status and body; the server's connection is kept, or not.
    Good(u16, &'static str, Then),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Kept,
    Closed,
}

use Response::{Bad, Good};
use Then::{Closed, Kept};

fn check_response(sent: &'static str, expected: &Response) {
    for is_whole in [true, false] {
        let case = format!("{sent:?}, in one piece: {is_whole}");
        let has_sent = Arc::new(AtomicBool::new(false));
        let sending = Arc::clone(&has_sent);
        let origin = Origin::scripted(move |server| {
            while let Some(request) = server.request() {
                if request.target() == "/next" {
                    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
                    continue;
                }
                if is_whole {
                    let _ = server.try_send(bytes(sent));
                } else {
                    server.send_byte_by_byte(bytes(sent));
                }
                sending.store(true, Ordering::SeqCst);
                if sent.contains("\r\n\r\n")
                    && !sent.to_ascii_lowercase().contains("content-length")
                    && !sent.contains("chunked")
                {
                    return;
                }
            }
        });
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send("GET /case HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut response = client.response();
        while response.status() == 103 {
            response = client.response();
        }
        let is_kept = match expected {
            Bad => {
                assert_eq!(response.status(), 502, "{case}: {response:?}");
                assert_eq!(proxy.log().only().reason, Some("bad_response"), "{case}");
                false
            }
            Good(status, body, then) => {
                assert_eq!(
                    (response.status(), response.text().as_str()),
                    (*status, *body),
                    "{case}: {response:?}"
                );
                // What is behind a response can't be told from the next one's beginning if it comes later than the request.
                eventually("all is sent", || has_sent.load(Ordering::SeqCst));
                *then == Kept
            }
        };
        client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().text(), "next", "{case}");
        assert_eq!(origin.connections() == 1, is_kept, "{case}");
    }
}

#[test]
fn responses_are_read_as_strictly() {
    for (sent, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Good(200, "ok", Kept)),
        ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", Good(200, "ok", Kept)),
        ("HTTP/1.1 200 OK\r\ncontent-length:2\r\nX:  y  \r\n\r\nok", Good(200, "ok", Kept)),
        ("HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok", Good(599, "ok", Kept)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\n\r\n",
            Good(200, "ok", Kept),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0 \t;x\r\n\r\n",
            Good(200, "ok", Kept),
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Good(200, "ok", Closed)),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", Good(200, "ok", Kept)),
        ("HTTP/1.1 200 OK\r\n\r\nok", Good(200, "ok", Closed)),
        // Without the space that RFC 9112 section 4 asks for; nothing hangs on it.
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", Good(200, "ok", Kept)),
        (
            "HTTP/1.1 200 OK\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Good(200, "ok", Kept),
        ),
        (
            "HTTP/1.1 103 Early\r\nConnection: x, close\r\nX: y\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Good(200, "ok", Closed),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Early\r\nContent-Length: 0\r\n\r\n",
            Good(200, "ok", Closed),
        ),
        ("HTTP/1.1 205 Reset\r\nContent-Length: 2\r\n\r\nok", Good(205, "ok", Kept)),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Good(204, "", Closed)),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", Good(204, "", Closed)),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", Good(304, "", Kept)),
        // Bytes that belong to no request: the connection must never serve another.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", Good(200, "ok", Closed)),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            Good(200, "ok", Closed),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            Good(200, "ok", Closed),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Bad,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: xyz\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Bad),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Bad),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nX(A): b\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nX: \u{0}\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Bad),
        ("HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", Bad),
        (
            "HTTP/1.1 103 Early\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Bad,
        ),
        ("http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Bad),
        // Not asked for.
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
            Bad,
        ),
        ("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", Bad),
    ] {
        check_response(sent, &expected);
    }
}

#[test]
fn what_a_server_says_unasked_on_an_idle_connection_answers_nobody() {
    let said = Arc::new(AtomicUsize::new(0));
    let origin = Origin::scripted({
        let said = Arc::clone(&said);
        move |server| {
            while server.request().is_some() {
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                server.until_told();
                let _ = server.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                said.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let proxy = Running::in_front_of(&origin);
    for turn in 1..=3 {
        let mut client = proxy.client("web");
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response();
        assert_eq!((response.status(), response.text().as_str()), (200, "ok"), "{turn}");
        origin.tell();
        eventually("the origin has said it", || said.load(Ordering::SeqCst) == turn);
        // The proxy's loop sees what the origin said no later than this connection.
        let mut other = proxy.client("web");
        other.send("nonsense\r\n\r\n");
        assert_eq!(other.response().status(), 400);
    }
}
