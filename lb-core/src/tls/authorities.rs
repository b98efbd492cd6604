//! Whose signatures are believed, as a file has it now.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::error::TlsProblem;
use super::pem;
use super::pins::Pins;
use super::watch::Renewal;

/// A file of authorities in use, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritiesStatus {
    /// The file they were read from.
    pub file: PathBuf,
    /// Why what it holds now is not in use; `None` if it is.
    pub error: Option<String>,
}

/// Authorities, and the file they were read from.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    pub(super) file: PathBuf,
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates themselves, which may be shown, too.
    pub(super) certificates: Pins,
    /// Why the file's content of now is not in use.
    failure: Option<String>,
}

impl Authorities {
    pub(super) fn load(file: &Path) -> Result<Self, TlsProblem> {
        let certificates = pem::certificates(&pem::read(file)?, file)?;
        let roots = Arc::new(roots(&certificates, file)?);
        Ok(Self { file: file.to_owned(), roots, certificates: certificates.into(), failure: None })
    }

    /// As the file has them now, if they are others.
    pub(super) fn renewed(&self) -> Result<Option<Self>, TlsProblem> {
        Self::load(&self.file).map(|fresh| (fresh != *self).then_some(fresh))
    }

    /// Takes what the file says now, if that is anything.
    pub(super) fn renew(&mut self, renewal: &mut Renewal) {
        match self.renewed() {
            Ok(None) => self.failure = None,
            Ok(Some(fresh)) => {
                renewal.renewed.push(fresh.file.clone());
                *self = fresh;
            }
            Err(problem) => self.refuse(problem, renewal),
        }
    }

    /// Goes on with what is in use.
    pub(super) fn refuse(&mut self, problem: TlsProblem, renewal: &mut Renewal) {
        self.failure = Some(problem.to_string());
        renewal.refused.push((self.file.clone(), problem));
    }

    pub(super) fn status(&self) -> AuthoritiesStatus {
        AuthoritiesStatus { file: self.file.clone(), error: self.failure.clone() }
    }
}

/// Two are equal where they believe the same.
impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

fn roots(certificates: &[CertificateDer<'static>], file: &Path) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|error| {
            let why = format!("certificate {} is no X.509 certificate ({error})", at + 1);
            TlsProblem::Malformed { file: file.to_owned(), why }
        })?;
    }
    Ok(roots)
}
