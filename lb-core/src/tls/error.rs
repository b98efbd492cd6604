//! What can be wrong with certificates and keys.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

/// Everything that is wrong with one TLS configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    problems: Vec<(TlsPart, TlsProblem)>,
}

/// The part of a TLS configuration that a problem is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsPart {
    /// The certificates given so many calls in, from 0.
    Certificate(usize),
    /// The authorities that sign the other side's certificates.
    Authorities,
    /// The certificate shown to servers.
    ClientCertificate,
    /// The name that servers' certificates must have.
    ServerName,
    /// None in particular.
    Whole,
}

/// One thing that is wrong; the message names the file and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// A file can't be read.
    #[error("{} can't be read: {error}; check the path and who may read it", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: String,
    },
    /// A file is damaged, or half written.
    #[error("{} is damaged: {why}; write it again, whole", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate is of a version that has no extensions, without which it can't name a server.
    #[error("the certificate in {} is of X.509 version {version}, which TLS has no use for; have it issued as version 3, with its names as subjectAltName (of `openssl x509 -req` by -extfile)", file.display())]
    Version {
        /// The certificate's file.
        file: PathBuf,
        /// 1 or 2, or one that does not exist.
        version: u32,
    },
    /// There is no certificate where one should be.
    #[error("{} holds no certificate; name a PEM file with the chain, the site's own certificate first", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// There is no key where one should be.
    #[error("{} holds no private key; name a PEM file with the key in PKCS#8, SEC1 or PKCS#1, not encrypted", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A section is of a form that only some programs read.
    #[error("{} holds a {label}, which is not read here; write each as a plain CERTIFICATE (`openssl x509 -in FILE`, of a PKCS7 `openssl pkcs7 -print_certs -in FILE`)", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// The section's label.
        label: String,
    },
    /// The key needs a passphrase.
    #[error("the key in {} is encrypted, and nobody is there to type its passphrase; write it without (`openssl pkey -in FILE -out NEW`), readable by lb alone", key.display())]
    EncryptedKey {
        /// The key's file.
        key: PathBuf,
    },
    /// The key is that of another certificate of the chain.
    #[error("the key in {} is that of certificate {place} in {}; put that one first, then those that lead to its authority", key.display(), certificate.display())]
    LeafNotFirst {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Which certificate in the file, from 1.
        place: usize,
    },
    /// A certificate of the chain stands before one that it should stand behind.
    #[error("certificate {place} in {} ({subject}) stands before certificate {signed}, which it signed; put each behind the one that it signed, the site's own first", file.display())]
    ChainOrder {
        /// The file.
        file: PathBuf,
        /// Which certificate in the file, from 1.
        place: usize,
        /// Its subject.
        subject: String,
        /// One behind it that it signed.
        signed: usize,
    },
    /// A certificate of the chain has no right to sign others.
    #[error("certificate {place} in {} ({subject}) signed another and is not marked as an authority's (CA:TRUE), so that every client refuses the chain; have the site's certificate issued by an authority", file.display())]
    ChainAuthority {
        /// The file.
        file: PathBuf,
        /// Which certificate in the file, from 1.
        place: usize,
        /// Its subject.
        subject: String,
    },
    /// A certificate of the chain leads nowhere.
    #[error("certificate {place} in {} ({subject}) signed none of those before it; remove it, or put the issuer's certificate in its place", file.display())]
    ChainStray {
        /// The file.
        file: PathBuf,
        /// Which certificate in the file, from 1.
        place: usize,
        /// Its subject.
        subject: String,
    },
    /// The key is not that of the certificate.
    #[error("the key in {} is not that of the certificate in {}; name the two that belong together", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The key is of a kind that is not supported.
    #[error("the key in {} can't be used: {why}; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more", key.display())]
    Key {
        /// The key's file.
        key: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A directory holds nothing of use.
    #[error("{} holds no certificate; put NAME.pem there, or NAME.crt and NAME.key", directory.display())]
    EmptyDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// There is no certificate at all.
    #[error("there is no certificate; add one")]
    None,
    /// A name that no certificate can have.
    #[error("{0:?} is no name of a server; write a host name or an IP address")]
    Name(String),
    /// The system has no authorities.
    #[error(
        "this system has no certificate authorities; install its ca-certificates, or name a file of your own"
    )]
    NoSystemRoots,
    /// rustls refuses the configuration.
    #[error("TLS can't be configured so: {0}; correct it")]
    Refused(String),
    /// The time of a certificate is over. A warning.
    #[error("the certificate in {} expired on {}; renew it", file.display(), day(*at))]
    Expired {
        /// The certificate's file.
        file: PathBuf,
        /// When.
        at: SystemTime,
    },
    /// The time of a certificate is nearly over. A warning.
    #[error("the certificate in {} expires on {}; renew it", file.display(), day(*at))]
    Expiring {
        /// The certificate's file.
        file: PathBuf,
        /// When.
        at: SystemTime,
    },
    /// The time of a certificate behind the site's own is over, or nearly. A warning.
    #[error("the chain in {} is good until {} only: that of {subject} ends then; take a newer chain from the authority", file.display(), day(*at))]
    ChainEnds {
        /// The certificate's file.
        file: PathBuf,
        /// Whose certificate ends.
        subject: String,
        /// When.
        at: SystemTime,
    },
    /// An OCSP response is not passed on: clients get none, or the one from before as long as that is in time. A warning.
    #[error("the OCSP response in {} is not passed on: {why}", file.display())]
    Ocsp {
        /// The response's file.
        file: PathBuf,
        /// What is wrong with it.
        why: OcspProblem,
    },
    /// An OCSP response is passed on, although nobody here can tell whose it is. A warning.
    #[error("the OCSP response in {} is passed on unverified: the certificate of the issuer is not at hand; put it behind the site's own", file.display())]
    OcspUnverified {
        /// The response's file.
        file: PathBuf,
    },
    /// The time of a certificate has not begun. A warning.
    #[error("the certificate in {} is not valid before {}; check this machine's clock", file.display(), day(*at))]
    NotYetValid {
        /// The certificate's file.
        file: PathBuf,
        /// When.
        at: SystemTime,
    },
}

/// What is wrong with an OCSP response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspProblem {
    /// It is none.
    #[error("it is not one, or damaged; write what the responder sent, as `openssl ocsp -respout FILE` does")]
    Malformed,
    /// It is text.
    #[error("it is in PEM; write it in DER, as `openssl ocsp -respout FILE` does")]
    Pem,
    /// It is larger than any.
    #[error("it has {0} bytes; ask for a response about this certificate alone")]
    TooLarge(usize),
    /// The responder did not answer.
    #[error("it says that the responder had no answer; ask it again")]
    Refusal,
    /// It is about other certificates.
    #[error("it is about another certificate; ask about this one")]
    Other,
    /// Its signature is not the issuer's.
    #[error(
        "it is not signed by the certificate's issuer, or by whom that lets sign; ask the responder that the certificate names (`openssl x509 -noout -ocsp_uri`)"
    )]
    Signature,
    /// The certificate was revoked.
    #[error("it says that the certificate is revoked; have another one issued")]
    Revoked,
    /// The responder does not know the certificate.
    #[error(
        "it says that the responder does not know the certificate; ask the responder that the certificate names (`openssl x509 -noout -ocsp_uri`)"
    )]
    Unknown,
    /// Its time has not begun.
    #[error("it is not valid before {}; check this machine's clock", minute(*.0))]
    NotYetValid(SystemTime),
    /// Its time is over.
    #[error("it is over since {}; ask for a new one", minute(*.0))]
    Expired(SystemTime),
}

impl TlsError {
    pub(super) fn new(problems: Vec<(TlsPart, TlsProblem)>) -> Self {
        Self { problems }
    }

    /// The problems with the parts they are of; at least one.
    pub fn problems(&self) -> &[(TlsPart, TlsProblem)] {
        &self.problems
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (_, problem)) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TlsError {}

fn day(at: SystemTime) -> String {
    date(at).map_or_else(
        || "an unknown day".to_owned(),
        |date| {
            let date = date.to_datetime();
            format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
        },
    )
}

fn minute(at: SystemTime) -> String {
    let time = date(at).map(|date| date.to_datetime());
    let time = time.map(|time| format!(" {:02}:{:02} UTC", time.hour(), time.minute()));
    day(at) + &time.unwrap_or_default()
}

fn date(at: SystemTime) -> Option<x509_parser::time::ASN1Time> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    x509_parser::time::ASN1Time::from_timestamp(i64::try_from(seconds).ok()?).ok()
}
