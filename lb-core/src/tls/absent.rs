//! TLS left out of the build: what stands in its place and can't exist.

#![allow(dead_code, reason = "who would use it may be left out, too")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::SystemTime;

/// TLS to clients, of which there is none.
#[derive(Clone, Debug)]
pub struct Termination(Infallible);

/// TLS to servers, of which there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Origination(Infallible);

/// A certificate in use, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The file it was read from.
    pub file: PathBuf,
    /// The names it is for.
    pub names: Vec<String>,
    /// When its time is over.
    pub not_after: SystemTime,
    /// Why what its files hold now is not in use; `None` if it is.
    pub error: Option<String>,
}

/// A file of authorities in use, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritiesStatus {
    /// The file they were read from.
    pub file: PathBuf,
    /// Why what it holds now is not in use; `None` if it is.
    pub error: Option<String>,
}

impl Termination {
    /// The certificates in use.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        match self.0 {}
    }

    /// The authorities that sign clients' certificates, if any are asked for.
    pub fn client_authorities(&self) -> Option<AuthoritiesStatus> {
        match self.0 {}
    }

    pub(crate) fn offer(&self, _: &[&[u8]]) -> Infallible {
        self.0
    }

    pub(crate) fn inherit(&self, _: &Self) {
        match self.0 {}
    }
}

impl Origination {
    /// The authorities of its own, if it has some.
    pub fn authorities(&self) -> Option<AuthoritiesStatus> {
        match self.0 {}
    }

    /// The certificate that servers are shown, if there is one.
    pub fn certificate(&self) -> Option<CertificateStatus> {
        match self.0 {}
    }

    pub(crate) fn never(&self) -> ! {
        match self.0 {}
    }

    pub(crate) fn has_name(&self, _: Option<&str>) -> bool {
        match self.0 {}
    }

    pub(crate) fn inherit(&self, _: &Self) {
        match self.0 {}
    }
}

/// What is made of files that may be renewed.
pub(crate) trait Watched: Clone + Send + 'static {
    fn never(&self) -> !;
}

impl Watched for Termination {
    fn never(&self) -> ! {
        match self.0 {}
    }
}

impl Watched for Origination {
    fn never(&self) -> ! {
        match self.0 {}
    }
}

/// Whose files are watched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    Frontend(&'a str),
    Backend(&'a str),
}

pub(crate) async fn watch(_: Owner<'_>, watched: &impl Watched, _: impl FnMut(bool)) {
    watched.never()
}
