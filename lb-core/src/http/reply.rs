//! Answers of the proxy itself.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// A response that no server gave: of a filter, a route's `respond` or `redirect`, or the proxy's own refusal.
///
/// ```
/// use http::StatusCode;
/// use lb_core::http::Reply;
///
/// let closed = Reply::text(StatusCode::SERVICE_UNAVAILABLE, "closed for today\n");
/// assert_eq!(closed.status(), 503);
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Reply {
    /// A reply without a body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, fields: Vec::new(), body: Bytes::new() }
    }

    /// A reply with a body of type `text/plain; charset=utf-8`.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::new(status).header(header::CONTENT_TYPE, plain).body(body)
    }

    /// Adds a field. Length and framing are the proxy's own and left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if !super::edits::is_reserved(&name) {
            self.fields.push((name, value));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Answers OPTIONS for the proxy itself.
    pub(crate) fn options() -> Self {
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        Self::new(StatusCode::OK).header(header::ALLOW, methods)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.body
    }
}
