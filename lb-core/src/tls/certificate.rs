//! One certificate with its key, as its files have it now.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureAlgorithm;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{X509Certificate, X509Version};

use super::error::{OcspProblem, TlsProblem};
use super::ocsp::Staple;
use super::{chain, ocsp, pem, provider};

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
    /// Which of the certificates behind it ends first, and when.
    chain_end: Option<(String, SystemTime)>,
    /// What is known of the OCSP response that `key` holds, if it holds one.
    staple: Option<Staple>,
    /// Why the response that its file holds is not in use.
    refused: Option<OcspProblem>,
}

impl Certificate {
    /// Reads and checks the files, as of `now`.
    pub(super) fn load(files: CertificateFiles, now: SystemTime) -> Result<Self, TlsProblem> {
        let pem = pem::read(&files.certificate)?;
        let chain = pem::certificates(&pem, &files.certificate)?;
        let key_pem = if files.key == files.certificate { pem } else { pem::read(&files.key)? };
        let key = pem::private_key(&key_pem, &files.key)?;
        let parsed = chain::parse(&chain, &files.certificate)?;
        let [leaf, ..] = &parsed[..] else {
            return Err(TlsProblem::NoCertificate { file: files.certificate });
        };
        if leaf.version() != X509Version::V3 {
            let version = leaf.version().0.saturating_add(1);
            return Err(TlsProblem::Version { file: files.certificate, version });
        }
        let mut key = certified(&chain, &key, &files)?;
        chain::check(&parsed, &files.certificate)?;
        let (names, validity) = (names(leaf), leaf.validity());
        let (not_before, not_after) =
            (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
        let chain_end = chain::first_end(&parsed).map(|(subject, at)| (subject, time(at)));
        let (mut staple, mut refused, mut response) = (None, None, None);
        // An empty file is one that whoever fetches responses has yet to fill.
        if let Some(read) = files.ocsp.as_deref().map(pem::read).transpose()?.filter(|read| !read.is_empty())
        {
            match ocsp::check(&read, &parsed, now) {
                Ok(checked) => (staple, response) = (Some(checked), Some(read)),
                Err(problem) => refused = Some(problem),
            }
        }
        key.ocsp = response;
        let key = Arc::new(key);
        Ok(Self { files, key, names, not_before, not_after, chain_end, staple, refused })
    }

    /// Goes on with the OCSP response of `before` where its file holds none of use now: until that is over, too, or the
    /// certificate is revoked.
    pub(super) fn keep_staple(mut self, before: &Self, now: SystemTime) -> Self {
        let is_revoked = self.refused == Some(OcspProblem::Revoked);
        let is_over = before.staple.is_none_or(|staple| staple.until.is_some_and(|until| until <= now));
        if self.refused.is_some() && !is_revoked && !is_over && self.key.cert == before.key.cert {
            (self.key, self.staple) = (Arc::clone(&before.key), before.staple);
        }
        self
    }

    /// The same at `now`, when its OCSP response may be over.
    pub(super) fn as_of(&self, now: SystemTime) -> Self {
        let mut same = self.clone();
        if let Some(until) = self.staple_end().filter(|until| *until <= now) {
            same.key = Arc::new(CertifiedKey { ocsp: None, ..CertifiedKey::clone(&self.key) });
            (same.staple, same.refused) = (None, Some(OcspProblem::Expired(until)));
        }
        same
    }

    /// When the OCSP response is over.
    pub(super) fn staple_end(&self) -> Option<SystemTime> {
        self.staple?.until
    }

    /// Whether its files hold anything new compared with `before`.
    pub(super) fn is_renewal_of(&self, before: &Self) -> bool {
        self.key.cert != before.key.cert || self.key.ocsp.is_some() && self.key.ocsp != before.key.ocsp
    }

    /// Whether there is another thing to say of its OCSP response than of `before`'s.
    pub(super) fn is_refused_otherwise(&self, before: &Self) -> bool {
        self.refused != before.refused
    }

    pub(super) fn is_ecdsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::ECDSA
    }

    /// For people, with why what its files hold now is not in use.
    pub(super) fn status(&self, error: Option<String>) -> CertificateStatus {
        let (names, not_after) = (self.names.clone(), self.not_after);
        let error = error.or_else(|| self.ocsp_warning().map(|problem| problem.to_string()));
        CertificateStatus { file: self.files.certificate.clone(), names, not_after, error }
    }

    /// What is to be warned of.
    pub(super) fn warnings(&self, now: SystemTime) -> impl Iterator<Item = TlsProblem> {
        [self.time_warning(now), self.chain_warning(now), self.ocsp_warning()].into_iter().flatten()
    }

    fn time_warning(&self, now: SystemTime) -> Option<TlsProblem> {
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

    /// Where the chain ends before the site's own certificate does.
    fn chain_warning(&self, now: SystemTime) -> Option<TlsProblem> {
        let (subject, at) = self.chain_end.as_ref()?;
        let is_first = *at < self.not_after && *at <= now + WARN_BEFORE;
        let file = self.files.certificate.clone();
        is_first.then(|| TlsProblem::ChainEnds { file, subject: subject.clone(), at: *at })
    }

    fn ocsp_warning(&self) -> Option<TlsProblem> {
        let file = self.files.ocsp.clone()?;
        let is_unverified = self.staple.is_some_and(|staple| !staple.is_verified);
        match self.refused.clone() {
            Some(why) => Some(TlsProblem::Ocsp { file, why }),
            None => is_unverified.then_some(TlsProblem::OcspUnverified { file }),
        }
    }
}

/// The chain with its key, which is that of the first certificate.
fn certified(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    files: &CertificateFiles,
) -> Result<CertifiedKey, TlsProblem> {
    let with_key = |chain: &[CertificateDer<'static>]| {
        CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider())
    };
    let certificate = files.certificate.clone();
    with_key(chain).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let key = files.key.clone();
            match chain.iter().position(|other| with_key(std::slice::from_ref(other)).is_ok()) {
                Some(at) => TlsProblem::LeafNotFirst { certificate, key, place: at + 1 },
                None => TlsProblem::Mismatch { certificate, key },
            }
        }
        rustls::Error::InvalidCertificate(error) => {
            TlsProblem::Malformed { file: certificate, why: error.to_string() }
        }
        error => TlsProblem::Key { key: files.key.clone(), why: error.to_string() },
    })
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
        let problem = Certificate::load(CertificateFiles::new(&file, &file), SystemTime::now()).unwrap_err();
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
        let certificate = Certificate::load(CertificateFiles::new(&file, &file), SystemTime::now()).unwrap();
        assert_eq!(certificate.names, ["shop.example"]);
        let (second, end) = (Duration::from_secs(1), certificate.not_after);
        let said = |now| {
            let warning =
                certificate.warnings(now).next().map(|problem| problem.to_string()).unwrap_or_default();
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
