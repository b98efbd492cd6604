//! Promise: where a message ends is decided once and to the letter (RFC 9112 sections 2 to 7); what can be read in two
//! ways is refused, whatever pieces it arrives in, and nothing of one message is ever taken for another.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lb_core::testkit::{Origin, Running, Wire, eventually};

/// What becomes of a request.
enum Request {
    /// 400 and closed; no whole request reaches the server.
    Refused,
    /// Passed on: start line without version, and body, of each request.
    Passes(Vec<(&'static str, &'static str)>),
}

use Request::{Passes, Refused};

/// Bytes that are to be read as Latin-1, so that a table can hold any byte.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("Latin-1")).collect()
}

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// An origin that notes the requests that are whole.
fn noting() -> (Origin, Seen) {
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let origin = Origin::scripted(move |server| {
        while let Some(request) = server.whole_request() {
            let start = request.start.strip_suffix(" HTTP/1.1").expect("HTTP/1.1").to_owned();
            let is_head = request.method() == "HEAD";
            notes.lock().unwrap().push((start, request.text()));
            server.send(if is_head {
                "HTTP/1.1 200 OK\r\n\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            });
        }
    });
    (origin, seen)
}

/// Where the cases differ byte by byte, what most have in common at once: each piece costs a turn of the proxy.
fn send_in_small_pieces(client: &mut Wire, sent: &str) {
    let begins = "Host: a\r\n";
    let (start, rest) = sent.split_at(sent.find(begins).map_or(0, |at| at + begins.len()));
    if client.try_send(bytes(start)).is_ok() {
        client.send_byte_by_byte(bytes(rest));
    }
}

fn check<S: AsRef<str>>(cases: impl IntoIterator<Item = (S, Request)>) {
    let (origin, seen) = noting();
    let proxy = Running::in_front_of(&origin);
    for (sent, expected) in cases {
        let sent = sent.as_ref();
        for is_whole in [true, false] {
            let case = format!("{sent:?}, in one piece: {is_whole}");
            seen.lock().unwrap().clear();
            let mut client = proxy.client("web");
            if is_whole {
                let _ = client.try_send(bytes(sent));
            } else {
                send_in_small_pieces(&mut client, sent);
            }
            match &expected {
                Refused => {
                    // A proxy may refuse before it has read all: what is sent to it then is lost.
                    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
                    client.finish_sending();
                    assert_eq!(client.response().status(), 400, "{case}");
                    let (rest, _) = client.until_closed();
                    assert_eq!(String::from_utf8_lossy(&rest), "", "{case}");
                    assert_eq!(*seen.lock().unwrap(), [], "{case}");
                }
                Passes(requests) => {
                    client.send("GET /end HTTP/1.1\r\nHost: a\r\n\r\n");
                    for (start, _) in requests.iter().chain(&[("GET", "")]) {
                        let response = if start.starts_with("HEAD") {
                            client.response_to_head()
                        } else {
                            client.response()
                        };
                        assert_eq!(response.status(), 200, "{case}: {response:?}");
                    }
                    let expected = requests.iter().chain(&[("GET /end", "")]);
                    let expected: Vec<_> =
                        expected.map(|(start, body)| (start.to_string(), body.to_string())).collect();
                    assert_eq!(*seen.lock().unwrap(), expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn content_length() {
    let with = |value: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:{value}\r\n\r\nhello");
    let post = || vec![("POST /", "hello")];
    check([" 5", "5", " 5 ", "\t5\t", " 05", " 0000005"].map(|value| (with(value), Passes(post()))));
    let refused = [
        "",
        " ",
        " +5",
        " -5",
        " 5,5",
        " 5, 5",
        " 5, 6",
        " 5 5",
        " 0x5",
        " 5_0",
        " 5;",
        " 5Z",
        " \"5\"",
        " five",
        " 5.0",
        " 5e0",
        " 18446744073709551621",
        " 9223372036854775808",
        " 99999999999999999999999999",
        " 5\u{0}",
        " \u{b}5",
        " 5\u{a0}",
        " 5\r\nContent-Length: 5",
        " 5\r\nContent-Length: 6",
        " 5\r\nContent-Length: ",
        " 5\r\ncOnTeNt-LeNgTh: 6",
        "\r\n 5",
        " 5\r\n 5",
    ];
    check(refused.map(|value| (with(value), Refused)));
}

#[test]
fn transfer_encoding() {
    let with = |value: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:{value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    };
    let post = || vec![("POST /", "hello")];
    check([" chunked", "chunked", " ChUnKeD", " chunked\t"].map(|value| (with(value), Passes(post()))));
    let refused = [
        "",
        " ",
        " identity",
        " xchunked",
        " chunkedx",
        " chunked, identity",
        " identity, chunked",
        " gzip, chunked",
        " gzip",
        " chunked, chunked",
        " ,chunked",
        " chunked,",
        " chunked;q=1",
        " \"chunked\"",
        " \u{b}chunked",
        " chunked\u{b}",
        " \u{a0}chunked",
        " chunked\u{0}",
        " chunk ed",
        " chunked\r\nTransfer-Encoding: chunked",
        " chunked\r\nTransfer-Encoding: identity",
        " identity\r\nTransfer-Encoding: chunked",
        " chunked\r\nContent-Length: 5",
        " chunked\r\nContent-Length: 0",
        " xchunked\r\nContent-Length: 5",
        "\r\nContent-Length: 5",
        "\r\n chunked",
        " chunked\r\n ,identity",
    ];
    check(refused.map(|value| (with(value), Refused)));
    check([
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refused,
        ),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", Refused),
        ("POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
        ("POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ]);
}

#[test]
fn chunks() {
    let with = |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    check(
        [
            ("0\r\n\r\n", ""),
            ("000\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("0005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", "hello"),
            ("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello"),
            ("5;a=\"x;y\"\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
            ("5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n", "hello"),
            ("5; a\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5;a=\"\\\"\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ]
        .map(|(body, content)| (with(body), Passes(vec![("POST /", content)]))),
    );
    check(
        [
            "\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "0_5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5\u{b}\r\nhello\r\n0\r\n\r\n",
            "5.0\r\nhello\r\n0\r\n\r\n",
            "Z\r\nhello\r\n0\r\n\r\n",
            "-0\r\n\r\n",
            "\t\r\n",
            ";a\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\r\nXX",
            // Where hops disagree on what ends a line, an extension hides a chunk from one of them.
            "5;\nhello\r\n0\r\n\r\n",
            "5;\n0\r\n\r\n\r\nhello\r\n0\r\n\r\n",
            "5\n;a\r\nhello\r\n0\r\n\r\n",
            "5\r;a\r\nhello\r\n0\r\n\r\n",
            "5 ;a\r\nhello\r\n0\r\n\r\n",
            "5\t\r\nhello\r\n0\r\n\r\n",
            "5;\"\r\n\"\r\nhello\r\n0\r\n\r\n",
            "5;\u{7f}\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "0\r\nX: a\r\n b\r\n\r\n",
            "0\r\nTrailer: x\r\n\r\n",
            "0\r\nConnection: close\r\n\r\n",
            "0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;\u{0}\r\nhello\r\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "0\r\nHost: b\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\nX : 1\r\n\r\n",
            "0\r\nX: 1\n\r\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\n \r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nX: \u{0}\r\n\r\n",
        ]
        .map(|body| (with(body), Refused)),
    );
}

#[test]
fn heads() {
    let field = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    check(
        ["X:", "X: ", "X:y", "X: \u{e9}", "X: a\tb", "!#$%&'*+-.^_`|~09azAZ: 1"]
            .map(|line| (field(line), Passes(vec![("GET /", "")]))),
    );
    check(
        [
            "X",
            ":",
            ": x",
            " X: y",
            "\tX: y",
            "X : y",
            "X\t: y",
            "X Y: z",
            "X(A): y",
            "X/A: y",
            "X\"A: y",
            "X=A: y",
            "X\u{e9}: y",
            "X\u{85}: y",
            "X\u{0}: y",
            "X: \u{0}",
            "X: \u{1}",
            "X: \u{7f}",
            "X: a\rb",
            "X: a\n b",
            "X: a\r\n b",
            "X: a\r\n\tb",
            "X: a\u{b}b\r",
            "X: y\r",
        ]
        .map(|line| (field(line), Refused)),
    );
    check([
        ("GET / HTTP/1.1\nHost: a\n\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Refused),
        ("GET / HTTP/1.1\rHost: a\r\r", Refused),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Refused),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Passes(vec![("GET /", "")])),
    ]);
}

#[test]
fn request_lines() {
    for (line, passed) in [
        ("GET / HTTP/1.1", "GET /"),
        ("get / HTTP/1.1", "get /"),
        ("BREW /pot HTTP/1.1", "BREW /pot"),
        ("GET /a//b/../c?d=e&f=%20 HTTP/1.1", "GET /a//b/../c?d=e&f=%20"),
        ("GET /? HTTP/1.1", "GET /?"),
        ("GET http://a/x HTTP/1.1", "GET /x"),
        ("GET HTTP://A HTTP/1.1", "GET /"),
        ("GET https://a/x HTTP/1.1", "GET /x"),
        ("GET http://a/http://b/ HTTP/1.1", "GET /http://b/"),
        ("GET //b/x HTTP/1.1", "GET //b/x"),
        ("OPTIONS http://a HTTP/1.1", "OPTIONS *"),
        ("OPTIONS * HTTP/1.1", "OPTIONS *"),
    ] {
        let (origin, seen) = noting();
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send(format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status(), 200, "{line:?}");
        assert_eq!(seen.lock().unwrap()[0].0, passed, "{line:?}");
    }
    check(
        [
            "GET / HTTP/1.1 ",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            " GET / HTTP/1.1",
            "GET\t/\tHTTP/1.1",
            "GET /",
            "GET",
            "GET / HTTP/2.0",
            "GET / HTTP/0.9",
            "GET / HTTP/1.2",
            "GET / HTTP/2",
            "GET / HTTP/1.10",
            "GET / HTTP/01.1",
            "GET / HTTP/1.",
            "GET / HTTPS/1.1",
            "GET / HTTP/1.1 HTTP/1.1",
            "options * HTTP/1.1",
            "OPTIONS ** HTTP/1.1",
            "OPTIONS */ HTTP/1.1",
            "OPTIONS *?x HTTP/1.1",
            "GET http:// HTTP/1.1",
            "GET http://a#x HTTP/1.1",
            "GET http://a\\b/ HTTP/1.1",
            "GET http://[::1/ HTTP/1.1",
            "GET http://%61/ HTTP/1.1",
            "GET http://a./ HTTP/1.1",
            "GET http://a:80/ HTTP/1.1",
            "GET ws://a/ HTTP/1.1",
            "GET / HTTP/1.1x",
            "GET / HTTP/11",
            "GET / http/1.1",
            "GET / HTTP1.1",
            "GET / ",
            "G(T / HTTP/1.1",
            "G\u{e9}T / HTTP/1.1",
            "GET\u{0} / HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /\u{0} HTTP/1.1",
            "GET /\u{1} HTTP/1.1",
            "GET /\u{7f} HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /#x HTTP/1.1",
            "GET foo HTTP/1.1",
            "GET ?x HTTP/1.1",
            "GET :80/ HTTP/1.1",
            "GET * HTTP/1.1",
            "GET a:80 HTTP/1.1",
            "GET ftp://a/ HTTP/1.1",
            "GET http:///x HTTP/1.1",
            "GET http://u@a/ HTTP/1.1",
            "GET http://b/ HTTP/1.1",
            "GET http://a:99999/ HTTP/1.1",
            "GET http:/a HTTP/1.1",
        ]
        .map(|line| (format!("{line}\r\nHost: a\r\n\r\n"), Refused)),
    );
}

#[test]
fn hosts() {
    check(
        ["a", "A.Example:80", "[::1]:80", "[::1]", "127.0.0.1", "a:", "xn--a", "a_b", "%41"]
            .map(|host| (format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Passes(vec![("GET /", "")]))),
    );
    check(
        [
            "", " ", ":80", "a b", "a,b", "a/b", "a#b", "a?b", "a@b", "a:x", "a:80:80", "a:99999", "[::1",
            "[x]", "a\u{e9}", "a\\b", "http://a", "a:0x50", "a:+80", "a:-1", "[::1]x", "[a]", "a\tb",
            "a%0d,b", "a\u{0}",
        ]
        .map(|host| (format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refused)),
    );
    check([
        ("GET / HTTP/1.1\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refused),
        ("GET / HTTP/1.1\r\nX: y\r\n Host: a\r\n\r\n", Refused),
        ("GET http://a/ HTTP/1.1\r\n\r\n", Refused),
    ]);
}

/// What one hop takes for a body, the other must too, whatever the head says beside it: an expectation, an option of
/// the connection, a method that mostly has none, an upgrade that is not agreed to.
#[test]
fn nothing_but_its_length_says_where_a_body_ends() {
    let inner = "GET /inner HTTP/1.1\r\nX: ";
    let length = inner.len();
    for (method, fields) in [
        ("POST", "Expect: 100-continue"),
        ("POST", "Expect: 100-Continue"),
        ("POST", "Expect: y 100-continue"),
        ("POST", "Expect: y"),
        ("POST", "Expect:"),
        ("POST", "Expect: 100-continue, y"),
        ("POST", "Expect: 100-continue\r\nExpect: 100-continue"),
        ("GET", "Expect: 100-continue"),
        ("OPTIONS", "Expect: 100-continue"),
        ("GET", "X: y"),
        ("DELETE", "X: y"),
        ("HEAD", "X: y"),
        ("PRI", "X: y"),
        ("OPTIONS", "Max-Forwards: 5"),
        ("POST", "Connection: content-length, transfer-encoding, host"),
        ("POST", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
        ("POST", "Connection: upgrade\r\nUpgrade: x"),
        ("POST", "Upgrade: websocket"),
        ("POST", "TE: chunked\r\nConnection: TE"),
        ("POST", "Content-Encoding: chunked"),
        ("POST", "X-Content-Length: 0"),
        ("POST", "Content_Length: 0\r\nTransfer_Encoding: chunked"),
        ("POST", "Content-Type: multipart/byteranges; boundary=x"),
    ] {
        let start: &'static str = format!("{method} /outer").leak();
        let head = format!("{start} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        check([
            (format!("{head}Content-Length: {length}\r\n\r\n{inner}"), Passes(vec![(start, inner)])),
            (
                format!("{head}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"),
                Passes(vec![(start, inner)]),
            ),
            (format!("{head}\r\n"), Passes(vec![(start, "")])),
        ]);
    }
}

#[test]
fn one_message_ends_where_the_next_begins() {
    check([
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nGET /inner HTTP/1.1\r\nHost: inner\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            Passes(vec![("POST /1", "GET /inner HTTP/1.1\r\nHost: inner\r\n\r\n"), ("GET /2", "")]),
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            Passes(vec![("POST /1", "hi"), ("HEAD /2", "")]),
        ),
        (
            "GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            Passes(vec![("GET /1", "hi"), ("GET /2", "")]),
        ),
        (
            "HEAD /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            Passes(vec![("HEAD /1", "hi"), ("GET /2", "")]),
        ),
        (
            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n\r\n",
            Passes(vec![("POST /1", ""), ("POST /2", "")]),
        ),
    ]);
}

#[test]
fn a_request_that_is_cut_off_never_looks_whole() {
    for sent in [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let (origin, seen) = noting();
        let proxy = Running::in_front_of(&origin);
        let mut client = proxy.client("web");
        client.send(sent).finish_sending();
        let (answer, _) = client.until_closed();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{sent:?}: {answer:?}");
        drop((proxy, origin));
        assert_eq!(*seen.lock().unwrap(), [], "{sent:?}");
    }
}

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
