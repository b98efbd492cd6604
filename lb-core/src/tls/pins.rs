//! Certificates that stand themselves among the authorities, as `openssl req -x509` makes them for one server or client.
//!
//! An exact match is a pin: it takes no chain, and no authority's rights. What else a certificate says still counts: its
//! time, its name, its purpose. webpki alone refuses such a certificate where it is marked as an authority's, which
//! OpenSSL does by default.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificates themselves, beside what they vouch for.
pub(super) type Pins = Arc<[CertificateDer<'static>]>;

/// Believes servers whose certificate is pinned, and those that `others` does.
#[derive(Debug)]
pub(super) struct PinnedServers {
    pub(super) pins: Pins,
    pub(super) others: Arc<WebPkiServerVerifier>,
}

/// Likewise clients.
#[derive(Debug)]
pub(super) struct PinnedClients {
    pub(super) pins: Pins,
    pub(super) others: Arc<dyn ClientCertVerifier>,
}

#[derive(Clone, Copy)]
enum Purpose {
    Server,
    Client,
}

/// Whether `shown` is pinned, and if so, whether its time and its purpose suit.
fn is_pinned(
    pins: &Pins,
    shown: &CertificateDer<'_>,
    purpose: Purpose,
    now: UnixTime,
) -> Result<bool, Error> {
    if !pins.contains(shown) {
        return Ok(false);
    }
    let certificate = parse(shown)?;
    let moment = |seconds: i64| {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    };
    let validity = certificate.validity();
    let (not_before, not_after) =
        (moment(validity.not_before.timestamp()), moment(validity.not_after.timestamp()));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if not_after < now {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    let usage = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let suits = usage.is_none_or(|usage| {
        usage.value.any
            || match purpose {
                Purpose::Server => usage.value.server_auth,
                Purpose::Client => usage.value.client_auth,
            }
    });
    if suits { Ok(true) } else { Err(CertificateError::InvalidPurpose.into()) }
}

/// By the alternatives of the subject; where there are none, by the common name, as OpenSSL does (RFC 6125 section 6.4.4):
/// a certificate that was made by hand often has no other.
fn check_name(shown: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let certificate = parse(shown)?;
    let is_common_name = matches!(certificate.subject_alternative_name(), Ok(None))
        && certificate
            .subject()
            .iter_common_name()
            .any(|common| common.as_str().is_ok_and(|common| common.eq_ignore_ascii_case(&name.to_str())));
    if is_common_name { Ok(()) } else { verify_server_name(&ParsedCertificate::try_from(shown)?, name) }
}

fn parse<'a>(shown: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(shown)
        .map(|(_, certificate)| certificate)
        .map_err(|_| CertificateError::BadEncoding.into())
}

impl ServerCertVerifier for PinnedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if is_pinned(&self.pins, end_entity, Purpose::Server, now)? {
            check_name(end_entity, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}

impl ClientCertVerifier for PinnedClients {
    fn offer_client_auth(&self) -> bool {
        self.others.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.others.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.others.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if is_pinned(&self.pins, end_entity, Purpose::Client, now)? {
            return Ok(ClientCertVerified::assertion());
        }
        self.others.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.others.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
}
