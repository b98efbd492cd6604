//! What a check's answer may look like: what a request's answer may look like, by the same parser.

use crate::http::response_status;

/// The status and the length of the head at the front of `bytes`; `None` until it is whole.
pub(super) fn status(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    response_status(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_502_to_a_client_is_no_answer_to_a_check() {
        for (head, refused) in [
            ("HTTP/1.1 200 OK\nA: b\n\n", "bare carriage return or line feed"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "Content-Length and Transfer-Encoding together, repeated, or malformed",
            ),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", "malformed start line or field"),
            ("SSH-2.0-OpenSSH_9.9\r\n", "malformed start line or field"),
            ("HTTP/1.1 600 OK\r\n\r\n", "invalid status code"),
        ] {
            assert_eq!(status(head.as_bytes()).unwrap_err(), refused, "{head:?}");
        }
    }

    #[test]
    fn what_a_client_would_get_passes() {
        let of_40_kib = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(40 * 1024));
        assert_eq!(status(of_40_kib.as_bytes()), Ok(Some((200, of_40_kib.len()))));
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n\r"), Ok(None));
    }

    #[test]
    fn heads_are_bounded() {
        let fields = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(status(fields(256).as_bytes()).is_ok());
        assert_eq!(status(fields(257).as_bytes()).unwrap_err(), "more fields than the limit");
        let begun = "HTTP/1.1 200 OK\r\nA: ";
        let unended = |size: usize| format!("{begun}{}", "x".repeat(size - begun.len()));
        assert_eq!(status(unended(64 * 1024 - 1).as_bytes()), Ok(None));
        assert_eq!(status(unended(64 * 1024).as_bytes()).unwrap_err(), "head over the limit");
    }
}
