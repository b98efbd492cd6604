//! What a request's head may look like (RFC 9112 sections 2, 3 and 5; RFC 9110 section 7.2 for Host).

use lb_core::testkit::Running;

use crate::Request::{Passes, Refused};
use crate::{check, noting};

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
        ("GET http://a:80/x HTTP/1.1", "GET /x"),
        ("GET https://A:443/x HTTP/1.1", "GET /x"),
        ("GET http://a:/x HTTP/1.1", "GET /x"),
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
            "GET http://a:443/ HTTP/1.1",
            "GET https://a:80/ HTTP/1.1",
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
