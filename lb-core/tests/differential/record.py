#!/usr/bin/env python3
"""Writes table.json: what two parsers that are not ours make of byte streams.

pip install h11==0.16.0 httptools==0.9.0 (which is llhttp, Node's parser), then ./record.py. `differential.rs` puts the
same streams through the proxy. A row's "why" says why the proxy refuses what a peer takes (with the section of the RFC)
or takes what a peer refuses; it is written here by hand, and the test fails where it is missing or no longer needed.
"""
import json
import pathlib

import h11
import httptools

H = "Host: a\r\n"


def request(fields="", body="", line="POST /x HTTP/1.1", host=H):
    return f"{line}\r\n{host}{fields}\r\n{body}"


def chunked(body, more=""):
    return request(f"Transfer-Encoding: chunked\r\n{more}", body)


def response(fields="", body="", line="HTTP/1.1 200 OK"):
    return f"{line}\r\n{fields}\r\n{body}"


LF = "RFC 9112 section 2.2: a line ends in CRLF; who differs in a bare LF sees other messages"
CL = "RFC 9112 section 6.3: one Content-Length, digits only; lists and repetitions are read differently"
TE = "RFC 9112 section 6.1: nothing but chunked, once, and never from HTTP/1.0"
BOTH = "RFC 9112 section 6.1: both together are how requests are smuggled"
CHUNK = "RFC 9112 section 7.1: hexadecimal digits, then an extension or CRLF, no space and no sign"
TRAILER = "RFC 9110 section 6.5.1: framing, routing and authentication do not belong behind the body"
FIELD = "RFC 9112 section 5.1: no space between name and colon"
NAME = "RFC 9110 section 5.1: a name is a token"
VALUE = "RFC 9110 section 5.5: no CR, LF, NUL or other control in a value"
FOLD = "RFC 9112 section 5.2: a folded line is refused or unfolded; we refuse"
HOST = "RFC 9112 section 3.2: one Host, and a valid one"
TARGET = "RFC 9112 section 3.2: a target is one of four forms"
LINE = "RFC 9112 section 3: single spaces, an upper-case HTTP, one digit, a dot and one digit"
STATUS = "RFC 9110 section 15: a status is three digits, 100 to 599"
EMPTY = "RFC 9112 section 2.2 has empty lines before a request skipped"
SIDE = "RFC 9110 section 9.1: a method is any token"

# id, bytes, why
REQUESTS = [
    ("get", "GET /a HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("two", "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("length", request("Content-Length: 5\r\n", "hello"), ""),
    ("length-then-get", request("Content-Length: 5\r\n", "hello") + "GET /b HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("length-zero", request("Content-Length: 0\r\n"), ""),
    ("length-zeros", request("Content-Length: 005\r\n", "hello"), ""),
    ("length-space", request("Content-Length: 5 \r\n", "hello"), ""),
    ("length-plus", request("Content-Length: +5\r\n", "hello"), CL),
    ("length-minus", request("Content-Length: -5\r\n", "hello"), CL),
    ("length-hex", request("Content-Length: 0x5\r\n", "hello"), CL),
    ("length-list", request("Content-Length: 5, 5\r\n", "hello"), CL),
    ("length-twice", request("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), CL),
    ("length-differs", request("Content-Length: 5\r\nContent-Length: 4\r\n", "hello"), CL),
    ("length-empty", request("Content-Length: \r\n"), CL),
    ("length-inside", request("Content-Length: 1 5\r\n", "hello"), CL),
    ("length-overflow", request("Content-Length: 18446744073709551621\r\n", "hello"), CL),
    ("chunked", chunked("5\r\nhello\r\n0\r\n\r\n"), ""),
    ("chunked-case", request("Transfer-Encoding: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n"), ""),
    ("chunked-then-get", chunked("5\r\nhello\r\n0\r\n\r\n") + "GET /b HTTP/1.1\r\nHost: a\r\n\r\n", ""),
    ("chunked-extension", chunked("5;a=b\r\nhello\r\n0;c\r\n\r\n"), ""),
    ("chunked-trailer", chunked("5\r\nhello\r\n0\r\nx: 1\r\n\r\n"), ""),
    ("chunked-zeros", chunked("005\r\nhello\r\n000\r\n\r\n"), ""),
    ("chunked-plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-prefix", chunked("0x5\r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-space-before", chunked(" 5\r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-space-behind", chunked("5 \r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-empty-size", chunked("\r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-overflow", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("chunked-lf", chunked("5\nhello\r\n0\r\n\r\n"), LF),
    ("chunked-payload-lf", chunked("5\r\nhello\n0\r\n\r\n"), LF),
    ("chunked-payload-long", chunked("5\r\nhelloX\r\n0\r\n\r\n"), CHUNK),
    ("chunked-extension-lf", chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"), LF),
    ("chunked-trailer-lf", chunked("5\r\nhello\r\n0\r\nx: 1\n\r\n"), LF),
    ("chunked-trailer-length", chunked("5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n"), TRAILER),
    ("chunked-trailer-host", chunked("5\r\nhello\r\n0\r\nHost: b\r\n\r\n"), TRAILER),
    ("chunked-trailer-space", chunked("5\r\nhello\r\n0\r\nx : 1\r\n\r\n"), FIELD),
    ("both", request("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), BOTH),
    ("both-reversed", request("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), BOTH),
    ("coding-gzip", request("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), TE),
    ("coding-last", request("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), TE),
    ("coding-identity", request("Transfer-Encoding: identity\r\n"), TE),
    ("coding-twice", request("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), TE),
    ("coding-repeated", request("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), TE),
    ("coding-quoted", request('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), TE),
    ("coding-x", request("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), TE),
    ("coding-tab", request("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"), ""),
    ("coding-vt", request("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), TE),
    ("coding-http10", request("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "POST /x HTTP/1.0"), TE),
    ("name-space", request("Content-Length : 5\r\n", "hello"), FIELD),
    ("name-empty", request(": 5\r\n"), NAME),
    ("name-control", request("x\x01: 5\r\n"), NAME),
    ("name-latin", request("x\xe9: 5\r\n"), NAME),
    ("name-slash", request("x/y: 5\r\n"), NAME),
    ("no-colon", request("x\r\n"), NAME),
    ("fold", request("x: 1\r\n 2\r\n"), FOLD),
    ("fold-first", request(" x: 1\r\n", host=""), FOLD),
    ("value-nul", request("x: a\0b\r\n"), VALUE),
    ("value-control", request("x: a\x01b\r\n"), VALUE),
    ("value-delete", request("x: a\x7fb\r\n"), VALUE),
    ("value-latin", request("x: a\xe9b\r\n"), ""),
    ("value-tab", request("x: a\tb\r\n"), ""),
    ("value-cr", request("x: a\rb\r\n"), VALUE),
    ("value-empty", request("x:\r\n"), ""),
    ("lf-line", "GET /a HTTP/1.1\nHost: a\r\n\r\n", LF),
    ("lf-field", "GET /a HTTP/1.1\r\nHost: a\n\r\n", LF),
    ("lf-end", "GET /a HTTP/1.1\r\nHost: a\r\n\n", LF),
    ("lf-all", "GET /a HTTP/1.1\nHost: a\n\n", LF),
    ("cr-end", "GET /a HTTP/1.1\rHost: a\r\n\r\n", LF),
    ("empty-line-before", "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", EMPTY),
    ("lf-before", "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", LF),
    ("host-none", request(host=""), HOST),
    ("host-twice", request("Host: a\r\n"), HOST),
    ("host-empty", request(host="Host:\r\n"), HOST),
    ("host-list", request(host="Host: a, b\r\n"), HOST),
    ("host-space", request(host="Host: a b\r\n"), HOST),
    ("host-slash", request(host="Host: a/b\r\n"), HOST),
    ("host-user", request(host="Host: u@a\r\n"), HOST),
    ("host-port", request(host="Host: a:99999\r\n"), HOST),
    ("method-lower", request(line="get /x HTTP/1.1"), SIDE),
    ("method-odd", request(line="X!Y /x HTTP/1.1"), SIDE),
    ("method-bad", request(line="G(T /x HTTP/1.1"), LINE),
    ("method-space", request(line=" GET /x HTTP/1.1"), LINE),
    ("line-spaces", request(line="GET  /x HTTP/1.1"), LINE),
    ("line-tab", request(line="GET\t/x HTTP/1.1"), LINE),
    ("line-end-space", request(line="GET /x HTTP/1.1 "), LINE),
    ("target-space", request(line="GET /x y HTTP/1.1"), LINE),
    ("target-none", request(line="GET HTTP/1.1"), LINE),
    ("target-control", request(line="GET /x\x01 HTTP/1.1"), TARGET),
    ("target-latin", request(line="GET /x\xe9 HTTP/1.1"), TARGET),
    ("target-fragment", request(line="GET /x#y HTTP/1.1"), TARGET),
    ("target-word", request(line="GET x HTTP/1.1"), TARGET),
    ("target-star", request(line="GET * HTTP/1.1"), TARGET),
    ("version-0.9", request(line="GET /x HTTP/0.9"), LINE),
    ("version-1.2", request(line="GET /x HTTP/1.2"), LINE),
    ("version-2.0", request(line="GET /x HTTP/2.0"), LINE),
    ("version-long", request(line="GET /x HTTP/1.10"), LINE),
    ("version-lower", request(line="GET /x http/1.1"), LINE),
    ("version-none", request(line="GET /x"), LINE),
]
RESPONSES = [
    ("length", response("Content-Length: 5\r\n", "hello"), ""),
    ("length-list", response("Content-Length: 5, 5\r\n", "hello"), CL),
    ("length-twice", response("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), CL),
    ("length-differs", response("Content-Length: 5\r\nContent-Length: 4\r\n", "hello"), CL),
    ("length-plus", response("Content-Length: +5\r\n", "hello"), CL),
    ("length-empty", response("Content-Length:\r\n"), CL),
    ("chunked", response("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"), ""),
    ("chunked-lf", response("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"), LF),
    ("chunked-space", response("Transfer-Encoding: chunked\r\n", "5 \r\nhello\r\n0\r\n\r\n"), CHUNK),
    ("both", response("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), BOTH),
    ("coding-gzip", response("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), TE),
    ("coding-identity", response("Transfer-Encoding: identity\r\n", "hello"), TE),
    ("coding-http10", response("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "HTTP/1.0 200 OK"), TE),
    ("close", response("x: 1\r\n", "hello"), ""),
    ("http10", response("Content-Length: 5\r\n", "hello", "HTTP/1.0 200 OK"), ""),
    ("lf-line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", LF),
    ("lf-field", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n", LF),
    ("name-space", response("Content-Length : 5\r\n", "hello"), FIELD),
    ("name-bad", response("x y: 5\r\nContent-Length: 0\r\n"), NAME),
    ("fold", response("x: 1\r\n 2\r\nContent-Length: 0\r\n"), FOLD),
    ("value-nul", response("x: a\0b\r\nContent-Length: 0\r\n"), VALUE),
    ("value-cr", response("x: a\rb\r\nContent-Length: 0\r\n"), VALUE),
    ("no-reason", response("Content-Length: 0\r\n", line="HTTP/1.1 200 "), ""),
    ("no-reason-no-space", response("Content-Length: 0\r\n", line="HTTP/1.1 200"), ""),
    ("reason-control", response("Content-Length: 0\r\n", line="HTTP/1.1 200 O\x01K"), STATUS),
    ("status-two", response("Content-Length: 0\r\n", line="HTTP/1.1 20 OK"), STATUS),
    ("status-four", response("Content-Length: 0\r\n", line="HTTP/1.1 2000 OK"), STATUS),
    ("status-099", response("Content-Length: 0\r\n", line="HTTP/1.1 099 OK"), STATUS),
    ("status-600", response("Content-Length: 0\r\n", line="HTTP/1.1 600 OK"), STATUS),
    ("version-2.0", response("Content-Length: 0\r\n", line="HTTP/2.0 200 OK"), LINE),
    ("version-lower", response("Content-Length: 0\r\n", line="http/1.1 200 OK"), LINE),
    ("empty-line-before", "\r\n" + response("Content-Length: 0\r\n"), "RFC 9112 section 2.2 forgives requests only"),
    ("no-content-length", response("Content-Length: 0\r\n", line="HTTP/1.1 204 No Content"), ""),
]


def by_h11(data, role):
    connection = h11.Connection(role)
    seen = []
    try:
        if role is h11.CLIENT:
            connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                seen.append([f"{event.method.decode()} {event.target.decode('latin-1')}", b""])
            elif isinstance(event, h11.Response):
                seen.append([str(event.status_code), b""])
            elif isinstance(event, h11.Data):
                seen[-1][1] += event.data
            elif isinstance(event, h11.EndOfMessage):
                seen[-1].append("whole")
                if role is h11.CLIENT:
                    break
            elif event is h11.PAUSED:
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    break
                connection.start_next_cycle()
            elif event is h11.NEED_DATA:
                if role is h11.SERVER and connection.their_state is h11.DONE:
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()
                    if not connection.trailing_data[0]:
                        break
                    continue
                if not connection.trailing_data[1]:
                    connection.receive_data(b"")
                    continue
                return told(seen, "incomplete")
            else:
                break
    except h11.RemoteProtocolError:
        return told(seen, "refused")
    return told(seen, None)


class Llhttp:
    def __init__(self):
        self.seen = []
        self.parser = None

    def on_message_begin(self):
        self.seen.append(["", b""])

    def on_url(self, url):
        self.seen[-1][0] += url.decode("latin-1")

    def on_headers_complete(self):
        if isinstance(self.parser, httptools.HttpRequestParser):
            self.seen[-1][0] = f"{self.parser.get_method().decode()} {self.seen[-1][0]}"
        else:
            self.seen[-1][0] = str(self.parser.get_status_code())

    def on_body(self, body):
        self.seen[-1][1] += body

    def on_message_complete(self):
        self.seen[-1].append("whole")


def by_llhttp(data, role):
    told_to = Llhttp()
    kind = httptools.HttpRequestParser if role is h11.SERVER else httptools.HttpResponseParser
    told_to.parser = kind(told_to)
    try:
        told_to.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return told(told_to.seen, "refused")
    # The end of the connection ends such a body; httptools has no call that says so.
    if role is h11.CLIENT and told_to.seen and b"content-length" not in data.lower():
        told_to.seen[-1].append("whole")
    return told(told_to.seen, None)


def told(seen, end):
    whole = [f"{what} [{body.decode('latin-1')}]" for what, body, *rest in seen if rest]
    if end is None and len(whole) < len(seen):
        end = "incomplete"
    return whole + ([end] if end else [])


rows = []
for side, role, cases in (("request", h11.SERVER, REQUESTS), ("response", h11.CLIENT, RESPONSES)):
    for name, text, why in cases:
        data = text.encode("latin-1")
        rows.append(
            {"id": f"{side}-{name}", "bytes": text, "h11": by_h11(data, role), "llhttp": by_llhttp(data, role), "why": why}
        )
out = pathlib.Path(__file__).with_name("table.json")
out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
