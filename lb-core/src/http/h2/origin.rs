//! Where the requests of a connection come from.

use crate::net::{Said, Secure, Stream};

/// What a connection shows of its client to each of its streams.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) is_secure: bool,
    pub(super) scheme: &'static str,
    pub(super) subject: Option<Box<str>>,
    /// What servers may be told of it.
    pub(super) said: Said,
}

impl Origin {
    pub(super) fn of(stream: &Stream, front: Option<&Said>) -> Self {
        let secure = stream.secure();
        let subject = secure.and_then(Secure::subject).map(Box::from);
        let said = Said::of(stream, front);
        // Our own TLS is said there, too.
        let scheme = if said.is_secure() { "https" } else { "http" };
        Self { is_secure: secure.is_some(), scheme, subject, said }
    }
}
