//! The path of a request target in the one form that routes are matched on.
//!
//! Two spellings of a path that RFC 3986 section 6.2.2 calls equivalent get the same form, so that no spelling
//! of `/admin` slips past a route on `/admin`. Percent-encoded unreserved characters are decoded, once; other
//! escapes stay, with upper-case digits; bytes that a URI may not hold bare (`\`, `"`, those above ASCII) are
//! encoded; repeated slashes are merged, as file systems do, and then dot segments are resolved.
//!
//! The form is for matching. What is forwarded is what the client sent, unless a route rewrites it.
//!
//! Left alone on purpose, because a server may well mean something else by them: letter case (`/ADMIN`), an
//! encoded slash (`/admin%2Fx` is one segment), path parameters (`/admin;x` is not `/admin`), double encoding
//! (`/%2561dmin`) and what is no UTF-8 (`%C0%AF` is two opaque bytes, never a slash).

use memchr::{memchr, memchr2};

/// Why a request target can't be matched. To a client each of these is a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with `/`; write it from the root")]
    NotAbsolute,
    /// `..` climbs above the root.
    #[error("the path climbs above the root; take out `..` segments")]
    EscapesRoot,
    /// A NUL, bare or encoded.
    #[error("the path holds a NUL; take it out")]
    Nul,
    /// `%` is not followed by two hexadecimal digits.
    #[error("the path holds an incomplete escape; write a percent sign as `%25`")]
    Escape,
    /// `#`: a fragment is never part of a request target (RFC 9112 section 3.2).
    #[error("the target holds a fragment; take out `#` and what follows, or write it as `%23`")]
    Fragment,
    /// `?` where only a path is expected.
    #[error("the path holds a query; take out `?` and what follows, or write it as `%3F`")]
    Query,
}

/// Splits an origin-form target at its first `?`. The query, if there is one, comes without it.
///
/// # Errors
/// [`PathError::Fragment`] when the target holds a `#` anywhere.
///
/// ```
/// use lb_core::http::path::split_query;
///
/// assert_eq!(split_query(b"/a?b=c?d"), Ok((&b"/a"[..], Some(&b"b=c?d"[..]))));
/// assert_eq!(split_query(b"/a"), Ok((&b"/a"[..], None)));
/// ```
pub fn split_query(target: &[u8]) -> Result<(&[u8], Option<&[u8]>), PathError> {
    match memchr2(b'?', b'#', target) {
        None => Ok((target, None)),
        Some(at) if target[at] == b'#' => Err(PathError::Fragment),
        Some(at) => {
            let query = &target[at + 1..];
            if memchr(b'#', query).is_some() {
                return Err(PathError::Fragment);
            }
            Ok((&target[..at], Some(query)))
        }
    }
}

/// The form of `path` (without its query) that routes are matched on.
///
/// A path that is in this form already is given back as it is and costs one look at each byte; any other is
/// written to `scratch`, whose former content is lost and whose capacity is worth keeping for the next call.
/// An empty path is `/` (RFC 9110 section 4.2.3), and the `*` of `OPTIONS *` stays `*`, which no path but `*`
/// is equal to. Any other form begins with one slash.
///
/// # Errors
/// What [`PathError`] lists. A path is never cut or guessed at.
///
/// ```
/// use lb_core::http::path::{PathError, normalise};
///
/// let mut scratch = Vec::new();
/// assert_eq!(normalise(b"/x/..//%61dmin", &mut scratch), Ok(&b"/admin"[..]));
/// assert_eq!(normalise(b"/../admin", &mut scratch), Err(PathError::EscapesRoot));
/// ```
pub fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], PathError> {
    if is_plain(path) || path == b"*" {
        return Ok(path);
    }
    if path.is_empty() {
        return Ok(b"/");
    }
    let segments = path.strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
    scratch.clear();
    scratch.push(b'/');
    // Invariant: up to `start`, the output is normal and ends with a slash.
    for (position, segment) in segments.split(|&byte| byte == b'/').enumerate() {
        if position > 0 && scratch.last() != Some(&b'/') {
            scratch.push(b'/');
        }
        let start = scratch.len();
        push_spelled(scratch, segment)?;
        match &scratch[start..] {
            b"." => scratch.truncate(start),
            b".." => {
                let parent = scratch[..start - 1].iter().rposition(|&byte| byte == b'/');
                scratch.truncate(parent.ok_or(PathError::EscapesRoot)? + 1);
            }
            _ => {}
        }
    }
    if scratch.as_slice() == path { Ok(path) } else { Ok(scratch) }
}

/// A path as a route writes it. Unlike a request's it may not be empty: that is a mistake, not the root.
pub(crate) fn normalise_written(path: &str) -> Result<Vec<u8>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    normalise(path.as_bytes(), &mut Vec::new()).map(<[u8]>::to_vec)
}

/// Appends `text` with its escapes in normal form, and nothing else done to it: no slash merged, no dot
/// segment resolved. For what is only a part of a path, such as the beginning that a route asks for.
pub(crate) fn push_spelled(out: &mut Vec<u8>, text: &[u8]) -> Result<(), PathError> {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0 => return Err(PathError::Nul),
            b'#' => return Err(PathError::Fragment),
            b'?' => return Err(PathError::Query),
            b'%' => {
                let (escaped, after) = escape(rest).ok_or(PathError::Escape)?;
                rest = after;
                match escaped {
                    0 => return Err(PathError::Nul),
                    _ if is_unreserved(escaped) => out.push(escaped),
                    _ => push_escape(out, escaped),
                }
            }
            _ if is_bare(byte) => out.push(byte),
            _ => push_escape(out, byte),
        }
    }
    Ok(())
}

/// The byte that two hexadecimal digits at the front of `text` stand for, and what follows them.
pub(crate) fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], after) = text.split_first_chunk()?;
    Some((digit(high)? << 4 | digit(low)?, after))
}

/// Appends `byte` as `%XX`.
pub(crate) fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Whether `byte` stands for itself in a path. The percent sign does not: it begins an escape.
pub(crate) fn is_bare(byte: u8) -> bool {
    BARE[usize::from(byte)]
}

/// Whether a look at each byte and its neighbour is enough to know that the path is normal. A few normal paths
/// are not plain (`/.well-known`, `/a%20b`); they take the longer way to the same bytes.
fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let mut previous = b'/';
    for &byte in rest {
        if !is_bare(byte) || previous == b'/' && (byte == b'/' || byte == b'.') {
            return false;
        }
        previous = byte;
    }
    true
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands for itself in a path: pchar without escapes (RFC 3986 section 3.3), and the slash.
const BARE: [bool; 256] = {
    let mut bare = [false; 256];
    let mut byte: u8 = 0;
    loop {
        let delimiter = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/'
        );
        bare[byte as usize] = is_unreserved(byte) || delimiter;
        if byte == u8::MAX {
            break bare;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &[u8]) -> Result<Vec<u8>, PathError> {
        normalise(path, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    #[test]
    fn spellings_have_one_form() {
        let cases: &[(&str, &str)] = &[
            ("", "/"),
            ("*", "*"),
            ("/", "/"),
            ("//", "/"),
            ("///", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/../../c", "/c"),
            ("/a//../b", "/b"),
            ("/a/..//b", "/b"),
            ("/a//", "/a/"),
            ("/admin", "/admin"),
            ("/admin/", "/admin/"),
            ("//admin", "/admin"),
            ("/./admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%61%64%6D%69%6e", "/admin"),
            ("/x/%2e%2E/admin", "/admin"),
            ("/x/.%2E/admin/y", "/admin/y"),
            ("/%2e/admin", "/admin"),
            ("/admin%2fx", "/admin%2Fx"),
            ("/x/..%2Fadmin", "/x/..%2Fadmin"),
            ("/admin;x", "/admin;x"),
            ("/x/..;/admin", "/x/..;/admin"),
            ("/ADMIN", "/ADMIN"),
            ("/%2561dmin", "/%2561dmin"),
            ("/%c0%afadmin", "/%C0%AFadmin"),
            ("/%C1%A1dmin", "/%C1%A1dmin"),
            ("/%e0%80%af", "/%E0%80%AF"),
            ("/x\\..\\admin", "/x%5C..%5Cadmin"),
            ("/x%5c..%5cadmin", "/x%5C..%5Cadmin"),
            ("/admin%09", "/admin%09"),
            ("/a b", "/a%20b"),
            ("/café", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%7Euser/%2D%5F", "/~user/-_"),
            ("/%21", "/%21"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a.b/c..", "/a.b/c.."),
        ];
        for (path, want) in cases {
            assert_eq!(normal(path.as_bytes()).as_deref(), Ok(want.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        let cases: &[(&[u8], PathError)] = &[
            (b"admin", PathError::NotAbsolute),
            (b"*x", PathError::NotAbsolute),
            (b"http://shop.example/", PathError::NotAbsolute),
            (b"/..", PathError::EscapesRoot),
            (b"/../admin", PathError::EscapesRoot),
            (b"//..", PathError::EscapesRoot),
            (b"/a/../../b", PathError::EscapesRoot),
            (b"/%2e%2E/a", PathError::EscapesRoot),
            (b"/./..", PathError::EscapesRoot),
            (b"/admin%00", PathError::Nul),
            (b"/admin\0", PathError::Nul),
            (b"/%", PathError::Escape),
            (b"/%6", PathError::Escape),
            (b"/%zz", PathError::Escape),
            (b"/%%361dmin", PathError::Escape),
            (b"/%+1", PathError::Escape),
            (b"/admin#x", PathError::Fragment),
            (b"/admin?x", PathError::Query),
        ];
        for (path, want) in cases {
            assert_eq!(normal(path), Err(*want), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_normal_path_is_not_copied() {
        for path in ["/", "/admin/x", "/.well-known/a%20b", "/a;b=c,d", "*"] {
            let mut scratch = Vec::new();
            let form = normalise(path.as_bytes(), &mut scratch).expect("normal");
            assert!(std::ptr::eq(form, path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        assert_eq!(split_query(b"/a?"), Ok((&b"/a"[..], Some(&b""[..]))));
        assert_eq!(split_query(b"?b"), Ok((&b""[..], Some(&b"b"[..]))));
        for target in [&b"/a#b"[..], b"/a?b#c", b"/a#b?c", b"#"] {
            assert_eq!(split_query(target), Err(PathError::Fragment));
        }
    }

    /// Paths made of the pieces that matter, so that random ones meet each rule often.
    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%61", "%25", "%C3", "%00", "%", "a", "b", "\\",
            ";", "é", " ", "6", "1",
        ]);
        let made = prop::collection::vec(pieces, 0..24).prop_map(|p| format!("/{}", p.concat()).into_bytes());
        prop_oneof![4 => made, 1 => prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in paths()) {
            if let Ok(once) = normal(&path) {
                prop_assert_eq!(normal(&once), Ok(once));
            }
        }

        #[test]
        fn the_form_has_no_dot_segment_no_double_slash_and_only_uri_characters(path in paths()) {
            if let Ok(form) = normal(&path) && form != b"*" {
                prop_assert_eq!(form[0], b'/');
                prop_assert!(form.iter().all(|&byte| is_bare(byte) || byte == b'%'));
                let mut segments: Vec<_> = form[1..].split(|&byte| byte == b'/').collect();
                segments.pop_if(|last| last.is_empty());
                for segment in segments {
                    prop_assert!(!matches!(segment, b"" | b"." | b".."), "{}", form.escape_ascii());
                }
            }
        }

        #[test]
        fn escaping_an_unreserved_character_changes_nothing(path in "/[a-c./]{0,12}", at in any::<prop::sample::Index>()) {
            let mut escaped = path.clone().into_bytes();
            let at = at.index(escaped.len());
            if escaped[at] != b'/' {
                let digits = format!("%{:02x}", escaped[at]);
                escaped.splice(at..=at, digits.into_bytes());
            }
            prop_assert_eq!(normal(&escaped), normal(path.as_bytes()));
        }

        #[test]
        fn the_former_content_of_the_scratch_does_not_matter(path in paths(), mut scratch in any::<Vec<u8>>()) {
            prop_assert_eq!(normalise(&path, &mut scratch).map(<[u8]>::to_vec), normal(&path));
        }
    }
}
