//! PEM files (RFC 7468) into what rustls takes.
//!
//! Stricter than the parser of `rustls-pki-types`, which passes over what it doesn't know: a certificate that would be
//! lost without a word is a problem.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsProblem;

/// Larger than any chain or bundle of roots (the whole web's is 250 KiB); without a bound `/dev/zero` would do harm.
const LARGEST_BYTES: u64 = 4 << 20;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const CERTIFICATE: &[u8] = b"CERTIFICATE";

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

/// The certificates in `pem`, in their order; at least one. What is in them is not looked at.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let mut certificates = Vec::new();
    for section in sections(pem, path)? {
        match section.label {
            CERTIFICATE => certificates.push(section.decode(path)?),
            b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" | b"PKCS7" | b"CMS" => {
                return Err(TlsProblem::Form {
                    file: path.to_owned(),
                    label: String::from_utf8_lossy(section.label).into_owned(),
                });
            }
            _ => {}
        }
    }
    if certificates.is_empty() {
        return Err(TlsProblem::NoCertificate { file: path.to_owned() });
    }
    Ok(certificates)
}

/// The first private key in `pem`.
pub(super) fn private_key(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let key = sections(pem, path)?.into_iter().find(Section::is_key);
    let Some(key) = key else { return Err(TlsProblem::NoKey { file: path.to_owned() }) };
    if key.is_encrypted() {
        return Err(TlsProblem::EncryptedKey { key: path.to_owned() });
    }
    key.decode(path)
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// Certificates, or nothing known.
    Certificates,
    Key,
    /// Both; or it is damaged, and whoever reads it says how.
    Both,
}

pub(super) fn contents(pem: &[u8], path: &Path) -> Contents {
    let Ok(sections) = sections(pem, path) else { return Contents::Both };
    let has_certificate = sections.iter().any(|section| section.label == CERTIFICATE);
    match (has_certificate, sections.iter().any(Section::is_key)) {
        (true, true) => Contents::Both,
        (false, true) => Contents::Key,
        (_, false) => Contents::Certificates,
    }
}

/// What stands between two lines that mark it.
#[derive(Debug)]
struct Section<'a> {
    label: &'a [u8],
    /// With both lines.
    text: &'a [u8],
    /// The number of the first line.
    line: usize,
}

impl Section<'_> {
    fn is_key(&self) -> bool {
        self.label.ends_with(b"PRIVATE KEY")
    }

    /// By PKCS#8, or as OpenSSL did before (RFC 1421 section 4.6.1.1).
    fn is_encrypted(&self) -> bool {
        let is_sealed = |line: &[u8]| line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        self.label == b"ENCRYPTED PRIVATE KEY" || lines(self.text).any(|line| is_sealed(line.trim_ascii()))
    }

    fn decode<T: PemObject>(&self, path: &Path) -> Result<T, TlsProblem> {
        T::from_pem_slice(self.text).map_err(|error| {
            let why = match error {
                Error::Base64Decode(_) => "is not base64".to_owned(),
                Error::NoItemsFound => "is of a kind that is not known here".to_owned(),
                error => format!("can't be read ({error})"),
            };
            let label = String::from_utf8_lossy(self.label);
            malformed(path, format!("the {label} that begins on line {} {why}", self.line))
        })
    }
}

/// The sections of `pem`, in their order. Other lines between them are comments, unless they hold a mark that would be
/// overlooked.
fn sections<'a>(pem: &'a [u8], path: &Path) -> Result<Vec<Section<'a>>, TlsProblem> {
    // Some editors put a byte order mark before the first line.
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    let (mut sections, mut open): (Vec<Section<'_>>, Option<Section<'_>>) = (Vec::new(), None);
    let mut start = 0;
    for (at, line) in lines(pem).enumerate() {
        let (number, here) = (at + 1, start);
        start += line.len() + 1;
        let wrong = |why: &str| malformed(path, format!("line {number} {why}"));
        let is_comment = open.is_none() && line.trim_ascii_start().starts_with(b"#");
        if is_comment || !(holds(line, BEGIN) || holds(line, END)) {
            continue;
        }
        let Some((is_begin, label)) = mark(line) else {
            return Err(wrong(
                "holds more than the mark that begins or ends a section; give each its own line",
            ));
        };
        match (is_begin, open.take()) {
            (true, None) => open = Some(Section { label, text: &pem[here..], line: number }),
            (true, Some(begun)) => {
                return Err(wrong(&format!("begins a section while that of line {} has no end", begun.line)));
            }
            (false, Some(begun)) if begun.label == label => {
                let first = pem.len() - begun.text.len();
                sections.push(Section { text: &pem[first..here + line.len()], ..begun });
            }
            (false, _) => return Err(wrong("ends a section that has not begun")),
        }
    }
    match open {
        Some(begun) => {
            Err(malformed(path, format!("the section that begins on line {} has no end", begun.line)))
        }
        None => Ok(sections),
    }
}

/// Whatever a system ends its lines with; `\r\n` makes an empty line more.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
}

fn holds(line: &[u8], mark: &[u8]) -> bool {
    line.windows(mark.len()).any(|window| window == mark)
}

/// Whether a line begins a section, and the section's label; `None`: something else stands on it, too.
fn mark(line: &[u8]) -> Option<(bool, &[u8])> {
    let line = line.trim_ascii_end();
    let (is_begin, rest) = match (line.strip_prefix(BEGIN), line.strip_prefix(END)) {
        (Some(rest), _) => (true, rest),
        (None, rest) => (false, rest?),
    };
    let label = rest.strip_suffix(b"-----")?;
    (!label.contains(&b'-')).then_some((is_begin, label))
}

fn malformed(path: &Path, why: String) -> TlsProblem {
    TlsProblem::Malformed { file: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    fn found(text: &str) -> Result<usize, String> {
        certificates(text.as_bytes(), Path::new("FILE"))
            .map(|found| found.len())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn every_certificate_of_a_file_is_found() {
        let commented = format!("# {}", ONE.trim_end().replace('\n', "\n# "));
        for (text, count) in [
            (ONE.to_owned(), 1),
            (ONE.trim_end().to_owned(), 1),
            (ONE.repeat(3), 3),
            (ONE.repeat(2).replace('\n', "\r\n"), 2),
            (ONE.replace("-\n", "-  \n"), 1),
            (format!("\u{feff}{ONE}"), 1),
            (format!("subject=CN = a\n{ONE}\n{commented}\nissuer=CN = b\n{ONE}"), 2),
            (format!("{ONE}-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n{ONE}"), 2),
        ] {
            assert_eq!(found(&text), Ok(count), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_words() {
        let damaged = |why: &str| format!("FILE is damaged: {why}; write it again, whole");
        let crowded =
            |line| damaged(&format!("line {line} holds more than the mark that begins or ends a section"));
        for (text, expected) in [
            (
                String::new(),
                "FILE holds no certificate; name a PEM file with the chain, the site's own certificate first".into(),
            ),
            (ONE[..30].to_owned(), damaged("the section that begins on line 1 has no end")),
            (ONE.replace("CERTIFICATE-----\nM", "CERTIFICATE\nM"), crowded(1)),
            (ONE.repeat(2).replace("-----\n-----", "----------"), crowded(3)),
            (ONE.replace("=\n-", "=-"), crowded(2)),
            (format!("{ONE}  {ONE}"), crowded(4)),
            (format!("my authority: {ONE}"), crowded(1)),
            (ONE[..28].repeat(2), damaged("line 2 begins a section while that of line 1 has no end")),
            (format!("{ONE}{}", &ONE[33..]), damaged("line 4 ends a section that has not begun")),
            (
                format!("{ONE}{}", ONE.replace("MAA=", "M!A=")),
                damaged("the CERTIFICATE that begins on line 4 is not base64"),
            ),
            (
                ONE.replace("CERT", "TRUSTED CERT"),
                "FILE holds a TRUSTED CERTIFICATE, which is not read here; write each as a plain CERTIFICATE \
                 (`openssl x509 -in FILE`, of a PKCS7 `openssl pkcs7 -print_certs -in FILE`)"
                    .into(),
            ),
        ] {
            let said = found(&text).unwrap_err().replace("; give each its own line; write it again, whole", "; write it again, whole");
            assert_eq!(said, expected, "{text:?}");
        }
    }

    #[test]
    fn an_encrypted_key_is_called_so() {
        let section =
            |label: &str, text: &str| format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        let key = |text: &str| private_key(text.as_bytes(), Path::new("FILE")).unwrap_err().to_string();
        let encrypted = "the key in FILE is encrypted, and nobody is there to type its passphrase; write it without \
                         (`openssl pkey -in FILE -out NEW`), readable by lb alone";
        for text in [
            section("ENCRYPTED PRIVATE KEY", "MAA="),
            section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nMAA="),
        ] {
            assert_eq!(key(&text), encrypted);
            assert_eq!(key(&format!("{ONE}{text}")), encrypted);
        }
        assert!(key(ONE).contains("holds no private key"));
        assert!(key(&section("DSA PRIVATE KEY", "MAA=")).contains("of a kind that is not known here"));
    }
}
