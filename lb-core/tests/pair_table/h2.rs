//! The table's rows in HTTP/2.

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use lb_core::testkit::pattern;
use tokio::sync::Notify;

use super::{BEGINNING, Client, Content, Got, ROWS, Row, Seen, Server, TRAILER};
use crate::h2_client::server::Asked;
use crate::h2_client::{Client as Connection, request};

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(TRAILER.0.parse().unwrap(), TRAILER.1.parse().unwrap())])
}

fn add_framing(fields: &mut HeaderMap, content: Content) {
    if let Some(length) = content.length() {
        fields.insert("content-length", length.into());
    }
    if content.has_trailers() {
        fields.insert("trailer", TRAILER.0.parse().unwrap());
    }
}

fn length_of(fields: &HeaderMap) -> Option<usize> {
    fields.get("content-length").map(|length| length.to_str().unwrap().parse().unwrap())
}

/// Sends pieces, each in a frame of its own as far as the window goes; whether whoever reads is still there.
async fn send(stream: &mut SendStream<Bytes>, pieces: &[&[u8]]) -> bool {
    for piece in pieces {
        let mut left = *piece;
        while !left.is_empty() {
            stream.reserve_capacity(left.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
                return false;
            };
            let (now, later) = left.split_at(room.min(left.len()));
            if stream.send_data(Bytes::copy_from_slice(now), false).is_err() {
                return false;
            }
            left = later;
        }
    }
    true
}

fn end(stream: &mut SendStream<Bytes>, content: Content) {
    let _ = match content.has_trailers() {
        true => stream.send_trailers(trailers()),
        false => stream.send_data(Bytes::new(), true),
    };
}

/// What a stream brings, up to `most` bytes, until its end or its break.
#[derive(Default)]
struct Brought {
    body: Vec<u8>,
    has_trailers: bool,
    is_whole: bool,
}

impl Brought {
    async fn read(&mut self, stream: &mut RecvStream, most: usize) {
        while self.body.len() < most {
            match stream.data().await {
                Some(Ok(frame)) => {
                    self.body.extend_from_slice(&frame);
                    stream.flow_control().release_capacity(frame.len()).unwrap();
                }
                Some(Err(_)) => return,
                None => {
                    let came = stream.trailers().await;
                    self.is_whole = came.is_ok();
                    self.has_trailers = came.ok().flatten() == Some(trailers());
                    return;
                }
            }
        }
    }
}

/// Plays a row's client; `tell` lets the server go on.
pub(crate) async fn ask(mut connection: Connection, at: usize, row: &Row, tell: impl Fn()) -> Seen {
    let mut head = request(row.method, &format!("/{at}"));
    add_framing(head.headers_mut(), row.sent);
    head.headers_mut().insert("te", "trailers".parse().unwrap());
    if row.client == Client::WaitsFor100 {
        head.headers_mut().insert("expect", "100-continue".parse().unwrap());
    }
    let is_empty = row.sent.size() == 0;
    let (mut response, mut stream) = connection.send(head, is_empty).await;
    let mut seen = Seen::default();
    if row.client == Client::WaitsFor100 {
        seen.interim.extend(interim(&mut response).await);
    }
    let bytes = pattern(row.sent.size());
    let [first, second] = row.sent.halves(&bytes);
    send(&mut stream, &first).await;
    match row.client {
        Client::AbortsSending => {
            seen.interim.extend(interim(&mut response).await);
            stream.send_reset(Reason::CANCEL);
            return seen;
        }
        Client::SendsHalf | Client::Interleaves => {}
        Client::Asks | Client::WaitsFor100 | Client::ReadsOn | Client::AbortsReading => {
            send(&mut stream, &second).await;
            if !is_empty {
                end(&mut stream, row.sent);
            }
        }
    }
    while let Some(status) = interim(&mut response).await {
        seen.interim.push(status);
    }
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut brought = Brought::default();
    match row.client {
        Client::Interleaves => {
            brought.read(&mut body, row.answered.size() / 2).await;
            send(&mut stream, &second).await;
            end(&mut stream, row.sent);
        }
        Client::AbortsReading => {
            brought.read(&mut body, BEGINNING).await;
            stream.send_reset(Reason::CANCEL);
        }
        Client::ReadsOn => tell(),
        _ => {}
    }
    if row.client != Client::AbortsReading {
        brought.read(&mut body, usize::MAX).await;
    }
    Seen {
        status: head.status.as_u16(),
        length: length_of(&head.headers),
        body: brought.body,
        has_trailers: brought.has_trailers,
        is_whole: brought.is_whole,
        ..seen
    }
}

/// The status of the next interim response; none where the final one is next.
async fn interim(response: &mut ResponseFuture) -> Option<u16> {
    let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
    interim.map(|interim| interim.unwrap().status().as_u16())
}

/// Plays the server of the row that is asked for.
pub(crate) async fn serve(asked: Asked, note: impl Fn(Got), told: &Notify) {
    let Asked { request, mut respond, .. } = asked;
    let (head, mut body) = request.into_parts();
    let row = &ROWS[head.uri.path()[1..].parse::<usize>().unwrap()];
    let mut response = Response::new(());
    *response.status_mut() = row.status.try_into().unwrap();
    add_framing(response.headers_mut(), row.answered);
    let is_bodiless = !row.has_body() || row.answered.size() == 0;
    let bytes = if row.server == Server::SendsOn { Vec::new() } else { pattern(row.answered.size()) };
    let [first, second] = row.answered.halves(&bytes);
    let mut brought = Brought::default();
    let mut stream = None;
    match row.server {
        Server::Hints => {
            let hints = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
            respond.send_informational(hints).unwrap();
        }
        Server::Continues => {
            assert_eq!(head.headers["expect"], "100-continue");
            respond.send_informational(Response::builder().status(100).body(()).unwrap()).unwrap();
        }
        Server::Refuses => {
            let mut stream = respond.send_response(response.clone(), false).unwrap();
            send(&mut stream, &[&first[..], &second[..]].concat()).await;
            end(&mut stream, row.answered);
        }
        Server::Interrupts => {
            brought.read(&mut body, row.sent.size() / 2).await;
            let begun = stream.insert(respond.send_response(response.clone(), false).unwrap());
            send(begun, &first).await;
        }
        _ => {}
    }
    brought.read(&mut body, usize::MAX).await;
    let is_whole = brought.is_whole;
    note(Got {
        method: head.method.to_string(),
        length: length_of(&head.headers),
        body: brought.body,
        has_trailers: brought.has_trailers,
        proto: head.headers["x-forwarded-proto"].to_str().unwrap().to_owned(),
        is_whole,
    });
    match row.server {
        _ if !is_whole => return,
        Server::Refuses => return,
        Server::Aborts => return respond.send_reset(Reason::INTERNAL_ERROR),
        _ => {}
    }
    let mut stream = match stream {
        Some(stream) => stream,
        None => {
            let mut stream = respond.send_response(response, is_bodiless).unwrap();
            if is_bodiless {
                return;
            }
            send(&mut stream, &first).await;
            stream
        }
    };
    match row.server {
        Server::AbortsHalfway => {
            told.notified().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        Server::SendsOn => {
            while send(&mut stream, &[&[0; 65_536]]).await {}
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            assert_eq!(reason.unwrap(), Reason::CANCEL);
        }
        _ => {
            send(&mut stream, &second).await;
            end(&mut stream, row.answered);
        }
    }
}
