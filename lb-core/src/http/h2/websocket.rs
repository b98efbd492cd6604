//! What stands for itself in HTTP/2 and has to be said in HTTP/1.1 when a WebSocket is opened (RFC 8441 section 5): a
//! key, and the proof that the server has read it (RFC 6455 section 4).

use data_encoding::BASE64;

/// Its name, as `:protocol` and in Upgrade.
pub(super) const PROTOCOL: &str = "websocket";

/// What a server adds to a key before it digests it.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A fresh key.
pub(super) fn key() -> String {
    BASE64.encode(&std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)))
}

/// What the server has to answer to it.
pub(super) fn accept(key: &[u8]) -> String {
    let mut digest = sha1_smol::Sha1::new();
    digest.update(key);
    digest.update(GUID);
    BASE64.encode(&digest.digest().bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_are_of_16_bytes_and_differ() {
        assert_eq!(BASE64.decode(key().as_bytes()).unwrap().len(), 16);
        assert_ne!(key(), key());
    }
}
