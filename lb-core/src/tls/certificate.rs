//! One certificate with its key, as its files have it now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureAlgorithm;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::error::TlsProblem;
use super::{pem, provider};

/// From so long before its end on, a certificate is warned of: time for two tries of a monthly renewal.
pub(super) const WARN_BEFORE: Duration = Duration::from_secs(21 * 24 * 60 * 60);

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) ocsp: Option<PathBuf>,
}

impl CertificateFiles {
    /// The chain, the site's own certificate first, and its key, both in PEM; they may be one file.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), ocsp: None }
    }

    /// A response of the authority's OCSP responder, in DER, that clients get along with the certificate.
    #[must_use]
    pub fn ocsp(mut self, response: impl Into<PathBuf>) -> Self {
        self.ocsp = Some(response.into());
        self
    }

    /// The file of the chain.
    pub fn certificate_file(&self) -> &Path {
        &self.certificate
    }

    /// The file of the key.
    pub fn key_file(&self) -> &Path {
        &self.key
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.ocsp).map(PathBuf::as_path)
    }
}

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

/// A certificate that can be shown.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) files: CertificateFiles,
    pub(super) key: Arc<CertifiedKey>,
    /// Lower-case DNS names, wildcards as `*.example`.
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Certificate {
    /// Reads and checks the files.
    pub(super) fn load(files: CertificateFiles) -> Result<Self, TlsProblem> {
        let pem = pem::read(&files.certificate)?;
        let chain = pem::certificates(&pem, &files.certificate)?;
        let key_pem = if files.key == files.certificate { pem } else { pem::read(&files.key)? };
        let key = pem::private_key(&key_pem, &files.key)?;
        let malformed = |why: String| TlsProblem::Malformed { file: files.certificate.clone(), why };
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|error| malformed(error.to_string()))?;
        if leaf.version() != X509Version::V3 {
            let version = leaf.version().0.saturating_add(1);
            return Err(TlsProblem::Version { file: files.certificate.clone(), version });
        }
        let (names, validity) = (names(&leaf), leaf.validity());
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let mut key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsProblem::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() }
            }
            rustls::Error::InvalidCertificate(error) => malformed(error.to_string()),
            error => TlsProblem::Key { key: files.key.clone(), why: error.to_string() },
        })?;
        if let Some(ocsp) = &files.ocsp {
            key.ocsp = Some(pem::read(ocsp)?).filter(|response| !response.is_empty());
        }
        let (not_before, not_after) = (time(not_before), time(not_after));
        Ok(Self { files, key: Arc::new(key), names, not_before, not_after })
    }

    pub(super) fn is_ecdsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::ECDSA
    }

    /// Whether clients can't tell it from `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert && self.key.ocsp == other.key.ocsp
    }

    /// For people, with why what its files hold now is not in use.
    pub(super) fn status(&self, error: Option<String>) -> CertificateStatus {
        let (names, not_after) = (self.names.clone(), self.not_after);
        CertificateStatus { file: self.files.certificate.clone(), names, not_after, error }
    }

    /// What is to be warned of.
    pub(super) fn warning(&self, now: SystemTime) -> Option<TlsProblem> {
        let file = self.files.certificate.clone();
        if now < self.not_before {
            Some(TlsProblem::NotYetValid { file, at: self.not_before })
        } else if self.not_after <= now {
            Some(TlsProblem::Expired { file, at: self.not_after })
        } else if self.not_after <= now + WARN_BEFORE {
            Some(TlsProblem::Expiring { file, at: self.not_after })
        } else {
            None
        }
    }
}

/// The DNS names of the subject's alternatives; RFC 6125 section 6.4.4: the common name counts where there are none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if alternatives.is_none() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

fn time(timestamp: i64) -> SystemTime {
    u64::try_from(timestamp)
        .map_or(SystemTime::UNIX_EPOCH, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// By `openssl x509 -req -signkey` without a file of extensions.
    const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBJTCBywIUf1djhSlesuYikUBE2atvcwXC9wswCgYIKoZIzj0EAwIwFDESMBAG\n\
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTExNDg0MloYDzIwODEwODI0MTE0ODQy\n\
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AARbd0MnBYjDNmdOO6olmEZRnz0VTS4tFcui71xE4OLy+ARxzOe5OxdhVtyXAslj\n\
jEFB9hPcq3iwhgSTjd5bdbAmMAoGCCqGSM49BAMCA0kAMEYCIQCxiWhxwRx0Jx9V\n\
EEYD+arQH0bgMISHfy02BMdgqMPHqQIhALg+HM55iKIsaAb2oZZo4WRznYKdahNS\n\
dGBThF8EEpZG\n\
-----END CERTIFICATE-----\n\
";

    #[test]
    fn a_certificate_of_version_1_is_told_from_a_damaged_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("site.pem");
        std::fs::write(&file, VERSION_1.to_owned() + &KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let problem = Certificate::load(CertificateFiles::new(&file, &file)).unwrap_err();
        assert!(matches!(problem, TlsProblem::Version { version: 1, .. }), "{problem}");
    }

    #[test]
    fn a_certificate_is_warned_of_from_21_days_before_its_end() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["Shop.Example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 3, 1);
        params.not_after = date_time_ymd(2030, 6, 1);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("site.pem");
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        std::fs::write(&file, pem).unwrap();
        let certificate = Certificate::load(CertificateFiles::new(&file, &file)).unwrap();
        assert_eq!(certificate.names, ["shop.example"]);
        let (second, end) = (Duration::from_secs(1), certificate.not_after);
        let said = |now| {
            let warning = certificate.warning(now).map(|problem| problem.to_string()).unwrap_or_default();
            warning.replace(file.to_str().unwrap(), "FILE")
        };
        assert_eq!(
            said(certificate.not_before - second),
            "the certificate in FILE is not valid before 2030-03-01; check this machine's clock"
        );
        assert_eq!(said(certificate.not_before), "");
        assert_eq!(said(end - WARN_BEFORE - second), "");
        let expiring = "the certificate in FILE expires on 2030-06-01; renew it";
        assert_eq!(said(end - WARN_BEFORE), expiring);
        assert_eq!(said(end - second), expiring);
        assert_eq!(said(end), "the certificate in FILE expired on 2030-06-01; renew it");
    }
}
