//! The certificates of one frontend, and which of them a client is shown.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SignatureScheme};

use super::certificate::{Certificate, CertificateFiles, CertificateStatus};
use super::error::{TlsPart, TlsProblem};
use super::pem::{self, Contents};
use super::watch::Renewal;
use crate::live::Live;

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Files(CertificateFiles),
    Directory(PathBuf),
}

/// The certificates in use; a renewed one replaces the one of the same files.
#[derive(Debug)]
pub(super) struct Store {
    sources: Vec<Source>,
    table: Live<Table>,
    /// What the files hold that could not be taken, by the certificate's file.
    failures: Mutex<BTreeMap<PathBuf, String>>,
}

impl Store {
    /// Reads everything; all problems at once.
    pub(super) fn load(sources: Vec<Source>) -> Result<Self, Vec<(TlsPart, TlsProblem)>> {
        let now = SystemTime::now();
        let (mut certificates, mut problems) = (Vec::new(), Vec::new());
        for (at, source) in sources.iter().enumerate() {
            let part = TlsPart::Certificate(at);
            match source.files() {
                Ok(files) => {
                    for files in files {
                        match Certificate::load(files, now) {
                            Ok(certificate) => certificates.push(certificate),
                            Err(problem) => problems.push((part, problem)),
                        }
                    }
                }
                Err(problem) => problems.push((part, problem)),
            }
        }
        if certificates.is_empty() && problems.is_empty() {
            problems.push((TlsPart::Whole, TlsProblem::None));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { sources, table: Live::new(Table::new(certificates)), failures: Mutex::default() })
    }

    /// Reads everything again. What can't be taken leaves what is in use in its place.
    pub(super) fn renew(&self) -> Renewal {
        let (mut renewal, mut certificates, now) = (Renewal::default(), Vec::new(), SystemTime::now());
        let table = self.table.load_full();
        for source in &self.sources {
            let files = match source.files() {
                Ok(files) => files,
                Err(problem) => {
                    certificates.extend(table.of(source).map(|known| renewal.keep(known, now)));
                    renewal.refused.push((source.path().to_owned(), problem));
                    continue;
                }
            };
            for files in files {
                let known = table.certificates.iter().find(|known| known.files == files);
                match (Certificate::load(files.clone(), now), known) {
                    (Ok(fresh), Some(known)) => certificates.push(renewal.take(fresh, known, now)),
                    (Ok(fresh), None) => {
                        renewal.renewed.push(files.certificate);
                        certificates.push(fresh);
                    }
                    (Err(problem), known) => {
                        certificates.extend(known.map(|known| renewal.keep(known, now)));
                        renewal.refused.push((files.certificate, problem));
                    }
                }
            }
        }
        if !certificates.is_empty() {
            self.table.store(Arc::new(Table::new(certificates)));
        }
        let failures = renewal.refused.iter().map(|(file, problem)| (file.clone(), problem.to_string()));
        *self.failures.lock().unwrap_or_else(PoisonError::into_inner) = failures.collect();
        renewal
    }

    /// When the first of the OCSP responses in use is over.
    pub(super) fn staple_end(&self) -> Option<SystemTime> {
        self.table.load().certificates.iter().filter_map(Certificate::staple_end).min()
    }

    /// The files to look at for changes, directories included.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for source in &self.sources {
            if let Source::Directory(directory) = source {
                paths.push(directory.clone());
            }
            for files in source.files().into_iter().flatten() {
                paths.extend(files.paths().map(Path::to_owned));
            }
        }
        paths.dedup();
        paths
    }

    /// What is to be warned of, with the part it is of.
    pub(super) fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        let table = self.table.load();
        let part = |certificate: &Certificate| {
            let at = self.sources.iter().position(|source| source.covers(certificate));
            at.map_or(TlsPart::Whole, TlsPart::Certificate)
        };
        let warnings = table.certificates.iter().flat_map(|certificate| {
            certificate.warnings(now).map(move |problem| (part(certificate), problem))
        });
        warnings.collect()
    }

    pub(super) fn status(&self) -> Vec<CertificateStatus> {
        let table = self.table.load_full();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut failure = |certificate: &Certificate| failures.remove(&certificate.files.certificate);
        table.certificates.iter().map(|certificate| certificate.status(failure(certificate))).collect()
    }
}

impl Source {
    /// The certificates it names now. In a directory: `NAME.pem`, `NAME.crt` or `NAME.cer` with the key in the same
    /// file or in `NAME.key`, and `NAME.ocsp` beside it.
    fn files(&self) -> Result<Vec<CertificateFiles>, TlsProblem> {
        match self {
            Self::Files(files) => Ok(vec![files.clone()]),
            Self::Directory(directory) => files_in(directory),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Files(files) => &files.certificate,
            Self::Directory(directory) => directory,
        }
    }

    fn covers(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Files(files) => *files == certificate.files,
            Self::Directory(directory) => certificate.files.certificate.parent() == Some(directory),
        }
    }
}

fn files_in(directory: &Path) -> Result<Vec<CertificateFiles>, TlsProblem> {
    let unreadable = |error: std::io::Error| TlsProblem::Unreadable {
        file: directory.to_owned(),
        error: error.to_string(),
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_named = path.extension().is_some_and(|end| end == "pem" || end == "crt" || end == "cer");
        if !is_hidden && is_named && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let beside = path.with_extension("key");
        let key = match pem::contents(&pem::read(&path)?, &path) {
            // It stands beside its certificate.
            Contents::Key => continue,
            Contents::Certificates if beside.exists() => beside,
            Contents::Certificates | Contents::Both => path.clone(),
        };
        let files = CertificateFiles::new(&path, key);
        let ocsp = path.with_extension("ocsp");
        all.push(if ocsp.exists() { files.ocsp(ocsp) } else { files });
    }
    if all.is_empty() {
        return Err(TlsProblem::EmptyDirectory { directory: directory.to_owned() });
    }
    Ok(all)
}

/// Certificates by name. Immutable: a renewal makes a new one.
#[derive(Debug)]
struct Table {
    /// Invariant: not empty; the first is the default.
    certificates: Vec<Certificate>,
    /// Indices into `certificates`, for exact names and for what follows the `*` of wildcards; ECDSA first.
    exact: HashMap<Box<str>, Vec<usize>>,
    wildcard: HashMap<Box<str>, Vec<usize>>,
    default: Vec<usize>,
}

impl Table {
    fn new(certificates: Vec<Certificate>) -> Self {
        let mut order: Vec<usize> = (0..certificates.len()).collect();
        // Stable: among equals the one named first. An ECDSA signature costs a tenth of an RSA one.
        order.sort_by_key(|at| !certificates[*at].is_ecdsa());
        let (mut exact, mut wildcard) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for &at in &order {
            for name in &certificates[at].names {
                match name.strip_prefix('*') {
                    Some(suffix) => wildcard.entry(suffix.into()).or_default().push(at),
                    None => exact.entry(name.as_str().into()).or_default().push(at),
                }
            }
        }
        // The default's siblings: same names, another kind of key.
        let names = certificates.first().map(|first| first.names.clone()).unwrap_or_default();
        let default = order.into_iter().filter(|at| *at == 0 || certificates[*at].names == names).collect();
        Self { certificates, exact, wildcard, default }
    }

    /// What can be shown for `name`, in the order of preference: by the exact name, then by a wildcard for its first
    /// label (RFC 6125 section 6.4.3), then the default.
    fn candidates(&self, name: Option<&str>) -> &[usize] {
        let by_name = name.and_then(|name| {
            let suffix = || name.find('.').and_then(|dot| self.wildcard.get(&name[dot..]));
            self.exact.get(name).or_else(suffix)
        });
        by_name.unwrap_or(&self.default)
    }

    fn of<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Certificate> {
        self.certificates.iter().filter(|certificate| source.covers(certificate))
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        // rustls has checked the name and made it lower-case; a dot at its end is not part of it (RFC 6066 section 3).
        let name = hello.server_name().map(|name| name.trim_end_matches('.'));
        let candidates = table.candidates(name).iter().map(|at| &table.certificates[*at]);
        let usable = |certificate: &&Certificate| {
            can_sign(certificate, hello.signature_schemes()) && suits(certificate, hello.cipher_suites())
        };
        // With none that fits, rustls says so better than an unexplained refusal would.
        let chosen = candidates.clone().find(usable).or_else(|| candidates.clone().next());
        chosen.map(|certificate| Arc::clone(&certificate.key))
    }
}

fn can_sign(certificate: &Certificate, schemes: &[SignatureScheme]) -> bool {
    certificate.key.key.choose_scheme(schemes).is_some()
}

/// Until TLS 1.2 the cipher suite says what signs: a client may know ECDSA for chains and not for suites.
fn suits(certificate: &Certificate, suites: &[CipherSuite]) -> bool {
    use CipherSuite as Suite;
    suites.iter().any(|suite| match suite {
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS13_AES_256_GCM_SHA384
        | Suite::TLS13_CHACHA20_POLY1305_SHA256 => true,
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            certificate.is_ecdsa() || is_ed25519(certificate)
        }
        _ => !certificate.is_ecdsa() && !is_ed25519(certificate),
    })
}

fn is_ed25519(certificate: &Certificate) -> bool {
    certificate.key.key.algorithm() == rustls::SignatureAlgorithm::ED25519
}
