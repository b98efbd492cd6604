//! The table's rows in HTTP/1.1.

use lb_core::testkit::{Message, Wire, chunk, pattern};

use super::{BEGINNING, Client, Content, Got, ROWS, Row, Seen, Server, TRAILER};

/// The lines that frame a body of this kind.
fn framing(content: Content) -> String {
    match content {
        Content::Nothing => String::new(),
        Content::Length(length) => format!("Content-Length: {length}\r\n"),
        Content::Pieces(..) => format!("Transfer-Encoding: chunked\r\nTrailer: {}\r\n", TRAILER.0),
    }
}

/// A body's halves as they lie on the wire.
fn framed(content: Content) -> [Vec<u8>; 2] {
    let bytes = pattern(content.size());
    let halves = content.halves(&bytes);
    let [first, mut second] = halves.map(|pieces| match content {
        Content::Pieces(..) => pieces.into_iter().flat_map(chunk).collect(),
        Content::Nothing | Content::Length(_) => pieces.concat(),
    });
    if content.has_trailers() {
        second.extend_from_slice(format!("0\r\n{}: {}\r\n\r\n", TRAILER.0, TRAILER.1).as_bytes());
    }
    [first, second]
}

fn length_of(message: &Message) -> Option<usize> {
    message.field("content-length").map(|length| length.parse().unwrap())
}

fn has_trailers(message: &Message) -> bool {
    message.trailers == [(TRAILER.0.to_owned(), TRAILER.1.to_owned())]
}

/// Plays a row's client; `tell` lets the server go on.
pub(crate) fn ask(mut wire: Wire, at: usize, row: &Row, tell: impl Fn()) -> Seen {
    let expect = if row.client == Client::WaitsFor100 { "Expect: 100-continue\r\n" } else { "" };
    let framing = framing(row.sent);
    wire.send(format!(
        "{} /{at} HTTP/1.1\r\nHost: shop.example\r\nTE: trailers\r\nConnection: TE\r\n{expect}{framing}\r\n",
        row.method
    ));
    let mut seen = Seen::default();
    if row.client == Client::WaitsFor100 {
        seen.interim.push(wire.response().status());
    }
    let [first, second] = framed(row.sent);
    wire.send(first);
    match row.client {
        Client::AbortsSending => {
            seen.interim.push(wire.response().status());
            wire.reset();
            return seen;
        }
        Client::Interleaves => {
            let head = wire.head().unwrap();
            let length = length_of(&head).unwrap();
            let mut body = wire.exactly(length / 2);
            wire.send(second);
            body.extend(wire.exactly(length - length / 2));
            return Seen { is_whole: true, ..seen.with(&Message { body, ..head }) };
        }
        Client::AbortsReading => {
            let head = wire.head().unwrap();
            wire.exactly(BEGINNING);
            wire.reset();
            return seen.with(&head);
        }
        Client::SendsHalf => {}
        Client::Asks | Client::WaitsFor100 | Client::ReadsOn => {
            wire.send(second);
        }
    }
    seen.read(&mut wire, row, tell)
}

impl Seen {
    fn read(mut self, wire: &mut Wire, row: &Row, tell: impl Fn()) -> Self {
        let mut head = wire.head().unwrap();
        while head.status() < 200 {
            self.interim.push(head.status());
            head = wire.head().unwrap();
        }
        if row.client == Client::ReadsOn {
            tell();
        }
        if row.method == "HEAD" {
            return Self { is_whole: true, ..self.with(&head) };
        }
        match wire.rest_of_response(head.clone()) {
            Some(whole) => Self { is_whole: true, ..self.with(&whole) },
            None => self.with(&head),
        }
    }

    fn with(self, message: &Message) -> Self {
        Self {
            status: message.status(),
            length: length_of(message),
            body: message.body.clone(),
            has_trailers: has_trailers(message),
            ..self
        }
    }
}

/// Plays the servers of the rows that are asked for on this connection.
pub(crate) fn serve(wire: &mut Wire, note: impl Fn(Got)) {
    while let Some(head) = wire.head() {
        let row = &ROWS[head.target()[1..].parse::<usize>().unwrap()];
        let mut begun = Vec::new();
        match row.server {
            Server::Hints => {
                wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            }
            Server::Continues => {
                assert_eq!(head.field("expect"), Some("100-continue"));
                wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            Server::Refuses => {
                send_head(wire, row);
                send_rest(wire, row);
            }
            Server::Interrupts => {
                begun = wire.exactly(row.sent.size() / 2);
                send_head(wire, row);
                let rest = wire.exactly(row.sent.size() - begun.len());
                begun.extend(rest);
            }
            _ => {}
        }
        let request = if begun.is_empty() {
            wire.rest_of_request(head.clone())
        } else {
            Some(Message { body: begun, ..head.clone() })
        };
        let is_whole = request.is_some();
        let request = request.unwrap_or(head);
        note(Got {
            method: request.method().to_owned(),
            length: length_of(&request),
            has_trailers: has_trailers(&request),
            proto: request.field("x-forwarded-proto").unwrap_or_default().to_owned(),
            body: request.body,
            is_whole,
        });
        match row.server {
            _ if !is_whole => return,
            Server::Aborts => return,
            Server::AbortsHalfway => {
                send_head(wire, row);
                wire.until_told();
                return wire.reset_on_close();
            }
            Server::SendsOn => {
                wire.send(head_of(row));
                while wire.try_send([0; 65_536]).is_ok() {}
                return;
            }
            Server::Refuses => {}
            Server::Interrupts => send_rest(wire, row),
            Server::Answers | Server::Hints | Server::Continues => {
                send_head(wire, row);
                send_rest(wire, row);
            }
        }
    }
}

fn head_of(row: &Row) -> String {
    format!("HTTP/1.1 {} X\r\n{}\r\n", row.status, framing(row.answered))
}

/// With half of the body.
fn send_head(wire: &mut Wire, row: &Row) {
    wire.send(head_of(row));
    if row.has_body() {
        wire.send(&framed(row.answered)[0]);
    }
}

fn send_rest(wire: &mut Wire, row: &Row) {
    if row.has_body() {
        wire.send(&framed(row.answered)[1]);
    }
}
