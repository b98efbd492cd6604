//! Untrusted bytes inside a quoted string, for each format.
//!
//! The property of both: what is appended holds no quote that is not escaped, and no byte or character that ends
//! a line or speaks to a terminal, so that no client can forge a line or a field.

/// Appends `bytes` as the inside of a JSON string. Always UTF-8: what is not UTF-8 becomes U+FFFD.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if are_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut done = 0;
        for (at, c) in valid.char_indices().filter(|(_, c)| must_escape(*c)) {
            out.extend_from_slice(&valid.as_bytes()[done..at]);
            json_char(c, out);
            done = at + c.len_utf8();
        }
        out.extend_from_slice(&valid.as_bytes()[done..]);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Beyond what JSON demands: DEL and the C1 controls, which terminals obey, and the line separators of Unicode,
/// at which some readers split.
fn must_escape(c: char) -> bool {
    c.is_control() || matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}')
}

fn json_char(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        // All that is left to escape is below U+10000, so it is one unit of UTF-16.
        c => {
            let [_, _, high, low] = u32::from(c).to_be_bytes();
            out.extend_from_slice(br"\u");
            out.extend_from_slice(&hex(high));
            out.extend_from_slice(&hex(low));
        }
    }
}

/// Appends `bytes` as the inside of a quoted string of the common and combined formats, as Apache does it: `\"`,
/// `\\`, and `\xHH` for each byte that is not printable ASCII.
pub(super) fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    if are_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            plain if is_plain(*plain) => out.push(*plain),
            other => {
                out.extend_from_slice(br"\x");
                out.extend_from_slice(&hex(*other));
            }
        }
    }
}

/// Whether nothing needs escaping, which is the rule. Looks at all bytes even if an early one does: without a way
/// out the loop is vectorised, which halves what a line costs.
fn are_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte))
}

/// Whether a byte stands for itself in every format: printable ASCII but quote and backslash.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(escape: fn(&[u8], &mut Vec<u8>), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cases_of_both_formats() {
        let cases: [(&[u8], &str, &str); 8] = [
            (b"/a?b=c d~", "/a?b=c d~", "/a?b=c d~"),
            (br#""\"#, r#"\"\\"#, r#"\"\\"#),
            (b"a\r\nb\tc", r"a\r\nb\tc", r"a\x0d\x0ab\x09c"),
            (b"\0\x1b[31m\x7f", r"\u0000\u001b[31m\u007f", r"\x00\x1b[31m\x7f"),
            ("é".as_bytes(), "é", r"\xc3\xa9"),
            ("\u{9b}2J".as_bytes(), r"\u009b2J", r"\xc2\x9b2J"),
            ("a\u{2028}b".as_bytes(), r"a\u2028b", r"a\xe2\x80\xa8b"),
            (b"a\xffb\xc3", "a\u{fffd}b\u{fffd}", r"a\xffb\xc3"),
        ];
        for (bytes, as_json, as_quoted) in cases {
            assert_eq!(escaped(json, bytes), as_json, "{bytes:?}");
            assert_eq!(escaped(quoted, bytes), as_quoted, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn json_reads_back_as_what_was_sent(bytes: Vec<u8>) {
            let out = escaped(json, &bytes);
            prop_assert!(!out.chars().any(|c| c.is_control()), "{out:?}");
            let read: String = serde_json::from_str(&format!("\"{out}\"")).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn quoted_is_printable_and_has_no_bare_quote(bytes: Vec<u8>) {
            let out = escaped(quoted, &bytes);
            prop_assert!(out.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{out:?}");
            let bare = out.replace(r"\\", "").replace(r#"\""#, "");
            prop_assert!(!bare.contains('"'), "{out:?}");
        }
    }
}
