//! Redirects, their target made from a template and the request.
//!
//! A client must not choose where others are sent. So the template itself, not what is filled in, decides where
//! the authority of the target ends, which is checked when it is parsed; and what is filled in is encoded to what
//! its place allows, whatever the caller checked before.

use http::StatusCode;

use super::rewrite::Rewrite;
use crate::http::edits::is_host_byte;
use crate::http::path::{is_bare, push_escape};
use crate::http::template::{Piece, Placeholder, Template, TemplateError, Variables};

/// A redirect to a place that may depend on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    target: Template,
    /// What is done to the path before it is filled in.
    rewrite: Option<Rewrite>,
}

/// Why a redirect is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The status does not redirect.
    #[error("{0} is no status to redirect with; use 301, 302, 303, 307 or 308")]
    Status(u16),
    /// A brace means nothing.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A character that a URI can't hold.
    #[error("`{0}` holds a space, a brace, a backslash or a character beyond ASCII; percent-encode it")]
    Character(String),
    /// The request could choose the host, or there is none.
    #[error(
        "`{0}` names no place to go; begin it with `https://HOST/`, `https://{{host_name}}` or `{{path}}`"
    )]
    Place(String),
    /// The request's host is not one. Rendering only.
    #[error("the request's host is no host")]
    Host,
}

impl Redirect {
    /// A redirect with `status` to `target`, in which placeholders stand for what the request has: `{scheme}`, `{host}`
    /// and the others of [`Variables`]. `{host}` comes with its port, so that `https://{host_name}{path}{query}` is what
    /// leads from port 80 to https. `{path}` is as received, but no slash is written twice where it meets the template's
    /// text.
    ///
    /// # Errors
    /// When the status is not 301, 302, 303, 307 or 308, or the template is not valid: see [`RedirectError`].
    pub fn new(status: u16, target: &str) -> Result<Self, RedirectError> {
        let known = StatusCode::from_u16(status).ok().filter(|_| matches!(status, 301..=303 | 307 | 308));
        let redirect = Self {
            status: known.ok_or(RedirectError::Status(status))?,
            target: template(target)?,
            rewrite: None,
        };
        if redirect.has_fixed_authority() {
            Ok(redirect)
        } else {
            Err(RedirectError::Place(target.to_owned()))
        }
    }

    /// Fills `{path}` with the rewritten path where the rewrite applies.
    pub(super) fn rewriting(self, rewrite: Option<Rewrite>) -> Self {
        Self { rewrite, ..self }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Appends the value of the Location field to `out`. It never holds more than visible ASCII.
    ///
    /// # Errors
    /// [`RedirectError::Host`] when the template asks for the host and the request's could be read as anything
    /// else; nothing is appended then. The request deserves a 400.
    pub fn render(&self, variables: &Variables<'_>, out: &mut Vec<u8>) -> Result<(), RedirectError> {
        let is_host = |placeholder| matches!(placeholder, Placeholder::Host | Placeholder::HostName);
        let host = variables.host;
        if self.target.placeholders().any(is_host)
            && (host.is_empty() || !host.iter().all(|&byte| is_host_byte(byte)))
        {
            return Err(RedirectError::Host);
        }
        let start = out.len();
        let mut is_behind_path = false;
        for piece in self.target.pieces() {
            match piece {
                Piece::Text(text) => {
                    // `{path}/x` must not begin with two slashes where the path is `/`.
                    let doubled = is_behind_path && out.ends_with(b"/");
                    let text = if doubled { text.strip_prefix('/').unwrap_or(text) } else { text };
                    out.extend_from_slice(text.as_bytes());
                }
                Piece::Placeholder(Placeholder::Path) => {
                    let mut scratch = Vec::new();
                    let rewrite = self.rewrite.as_ref();
                    let rewritten = rewrite.and_then(|rewrite| rewrite.parts(variables.path, &mut scratch));
                    push_path(out, start, &rewritten.unwrap_or([variables.path, b""]).concat());
                }
                Piece::Placeholder(placeholder) => {
                    let mut made = Vec::new();
                    placeholder.push(variables, &mut made);
                    let stays_in_host = |byte| is_host(*placeholder) && is_host_byte(byte);
                    push_encoded(out, &made, |byte| is_bare(byte) || byte == b'?' || stays_in_host(byte));
                }
            }
            is_behind_path = *piece == Piece::Placeholder(Placeholder::Path);
        }
        Ok(())
    }

    /// Whether the target is a path from the root, or begins with a scheme and an authority that ends before
    /// path and query come in. Tried on a request whose path and query can be told from the template's text.
    fn has_fixed_authority(&self) -> bool {
        let unknown: &[u8] = b"%00";
        let sample = Variables {
            method: unknown,
            host: b"host",
            path: b"/%00",
            query: Some(unknown),
            ..Variables::default()
        };
        let mut target = Vec::new();
        let plain = Self { rewrite: None, ..self.clone() };
        if plain.render(&sample, &mut target).is_err() {
            return false;
        }
        let target = String::from_utf8_lossy(&target);
        if let Some(rest) = target.strip_prefix('/') {
            return !rest.starts_with('/');
        }
        let Some((scheme, rest)) = target.split_once("://") else { return false };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
            && !authority.is_empty()
            && !authority.contains('%')
    }
}

/// Appends a path as it was received. One slash of it joins the template's text; where the target would begin with two,
/// which begin an authority, one is all there is.
fn push_path(out: &mut Vec<u8>, start: usize, path: &[u8]) {
    let slashes = path.iter().take_while(|&&byte| byte == b'/').count();
    let is_first = out[start..].iter().all(|&byte| byte == b'/');
    if !out[start..].ends_with(b"/") {
        out.push(b'/');
    }
    let joining = if is_first { slashes } else { slashes.min(1) };
    push_encoded(out, &path[joining..], is_bare);
}

/// Keeps escapes as they are, encodes what is not `allowed`: line breaks, backslashes and `#` among it.
fn push_encoded(out: &mut Vec<u8>, text: &[u8], allowed: impl Fn(u8) -> bool) {
    for &byte in text {
        match byte {
            _ if byte == b'%' || allowed(byte) => out.push(byte),
            _ => push_escape(out, byte),
        }
    }
}

fn template(text: &str) -> Result<Template, RedirectError> {
    let template = Template::parse(text)?;
    // Browsers read a backslash as a slash, so it may not stand where it seems to be none.
    let is_of_uri = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'{' | b'}');
    for piece in template.pieces() {
        if let Piece::Text(text) = piece
            && !text.bytes().all(is_of_uri)
        {
            return Err(RedirectError::Character(text.clone()));
        }
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn location(target: &str, variables: &Variables<'_>) -> String {
        let mut out = b"location: ".to_vec();
        Redirect::new(301, target).expect("a valid template").render(variables, &mut out).expect("a host");
        String::from_utf8_lossy(&out[10..]).into_owned()
    }

    fn asked<'a>(path: &'a str, query: Option<&'a str>) -> Variables<'a> {
        let (path, query) = (path.as_bytes(), query.map(str::as_bytes));
        Variables { host: b"shop.example", path, query, ..Variables::default() }
    }

    #[test]
    fn placeholders_stand_for_what_the_request_has() {
        let cases = [
            ("https://{host}{path}{query}", "/a/b", Some("c=d"), "https://shop.example/a/b?c=d"),
            ("https://{host}{path}{query}", "/", None, "https://shop.example/"),
            ("https://{host}{path}{query}", "/", Some(""), "https://shop.example/?"),
            ("{scheme}://{host}:8443{path}", "/a", Some("x"), "http://shop.example:8443/a"),
            ("https://www.{host}/{path}", "/a", None, "https://www.shop.example/a"),
            ("https://new.example/old{path}", "/a", None, "https://new.example/old/a"),
            ("https://new.example", "/a", None, "https://new.example"),
            ("https://new.example?from={path}", "/a", None, "https://new.example?from=/a"),
            ("/new{path}{query}", "/a", Some("b"), "/new/a?b"),
            ("{path}", "/a", None, "/a"),
            ("/{path}", "/a", None, "/a"),
            ("/", "/a", None, "/"),
            ("{path}/index", "/a", None, "/a/index"),
            ("{path}/index", "/", None, "/index"),
            ("{path}/{path}", "/", None, "/"),
            ("https://{host}{path}", "*", None, "https://shop.example/*"),
            ("https://{host_name}:{port}{path}", "/a", None, "https://shop.example:80/a"),
            ("https://{host}{path}", "//a%2fb//%7E/./c", None, "https://shop.example//a%2fb//%7E/./c"),
            ("https://{host}/{path}", "//a", None, "https://shop.example//a"),
            ("https://{host}/x?{method}&{client}", "/", None, "https://shop.example/x?GET&"),
            ("{path}", "//evil.example/", None, "/evil.example/"),
            ("/{path}", "//evil.example/", None, "/evil.example/"),
        ];
        for (target, path, query, want) in cases {
            assert_eq!(location(target, &asked(path, query)), want, "{target}");
        }
    }

    #[test]
    fn a_rewritten_path_is_filled_in() {
        let rewrite = Rewrite::strip_prefix("/old").expect("a path");
        let redirect =
            Redirect::new(308, "https://new.example/shop{path}").expect("valid").rewriting(Some(rewrite));
        for (path, want) in [("/old/x", "/shop/x"), ("/old", "/shop/"), ("/other", "/shop/other")] {
            let mut out = Vec::new();
            redirect.render(&asked(path, None), &mut out).expect("a host");
            assert_eq!(String::from_utf8_lossy(&out), format!("https://new.example{want}"));
        }
    }

    #[test]
    fn what_a_client_sends_does_not_break_out() {
        let hostile = asked("//evil.example/\\\r\nset-cookie: a", Some("\r\n<b>#\u{e9}[]"));
        assert_eq!(location("{path}", &hostile), "/evil.example/%5C%0D%0Aset-cookie:%20a");
        assert_eq!(location("/{query}", &hostile), "/?%0D%0A%3Cb%3E%23%C3%A9%5B%5D");
        for host in [
            &b""[..],
            b"a\r\nb",
            b"evil.example/",
            b"user@evil.example",
            b"a?",
            b"a#",
            b"a\\",
            b"a b",
            b"a%2f",
        ] {
            let redirect = Redirect::new(302, "https://{host}{path}").expect("valid");
            let mut out = b"kept".to_vec();
            let hostile = Variables { host, ..hostile };
            assert_eq!(
                redirect.render(&hostile, &mut out),
                Err(RedirectError::Host),
                "{}",
                host.escape_ascii()
            );
            assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn a_template_that_lets_the_client_choose_the_authority_is_refused() {
        let targets = [
            "",
            "{query}",
            "{host}{path}",
            "shop.example{path}",
            "https:{path}",
            "https:/{path}",
            "https://{path}",
            "//{host}{path}",
            "//shop.example/",
            "{scheme}:{path}",
            "ftp://{host}{path}",
            "javascript://x/",
            "https://",
        ];
        for target in targets {
            assert_eq!(Redirect::new(301, target), Err(RedirectError::Place(target.to_owned())));
        }
        // A query ends an authority as a slash does.
        assert!(Redirect::new(301, "https://shop.example{query}").is_ok());
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let cases = [
            ("/{uri}", TemplateError::Placeholder("uri".into()).into()),
            ("/{path", TemplateError::Brace("/{path".into()).into()),
            ("/{{a}}", RedirectError::Character("/{a}".into())),
            ("/a b", RedirectError::Character("/a b".into())),
            ("/\r\nx", RedirectError::Character("/\r\nx".into())),
            ("/\\evil{path}", RedirectError::Character("/\\evil".into())),
            ("/é", RedirectError::Character("/é".into())),
        ];
        for (target, want) in cases {
            assert_eq!(Redirect::new(301, target), Err(want), "{target:?}");
        }
        for status in [0, 200, 300, 304, 305, 306, 309, 404, 1000] {
            assert_eq!(Redirect::new(status, "/"), Err(RedirectError::Status(status)));
        }
    }

    proptest! {
        #[test]
        fn a_location_is_visible_ascii_under_the_authority_of_the_template(
            path in any::<Vec<u8>>(), query in any::<Option<Vec<u8>>>(),
        ) {
            let variables =
                Variables { host: b"h", path: &path, method: &path, query: query.as_deref(), ..Variables::default() };
            for (target, before) in [("https://{host}{path}{query}?{method}", "https://h/"), ("{path}{query}", "/")] {
                let out = location(target, &variables);
                prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
                let rest = out.strip_prefix(before);
                prop_assert!(rest.is_some_and(|rest| before != "/" || !rest.starts_with('/')), "{}", out);
            }
        }
    }
}
