//! Rewriting the path of a request that goes to a server.

use crate::http::path::{PathError, normalise_written};

/// Another prefix for a path.
///
/// Works on the normalised path, as matching does: otherwise `//admin/x` would match a route on `/admin` and keep
/// the prefix that the route strips. So a request that is rewritten is the one case in which the normalised path
/// is forwarded and not what the client sent; the query always goes on as it came.
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

    /// Appends the rewritten target to `out`. False, and nothing appended, when the normalised `path` does not
    /// begin with the prefix: then the target is forwarded as it came.
    pub fn apply(&self, path: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
        let Some(parts) = self.parts(path) else { return false };
        parts.into_iter().for_each(|part| out.extend_from_slice(part));
        if let Some(query) = query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        true
    }

    /// The rewritten path in two pieces.
    pub(super) fn parts<'a>(&'a self, path: &'a [u8]) -> Option<[&'a [u8]; 2]> {
        match path.strip_prefix(&*self.from)? {
            [] => Some([&self.to, b""]),
            rest @ [b'/', ..] => Some([self.to.strip_suffix(b"/").unwrap_or(&self.to), rest]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::path::{normalise, split_query};

    fn rewritten(rewrite: &Rewrite, target: &str) -> Option<String> {
        let (path, query) = split_query(target.as_bytes()).expect("no fragment");
        let mut scratch = Vec::new();
        let path = normalise(path, &mut scratch).expect("a path");
        let mut out = b"GET ".to_vec();
        rewrite.apply(path, query, &mut out).then(|| String::from_utf8_lossy(&out[4..]).into_owned())
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
            ("/admin", "/%61dmin/x%2fy", Some("/x%2Fy")),
            ("/admin", "//admin//x?a=//%61", Some("/x?a=//%61")),
            ("/admin", "/y/../admin/./x", Some("/x")),
            ("/admin", "/administrator", None),
            ("/admin", "/x/admin", None),
            ("/a/b", "/a/b/c/", Some("/c/")),
            ("/", "/a//b", Some("/a/b")),
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
        fn what_comes_out_is_a_normal_path(from in "(/[ab]){0,2}/?", to in "/([ab]/?){0,2}", rest in "(/[abc]{1,2}){0,3}/?") {
            let (from, rest) = (format!("/{from}"), rest.as_str());
            let rewrite = Rewrite::replace_prefix(&from, &to).expect("paths");
            let out = rewritten(&rewrite, &format!("{from}/{rest}")).expect("begins with the prefix");
            let mut scratch = Vec::new();
            prop_assert_eq!(normalise(out.as_bytes(), &mut scratch), Ok(out.as_bytes()));
        }
    }
}
