//! PEM files into what rustls takes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::{Error, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsProblem;

/// Larger than any chain or bundle of roots (the whole web's is 250 KiB); without a bound `/dev/zero` would do harm.
const LARGEST_BYTES: u64 = 4 << 20;

/// Reads a file, at most [`LARGEST_BYTES`] of it.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    let unreadable =
        |error: io::Error| TlsProblem::Unreadable { file: path.to_owned(), error: error.to_string() };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_BYTES + 1).read_to_end(&mut bytes));
    match read.map_err(unreadable)? {
        length if u64::try_from(length).is_ok_and(|length| length <= LARGEST_BYTES) => Ok(bytes),
        _ => Err(unreadable(io::Error::from(io::ErrorKind::FileTooLarge))),
    }
}

/// The certificates in `pem`, in their order; at least one.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error, path))?;
    if certificates.is_empty() {
        return Err(TlsProblem::NoCertificate { file: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key in `pem`.
pub(super) fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => TlsProblem::NoKey { file: path.to_owned() },
        error => malformed(&error, path),
    })
}

fn malformed(error: &Error, path: &Path) -> TlsProblem {
    let why = match error {
        // Its own words show the marker as a list of numbers.
        Error::MissingSectionEnd { .. } => "the end of a section is missing".to_owned(),
        Error::IllegalSectionStart { .. } => "the first line of a section is malformed".to_owned(),
        error => error.to_string(),
    };
    TlsProblem::Malformed { file: path.to_owned(), why }
}

/// Whether there is a certificate in `pem`, and whether there is a key.
pub(super) fn contents(pem: &[u8]) -> (bool, bool) {
    let (mut has_certificate, mut has_key) = (false, false);
    for (kind, _) in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).flatten() {
        match kind {
            SectionKind::Certificate => has_certificate = true,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                has_key = true
            }
            _ => {}
        }
    }
    (has_certificate, has_key)
}

/// The authorities in the file at `path`.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&read(path)?, path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsProblem::Malformed { file: path.to_owned(), why: error.to_string() })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_words() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        for (text, expected) in [
            (
                "",
                "FILE holds no certificate; name a PEM file with the chain, the site's own certificate first",
            ),
            (begin, "FILE is damaged: the end of a section is missing; write it again, whole"),
            (
                "-----BEGIN CERTIFICATE\n",
                "FILE is damaged: the first line of a section is malformed; write it again, whole",
            ),
        ] {
            let problem = certificates(text.as_bytes(), Path::new("FILE")).unwrap_err();
            assert_eq!(problem.to_string(), expected);
        }
    }
}
