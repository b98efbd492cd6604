//! What must hold for any bytes at all: the properties that `fuzz/` throws random input at, one function a target.
//!
//! Each panics where its property does not hold, and does nothing otherwise. Those of parsers stand beside the parsers;
//! this is the door to them, open only with the feature `fuzz`. `tests/corpora.rs` replays what was once found.

mod exchange;
mod http2;

pub use exchange::exchange;
pub use http2::http2;

/// A request's head, as a client may send it.
pub fn request_head(bytes: &[u8]) {
    crate::http::h1_properties::request_head(bytes);
}

/// A response's head, as a server may send it; the first byte says whether it answers HEAD.
pub fn response_head(bytes: &[u8]) {
    crate::http::h1_properties::response_head(bytes);
}

/// A chunked body; the first byte says how it is cut into reads.
pub fn chunked_body(bytes: &[u8]) {
    crate::http::h1_properties::chunked_body(bytes);
}

/// Frames of HTTP/2 whose heads are rewritten as they pass, a client's or our own; the first byte says which, and how they
/// are cut into reads.
pub fn http2_renaming(bytes: &[u8]) {
    crate::http::h2_frames_property(bytes);
}

/// A PROXY protocol header, as a proxy in front may send it.
pub fn proxy_header(bytes: &[u8]) {
    crate::net::proxy_header_property(bytes);
}

/// A path's normal form is normal, stays below the root, and means the same when it is normalised again.
pub fn path(bytes: &[u8]) {
    use crate::http::path::normalise;
    let (mut scratch, mut again) = (Vec::new(), Vec::new());
    let Ok(normal) = normalise(bytes, &mut scratch) else { return };
    assert!(normal == b"*" || normal.starts_with(b"/"));
    assert!(normal.iter().all(u8::is_ascii_graphic) && !normal.contains(&b'?') && !normal.contains(&b'#'));
    let (_, segments) = normal.split_at(1);
    let mut segments = segments.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        assert!(segment != b"." && segment != b"..", "a dot segment is left");
        assert!(!segment.is_empty() || segments.peek().is_none(), "a double slash is left");
    }
    let normal = normal.to_vec();
    assert_eq!(normalise(&normal, &mut again), Ok(&normal[..]), "it is not idempotent");
}

/// A ClientHello: what a prefix of the bytes decides, more bytes don't change.
pub fn client_hello(bytes: &[u8]) {
    use crate::net::ClientHello;
    let bytes = &bytes[..bytes.len().min(2048)];
    let mut decided = None;
    for end in 0..=bytes.len() {
        let parsed = ClientHello::parse(&bytes[..end]);
        match &decided {
            Some(decided) => assert_eq!(*decided, parsed, "decided before byte {end}"),
            None if parsed == Ok(None) => {}
            None => decided = Some(parsed),
        }
    }
}

/// A configuration: understood, or refused with places and remedies.
#[cfg(feature = "config")]
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // `unix:` and file names are looked at; variables are not, so that a finding does not depend on the machine.
    match crate::config::load_text("lb.toml", text, |_| None) {
        Ok(loaded) => drop(loaded.builder.build()),
        Err(problems) => assert!(!problems.to_string().is_empty(), "refused without a word"),
    }
}
