//! Promise: what the fuzzers of `fuzz/` once found, and what they began with, holds for ever.
#![cfg(all(feature = "config", feature = "fuzz"))]

use std::fs;
use std::path::PathBuf;

fn replay(target: &str, property: fn(&[u8])) {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&corpus).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{target} has no corpus");
    for input in inputs {
        let bytes = fs::read(&input).expect("an input");
        if std::panic::catch_unwind(|| property(&bytes)).is_err() {
            panic!("{}: see above", input.display());
        }
    }
}

#[test]
fn request_heads() {
    replay("request_head", lb_core::fuzz::request_head);
}

#[test]
fn response_heads() {
    replay("response_head", lb_core::fuzz::response_head);
}

#[test]
fn chunked_bodies() {
    replay("chunked_body", lb_core::fuzz::chunked_body);
}

#[test]
fn proxy_headers() {
    replay("proxy_header", lb_core::fuzz::proxy_header);
}

#[test]
fn paths() {
    replay("path", lb_core::fuzz::path);
}

#[test]
fn client_hellos() {
    replay("client_hello", lb_core::fuzz::client_hello);
}

#[test]
fn configurations() {
    replay("configuration", lb_core::fuzz::configuration);
}

#[test]
fn exchanges() {
    replay("exchange", lb_core::fuzz::exchange);
}

#[test]
fn http2_renaming() {
    replay("http2_renaming", lb_core::fuzz::http2_renaming);
}

#[test]
fn http2_frames() {
    replay("http2", lb_core::fuzz::http2);
}
