//! TLS on frontends.

use http::{HeaderName, HeaderValue};

use super::HttpFrontend;
use crate::http::{Filter, Request, Verdict};
use crate::tls::Termination;

impl HttpFrontend {
    /// Ends TLS: clients are served over HTTPS only. A client in clear text is told so (400).
    #[must_use]
    pub fn tls(mut self, termination: Termination) -> Self {
        self.listening.tls = Some(termination);
        self
    }

    /// Tells servers the subject of the client's certificate in this field, such as `CN=alice, O=Shop`, escaped by
    /// RFC 4514, so that two subjects never read alike. What clients send in it themselves is taken out, whether they
    /// show a certificate or not.
    #[must_use]
    pub fn client_subject_header(mut self, name: HeaderName) -> Self {
        self.filters.insert(0, std::sync::Arc::new(ClientSubject(name)));
        self
    }
}

/// Hands the subject on.
struct ClientSubject(HeaderName);

impl Filter for ClientSubject {
    fn request(&self, request: &mut Request<'_>) -> Verdict {
        match request.client_subject().and_then(|subject| HeaderValue::from_str(subject).ok()) {
            Some(subject) => request.set_header(self.0.clone(), subject),
            None => request.remove_header(self.0.clone()),
        }
        Verdict::Continue
    }
}
