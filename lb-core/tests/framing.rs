//! Promise: where a message ends is decided once and to the letter (RFC 9112 sections 2 to 7); what can be read in two
//! ways is refused, whatever pieces it arrives in, and nothing of one message is ever taken for another.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[path = "framing/bodies.rs"]
mod bodies;
#[path = "framing/heads.rs"]
mod heads;
#[path = "framing/responses.rs"]
mod responses;

use std::sync::{Arc, Mutex};

use lb_core::testkit::{Origin, Running, Wire};

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
