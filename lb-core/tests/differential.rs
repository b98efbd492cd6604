//! Promise: where the proxy and two parsers that nobody here wrote (h11; llhttp, which is Node's) read a byte stream
//! differently, the reason is known. `differential/record.py` writes down what those make of each stream.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "a test that fails fails")]

use std::sync::{Arc, Mutex};

use lb_core::testkit::{Origin, Running};
use serde_json::Value;

/// What a parser made of a stream: each whole message, then how it ended if not in order.
type Reading = Vec<String>;

fn table(side: &str) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_str(include_str!("differential/table.json")).unwrap();
    let rows: Vec<_> = rows.into_iter().filter(|row| row["id"].as_str().unwrap().starts_with(side)).collect();
    assert!(rows.len() > 30);
    rows
}

/// Latin-1, so that a row can hold any byte.
fn bytes(row: &Value) -> Vec<u8> {
    row["bytes"].as_str().unwrap().chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
}

fn told(what: impl std::fmt::Display, body: &[u8]) -> String {
    format!("{what} [{}]", body.iter().copied().map(char::from).collect::<String>())
}

/// Collects the rows where a difference has no reason, or a reason no difference.
fn compare(row: &Value, ours: &Reading, problems: &mut Vec<String>) {
    let reading = |peer: &str| -> Reading {
        row[peer].as_array().unwrap().iter().map(|told| told.as_str().unwrap().to_owned()).collect()
    };
    let (h11, llhttp) = (reading("h11"), reading("llhttp"));
    let is_different = *ours != h11 || *ours != llhttp;
    // Two readings of one stream are how messages are smuggled; only refusing is beyond doubt.
    let (ours_before, ours_refused) = before_refusal(ours);
    for peer in [&h11, &llhttp] {
        let (_, is_refused) = before_refusal(peer);
        let is_stricter = ours_refused && peer.starts_with(ours_before);
        assert!(peer == ours || is_refused || is_stricter, "{}: ours {ours:?}, a peer's {peer:?}", row["id"]);
    }
    let why = row["why"].as_str().unwrap();
    // Who refuses with everybody else needs no reason, and may give one.
    let is_stale = !is_different && !ours_refused && !why.is_empty();
    if is_different && why.is_empty() || is_stale {
        problems.push(format!("{}: ours {ours:?}, h11 {h11:?}, llhttp {llhttp:?}, why {why:?}", row["id"]));
    }
}

/// The messages before a refusal, and whether there was one.
fn before_refusal(reading: &[String]) -> (&[String], bool) {
    match reading {
        [before @ .., end] if end == "refused" => (before, true),
        _ => (reading, false),
    }
}

#[test]
fn requests_are_read_as_others_read_them_or_more_strictly() {
    let seen = Arc::new(Mutex::new(Reading::new()));
    let notes = Arc::clone(&seen);
    let origin = Origin::scripted(move |wire| {
        while let Some(request) = wire.whole_request() {
            let what = format!("{} {}", request.method(), request.target());
            notes.lock().unwrap().push(told(what, &request.body));
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut problems = Vec::new();
    for row in table("request") {
        let mut client = proxy.client("web");
        client.send(bytes(&row)).finish_sending();
        let answers = String::from_utf8(client.until_closed().0).unwrap();
        let mut ours = std::mem::take(&mut *seen.lock().unwrap());
        if answers.contains("HTTP/1.1 4") || answers.contains("HTTP/1.1 5") {
            ours.push("refused".to_owned());
        }
        compare(&row, &ours, &mut problems);
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn responses_are_read_as_others_read_them_or_more_strictly() {
    let reply = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::clone(&reply);
    let origin = Origin::scripted(move |wire| {
        if wire.request().is_some() {
            wire.send(&*next.lock().unwrap());
        }
    });
    let proxy = Running::in_front_of(&origin);
    let mut problems = Vec::new();
    for row in table("response") {
        *reply.lock().unwrap() = bytes(&row);
        let mut client = proxy.client("web");
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let response = client.response();
        let is_refused = response.status() == 502;
        let ours = if is_refused { "refused".to_owned() } else { told(response.status(), &response.body) };
        compare(&row, &vec![ours], &mut problems);
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
