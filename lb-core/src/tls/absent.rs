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

impl Termination {
    /// The certificates in use.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        match self.0 {}
    }

    pub(crate) fn config(&self, _: &[&[u8]]) -> Infallible {
        self.0
    }

    pub(crate) fn inherit(&self, _: &Self) {
        match self.0 {}
    }
}

impl Origination {
    pub(crate) fn never(&self) -> ! {
        match self.0 {}
    }

    pub(crate) fn has_name(&self, _: Option<&str>) -> bool {
        match self.0 {}
    }
}

pub(crate) async fn watch(_: &str, termination: &Termination, _: impl FnMut(bool)) {
    match termination.0 {}
}
