//! Filters: an embedder's own code between a request's head and its server.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use http::{HeaderName, HeaderValue, StatusCode};

use super::head::{RequestHead, ResponseHead, is_named, values};
use super::reply::Reply;

/// Looks at each exchange's heads; may edit them, or answer in the server's place.
///
/// Filters of a frontend run in the order they were added, on every request that a route with a backend matched,
/// and in the reverse order on the response's head. They run on the worker: what takes long returns
/// [`Verdict::Wait`].
///
/// ```
/// use lb_core::http::{Filter, Reply, Request, Verdict};
///
/// /// Lets pass only who knows the key.
/// struct RequireApiKey(&'static [u8]);
///
/// impl Filter for RequireApiKey {
///     fn request(&self, request: &mut Request<'_>) -> Verdict {
///         match request.header("x-api-key") {
///             Some(key) if key == self.0 => Verdict::Continue,
///             _ => Verdict::Answer(Reply::text(http::StatusCode::UNAUTHORIZED, "x-api-key is missing or wrong\n")),
///         }
///     }
/// }
/// ```
pub trait Filter: Send + Sync + 'static {
    /// Called when a request's head has been read and routed, before a server is chosen. The default goes on.
    fn request(&self, request: &mut Request<'_>) -> Verdict {
        let _ = request;
        Verdict::Continue
    }

    /// Called when the server's response head has been read, before anything of it was sent on. Not called for
    /// answers of the proxy itself. The default changes nothing.
    fn response(&self, response: &mut Response<'_>) {
        let _ = response;
    }
}

/// What a filter decides about a request.
#[non_exhaustive]
pub enum Verdict {
    /// The next filter, or the server, takes over.
    Continue,
    /// The exchange is answered; nothing goes to a server.
    Answer(Reply),
    /// The decision takes time (a look-up, say). `Some` answers, `None` goes on.
    Wait(Pin<Box<dyn Future<Output = Option<Reply>> + Send>>),
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continue => "Continue",
            Self::Answer(_) => "Answer",
            Self::Wait(_) => "Wait",
        })
    }
}

/// A request's head as a filter sees it.
#[derive(Debug)]
pub struct Request<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
    pub(super) edits: &'a mut Edits,
    pub(super) client: Option<SocketAddr>,
    pub(super) client_subject: Option<&'a str>,
    pub(super) frontend: &'a str,
    pub(super) backend: &'a str,
}

impl Request<'_> {
    /// The method, such as `GET`.
    pub fn method(&self) -> &[u8] {
        &self.bytes[self.head.method]
    }

    /// The path as the client sent it, not normalised.
    pub fn path(&self) -> &[u8] {
        &self.bytes[self.head.target.path]
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&[u8]> {
        self.bytes[self.head.target.query].strip_prefix(b"?")
    }

    /// The host, with its port if the client named one.
    pub fn host(&self) -> &[u8] {
        &self.bytes[self.head.authority]
    }

    /// The first field called `name`, in any letter case, as the client sent it.
    pub fn header<'s>(&'s self, name: &'s str) -> Option<&'s [u8]> {
        self.headers(name).next()
    }

    /// All fields called `name`, in any letter case, as the client sent them.
    pub fn headers<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        values(&self.head.fields, self.bytes, name.as_bytes())
    }

    /// Where the client's connection comes from; `None` on a unix socket.
    pub fn client_addr(&self) -> Option<SocketAddr> {
        self.client
    }

    /// The subject of the certificate that the client showed and that was verified, such as `CN=alice, O=Shop`, escaped
    /// by RFC 4514: `bob, CN=admin` for a name is `CN=bob\, CN=admin`, `Zoë` is `CN=Zo\C3\AB`. Visible ASCII alone.
    pub fn client_subject(&self) -> Option<&str> {
        self.client_subject
    }

    /// The frontend's name.
    pub fn frontend(&self) -> &str {
        self.frontend
    }

    /// The name of the backend that the route chose.
    pub fn backend(&self) -> &str {
        self.backend
    }

    /// Replaces every field called `name`. Fields that frame the message or concern the connection are the proxy's:
    /// setting them does nothing.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.set(name, value);
    }

    /// Takes out every field called `name`.
    pub fn remove_header(&mut self, name: HeaderName) {
        self.edits.remove(name);
    }
}

/// A response's head as a filter sees it.
#[derive(Debug)]
pub struct Response<'a> {
    pub(super) head: &'a ResponseHead,
    pub(super) bytes: &'a [u8],
    pub(super) edits: &'a mut Edits,
}

impl Response<'_> {
    /// The status, such as 200.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.head.status).unwrap_or(StatusCode::BAD_GATEWAY)
    }

    /// The first field called `name`, in any letter case, as the server sent it.
    pub fn header<'s>(&'s self, name: &'s str) -> Option<&'s [u8]> {
        values(&self.head.fields, self.bytes, name.as_bytes()).next()
    }

    /// Replaces every field called `name`; see [`Request::set_header`].
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.set(name, value);
    }

    /// Takes out every field called `name`.
    pub fn remove_header(&mut self, name: HeaderName) {
        self.edits.remove(name);
    }
}

/// What filters changed about one head.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    set: Vec<(HeaderName, HeaderValue)>,
    removed: Vec<HeaderName>,
}

impl Edits {
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        if !super::edits::is_reserved(&name) {
            self.set.retain(|(known, _)| *known != name);
            self.set.push((name, value));
        }
    }

    fn remove(&mut self, name: HeaderName) {
        self.set.retain(|(known, _)| *known != name);
        if !super::edits::is_reserved(&name) && name != http::header::HOST {
            self.removed.push(name);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
        self.removed.clear();
    }

    /// Whether received fields of this name are left out.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        let mut names = self.removed.iter().chain(self.set.iter().map(|(name, _)| name));
        names.any(|edited| is_named(edited.as_str(), name))
    }

    /// The fields to write after those received.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.set.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}
