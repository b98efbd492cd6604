//! Rewriting the path of a request that goes to a server.

use crate::http::path::{PathError, normalise, normalise_written};

/// Another prefix for a path.
///
/// Which segments are the prefix is seen on the normalised path, as matching sees it: otherwise `//admin/x` would match
/// a route on `/admin` and keep the prefix that the route strips. What is behind it goes on as it was received, but that
/// the target never begins with two slashes: to many servers those begin a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Normalised, without trailing slash; the root is empty.
    from: Box<[u8]>,
    /// Normalised; its trailing slash shows only where nothing follows.
    to: Box<[u8]>,
}

impl Rewrite {
    /// Replaces the segments `from` at a path's beginning by `to`. With `/api` and `/v1`, `/api/x` becomes
    /// `/v1/x` and `/api` becomes `/v1`; the result always begins with one slash.
    ///
    /// # Errors
    /// When one of them is no path; the error comes with the one that isn't.
    pub fn replace_prefix<'a>(from: &'a str, to: &'a str) -> Result<Self, (&'a str, PathError)> {
        let [from, to] = [from, to].map(|text| normalise_written(text).map_err(|problem| (text, problem)));
        let from = from?;
        let bare = from.strip_suffix(b"/").unwrap_or(&from);
        Ok(Self { from: bare.into(), to: to?.into() })
    }

    /// Takes the segments `prefix` off: `/admin/x` becomes `/x`, and `/admin` becomes `/`.
    ///
    /// # Errors
    /// As [`Rewrite::replace_prefix`].
    pub fn strip_prefix(prefix: &str) -> Result<Self, (&str, PathError)> {
        Self::replace_prefix(prefix, "/")
    }

    /// Appends the rewritten target to `out`. False, and nothing appended, when `path`, as received, does not begin with
    /// the prefix: then the target is forwarded as it came. The former content of `scratch` is lost.
    pub fn apply(&self, path: &[u8], query: Option<&[u8]>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        let Some(parts) = self.parts(path, scratch) else { return false };
        parts.into_iter().for_each(|part| out.extend_from_slice(part));
        if let Some(query) = query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        true
    }

    /// What is taken off and replaced by nothing: where servers are to begin the paths that they tell clients.
    pub(crate) fn stripped(&self) -> Option<&[u8]> {
        (&*self.to == b"/" && !self.from.is_empty()).then_some(&*self.from)
    }

    /// The rewritten path in two pieces.
    pub(super) fn parts<'a>(&'a self, received: &'a [u8], scratch: &mut Vec<u8>) -> Option<[&'a [u8]; 2]> {
        let received = if received.is_empty() { b"/" } else { received };
        let normal = normalise(received, scratch).ok()?;
        if !matches!(normal.strip_prefix(&*self.from)?, [] | [b'/', ..]) {
            return None;
        }
        let segments = self.from.iter().filter(|&&byte| byte == b'/').count();
        let rest = &received[end_of(received, segments)..];
        let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
        Some(match (slashes, self.to.strip_suffix(b"/").unwrap_or(&self.to)) {
            (0, _) => [&self.to, b""],
            (_, b"") => [b"", &rest[slashes - 1..]],
            (_, to) => [to, rest],
        })
    }
}

/// Where the first so many segments of a path end that it has when it is normal, in the path as received. Dot segments
/// behind that only undo what is behind it.
fn end_of(received: &[u8], segments: usize) -> usize {
    let (mut depth, mut end, mut at) = (0_usize, 0, 0);
    for segment in received.split(|&byte| byte == b'/') {
        let segment_end = at + segment.len();
        match dots(segment) {
            Some(0 | 1) => {}
            Some(2) => depth = depth.saturating_sub(1),
            _ => {
                depth += 1;
                if depth == segments {
                    end = segment_end;
                }
            }
        }
        at = segment_end + 1;
    }
    end
}

/// How many dots a segment is, bare or encoded; `None`: it is not made of dots.
fn dots(mut segment: &[u8]) -> Option<usize> {
    let mut count = 0;
    loop {
        segment = match segment {
            [] => return Some(count),
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return None,
        };
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::path::split_query;

    fn rewritten(rewrite: &Rewrite, target: &str) -> Option<String> {
        let (path, query) = split_query(target.as_bytes()).expect("no fragment");
        let mut out = b"GET ".to_vec();
        rewrite
            .apply(path, query, &mut b"former".to_vec(), &mut out)
            .then(|| String::from_utf8_lossy(&out[4..]).into_owned())
    }

    #[test]
    fn a_stripped_prefix_leaves_a_path() {
        let strip = |prefix, target| rewritten(&Rewrite::strip_prefix(prefix).expect("a path"), target);
        let cases = [
            ("/admin", "/admin/x?q", Some("/x?q")),
            ("/admin", "/admin", Some("/")),
            ("/admin", "/admin?", Some("/?")),
            ("/admin", "/admin/", Some("/")),
            ("/admin/", "/admin/x", Some("/x")),
            ("/admin", "/%61dmin/x%2fy/%7E", Some("/x%2fy/%7E")),
            ("/admin", "/admin/a//b", Some("/a//b")),
            ("/admin", "/admin/a/./b/../c", Some("/a/./b/../c")),
            ("/admin", "/admin//evil.example/", Some("/evil.example/")),
            ("/admin", "/admin/x/../../%2e/admin/y", Some("/y")),
            ("/admin", "/admin/%2e%2E/admin/y", Some("/y")),
            ("/admin", "/admin/.../y", Some("/.../y")),
            ("/admin", "/../admin", None),
            ("/admin", "//admin//x?a=//%61", Some("/x?a=//%61")),
            ("/admin", "/y/../admin/./x", Some("/./x")),
            ("/admin", "/administrator", None),
            ("/admin", "/x/admin", None),
            ("/a/b", "/a/b/c/", Some("/c/")),
            ("/", "/a//b", Some("/a//b")),
            ("/", "", Some("/")),
            ("/a/b", "/a/x/../b/c", Some("/c")),
            ("/", "*", None),
        ];
        for (prefix, target, want) in cases {
            assert_eq!(strip(prefix, target).as_deref(), want, "{prefix} of {target}");
        }
    }

    #[test]
    fn a_replaced_prefix_keeps_one_slash_between_the_parts() {
        let cases = [
            ("/api", "/", "/api/x", "/x"),
            ("/api", "/v1", "/api/x?q=1", "/v1/x?q=1"),
            ("/api", "/v1/", "/api/x", "/v1/x"),
            ("/api", "/v1", "/api", "/v1"),
            ("/api", "/v1/", "/api", "/v1/"),
            ("/api", "/v1", "/api/", "/v1/"),
            ("/api", "/v1", "/api//x%2f", "/v1//x%2f"),
            ("/", "/app", "/x", "/app/x"),
            ("/", "/app", "/", "/app/"),
            ("/api", "/é", "/api/x", "/%C3%A9/x"),
        ];
        for (from, to, target, want) in cases {
            let rewrite = Rewrite::replace_prefix(from, to).expect("paths");
            assert_eq!(rewritten(&rewrite, target).as_deref(), Some(want), "{from} to {to} in {target}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert_eq!(Rewrite::strip_prefix("admin"), Err(("admin", PathError::NotAbsolute)));
        assert_eq!(Rewrite::replace_prefix("/a", ""), Err(("", PathError::NotAbsolute)));
        assert_eq!(Rewrite::replace_prefix("/a", "/b?c"), Err(("/b?c", PathError::Query)));
    }

    proptest! {
        #[test]
        fn only_the_prefix_goes(
            from in "(/[ab]){0,2}", to in "/([ab]/?){0,2}",
            received in "(/([abc]|\\.|\\.\\.|%2e|%61|%2F|)){0,8}",
        ) {
            let from = format!("/{from}");
            let rewrite = Rewrite::replace_prefix(&from, &to).expect("paths");
            let normal = normalise(received.as_bytes(), &mut Vec::new()).map(<[u8]>::to_vec).ok();
            let whole = |path: &[u8]| normalise(path, &mut Vec::new()).map(|path| String::from_utf8_lossy(path).into_owned());
            let rest = normal.as_ref().and_then(|normal| normal.strip_prefix(&*rewrite.from));
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
            match (rewritten(&rewrite, &received), rest) {
                (None, None) => {}
                (Some(out), Some(rest)) => {
                    // To a server it is what the normal path would have been, and it is at most what came.
                    let want = [rewrite.to.strip_suffix(b"/").unwrap_or(&rewrite.to), rest].concat();
                    let want = if rest.is_empty() { rewrite.to.to_vec() } else { want };
                    prop_assert_eq!(whole(out.as_bytes()), whole(&want));
                    prop_assert!(out.starts_with('/') && !out.starts_with("//"));
                    let to = String::from_utf8_lossy(&rewrite.to);
                    let kept = out.strip_prefix(to.trim_end_matches('/')).expect("begins with its new prefix");
                    prop_assert!(received.ends_with(kept) || kept == "/", "{} of {}", out, received);
                }
                (out, rest) => prop_assert!(false, "{:?} {:?}", out, rest),
            }
        }
    }
}
