//! TLS to servers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{Certificate, CertificateFiles};
use super::error::{TlsError, TlsPart, TlsProblem};
use super::{pem, provider};

/// How many servers' sessions are remembered, for all workers.
const SESSIONS: usize = 1024;

/// How a backend speaks TLS to its servers: whom it believes, what it shows. Cheap to clone.
///
/// ```no_run
/// use lb_core::tls::Origination;
/// let tls = Origination::builder().authorities("ca.pem").server_name("shop.internal").build()?;
/// # Ok::<(), lb_core::tls::TlsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    identity: Identity,
}

/// What two originations are compared by.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    /// What certificates must name, in place of the server's own host name.
    name: Option<ServerName<'static>>,
    /// The authorities' subjects and keys, in their order.
    authorities: Option<Vec<rustls_pki_types::TrustAnchor<'static>>>,
    /// The chain that is shown.
    chain: Option<Vec<CertificateDer<'static>>>,
}

/// Collects an [`Origination`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct OriginationBuilder {
    authorities: Option<PathBuf>,
    name: Option<String>,
    certificate: Option<CertificateFiles>,
    skips_verification: bool,
}

/// Leave to believe a server whatever certificate it shows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SkipVerification;

impl SkipVerification {
    /// Whoever can reach into the network between this proxy and its servers can then pose as a server.
    pub fn i_accept_any_certificate() -> Self {
        Self
    }
}

impl Origination {
    /// Verification by the system's authorities and the server's host name, with sessions resumed.
    pub fn builder() -> OriginationBuilder {
        OriginationBuilder::default()
    }

    /// The finished configuration, offering these protocols by ALPN, in the order of preference. All that come from
    /// one origination share their sessions.
    pub(crate) fn config(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = self.0.config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// The name to ask a server for whose host is `host`; `None` where that is no name a certificate can have.
    pub(crate) fn name(&self, host: Option<&str>) -> Option<ServerName<'static>> {
        self.0.identity.name.clone().or_else(|| server_name(host?).ok())
    }

    /// Whether there is a name to ask a server for whose host is `host`.
    pub(crate) fn has_name(&self, host: Option<&str>) -> bool {
        self.name(host).is_some()
    }
}

/// Two are equal where servers are believed and told the same: a connection of one is good for the other.
impl PartialEq for Origination {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.identity == other.0.identity
    }
}

impl OriginationBuilder {
    /// Believes the authorities in this PEM file, and no others. Default: those of the system.
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> Self {
        self.authorities = Some(file.into());
        self
    }

    /// The name that servers' certificates must have. Default: the host name of each server.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The certificate shown to servers that ask for one. Default: none.
    pub fn certificate(mut self, files: CertificateFiles) -> Self {
        self.certificate = Some(files);
        self
    }

    /// Believes any certificate.
    pub fn dangerous(mut self, _leave: SkipVerification) -> Self {
        self.skips_verification = true;
        self
    }

    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn build(self) -> Result<Origination, TlsError> {
        let Self { authorities, name, certificate, skips_verification } = self;
        let mut problems = Vec::new();
        let name = name.map(|name| server_name(&name)).transpose();
        let name = name.map_err(|problem| problems.push((TlsPart::ServerName, problem))).ok();
        let certificate = certificate.map(Certificate::load).transpose();
        let certificate =
            certificate.map_err(|problem| problems.push((TlsPart::ClientCertificate, problem))).ok();
        let roots = if skips_verification { Ok(None) } else { roots(authorities).map(Some) };
        let verifier = roots.and_then(|roots| verifier(roots.clone()).map(|verifier| (roots, verifier)));
        let verifier = verifier.map_err(|problem| problems.push((TlsPart::Authorities, problem))).ok();
        let (Some(name), Some(certificate), Some((roots, verifier))) = (name, certificate, verifier) else {
            return Err(TlsError::new(problems));
        };
        let chain = certificate.as_ref().map(|certificate| certificate.key.cert.clone());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(vec![(TlsPart::Whole, TlsProblem::Refused(error.to_string()))]))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            Some(certificate) => {
                let shown = rustls::sign::SingleCertAndKey::from(Arc::clone(&certificate.key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let identity = Identity { name, authorities: roots.map(|roots| roots.roots.clone()), chain };
        Ok(Origination(Arc::new(Inner { config, identity })))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsProblem> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsProblem::Name(name.to_owned()))
}

/// The authorities of `file`, or the system's.
fn roots(file: Option<PathBuf>) -> Result<Arc<RootCertStore>, TlsProblem> {
    let roots = match file {
        Some(file) => pem::roots(&file)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    Ok(Arc::new(roots))
}

/// Believes what `roots` have signed; without any at all it believes anybody.
fn verifier(roots: Option<Arc<RootCertStore>>) -> Result<Arc<dyn ServerCertVerifier>, TlsProblem> {
    let Some(roots) = roots else { return Ok(Arc::new(AnyCertificate)) };
    WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map(|verifier| verifier as _)
        .map_err(|_| TlsProblem::NoSystemRoots)
}

/// Believes any certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
