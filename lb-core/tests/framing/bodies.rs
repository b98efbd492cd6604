//! Where a request's body ends, and so where the next request begins (RFC 9112 sections 6 and 7).

use lb_core::testkit::Running;

use crate::Request::{Passes, Refused};
use crate::{check, noting};

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
            ("5 ;a\r\nhello\r\n0\t; b\r\n\r\n", "hello"),
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
            "5 \r\nhello\r\n0\r\n\r\n",
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
