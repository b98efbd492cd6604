//! TLS to servers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::authorities::{Authorities, AuthoritiesStatus};
use super::certificate::{Certificate, CertificateFiles, CertificateStatus};
use super::error::{TlsError, TlsPart, TlsProblem};
use super::offers::{Offer, Offers};
use super::pins::PinnedServers;
use super::provider;
use super::watch::{LOOK, Renewal, Watched};
use crate::live::Live;

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
    /// What certificates must name, in place of the server's own host name.
    name: Option<ServerName<'static>>,
    files: Mutex<Files>,
    offers: Live<Offers<ClientConfig>>,
    every: Duration,
    told: AtomicBool,
}

/// What was read from files.
#[derive(Clone, Debug)]
struct Files {
    believed: Believed,
    certificate: Option<Certificate>,
    /// Why what the certificate's files hold now is not in use.
    failure: Option<String>,
}

/// Which servers are believed.
#[derive(Clone, Debug)]
enum Believed {
    Anybody,
    /// Those whom the system trusts, as it did at the start.
    System(Arc<RootCertStore>),
    Signed(Authorities),
}

/// Collects an [`Origination`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct OriginationBuilder {
    authorities: Option<PathBuf>,
    name: Option<String>,
    certificate: Option<CertificateFiles>,
    skips_verification: bool,
    every: Option<Duration>,
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

    /// The authorities of its own, if it has some.
    pub fn authorities(&self) -> Option<AuthoritiesStatus> {
        match &self.files().believed {
            Believed::Signed(authorities) => Some(authorities.status()),
            Believed::Anybody | Believed::System(_) => None,
        }
    }

    /// The certificate that servers are shown, if there is one.
    pub fn certificate(&self) -> Option<CertificateStatus> {
        let files = self.files();
        files.certificate.as_ref().map(|certificate| certificate.status(files.failure.clone()))
    }

    /// Whether the certificate's time is over, nearly over (21 days) or has not begun.
    pub fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        let files = self.files();
        let warnings = files.certificate.iter().flat_map(|certificate| certificate.warnings(now));
        warnings.map(|warning| (TlsPart::ClientCertificate, warning)).collect()
    }

    /// The warnings, of which the caller tells: the watch doesn't begin with them again.
    #[cfg_attr(not(feature = "config"), allow(dead_code, reason = "only a file has a place to tell them at"))]
    pub(crate) fn told_warnings(&self) -> Vec<(TlsPart, TlsProblem)> {
        self.0.told.store(true, Ordering::Relaxed);
        self.warnings(SystemTime::now())
    }

    /// The finished configuration, offering these protocols by ALPN, in the order of preference. All that come from
    /// one origination share their sessions.
    pub(crate) fn offer(&self, protocols: &[&[u8]]) -> Arc<Offer<ClientConfig>> {
        self.0.offers.load().offer(protocols)
    }

    /// Takes the place of `before`, which is equal: what was offered by that follows this one's files from now on.
    pub(crate) fn inherit(&self, before: &Self) {
        self.0.offers.store(before.0.offers.load_full());
    }

    /// The name to ask a server for whose host is `host`; `None` where that is no name a certificate can have.
    pub(crate) fn name(&self, host: Option<&str>) -> Option<ServerName<'static>> {
        self.0.name.clone().or_else(|| server_name(host?).ok())
    }

    /// Whether there is a name to ask a server for whose host is `host`.
    pub(crate) fn has_name(&self, host: Option<&str>) -> bool {
        self.name(host).is_some()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched for Origination {
    /// Sessions of before are forgotten: what is believed is shown again.
    fn renew(&self) -> Renewal {
        let (mut renewal, mut files) = (Renewal::default(), self.files());
        let mut fresh = files.clone();
        fresh.renew(&mut renewal);
        if !renewal.renewed.is_empty() {
            match fresh.config() {
                Ok(config) => self.0.offers.load().replace(config),
                Err((_, problem)) => {
                    let refused = renewal.renewed.drain(..).map(|file| (file, problem.clone()));
                    renewal.refused.extend(refused);
                    return renewal;
                }
            }
        }
        *files = fresh;
        renewal
    }

    fn every(&self) -> Duration {
        self.0.every
    }

    fn paths(&self) -> Vec<PathBuf> {
        let files = self.files();
        let mut paths = Vec::new();
        if let Believed::Signed(authorities) = &files.believed {
            paths.push(authorities.file.clone());
        }
        let certificate = files.certificate.iter().flat_map(|certificate| certificate.files.paths());
        paths.extend(certificate.map(Path::to_owned));
        paths
    }

    fn end(&self) -> Option<SystemTime> {
        self.files().certificate.as_ref().and_then(Certificate::staple_end)
    }

    fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        self.warnings(now)
    }

    fn are_warnings_told(&self) -> bool {
        self.0.told.load(Ordering::Relaxed)
    }
}

/// Two are equal where servers are believed and told the same, by the same files: a connection of one is good for the
/// other.
impl PartialEq for Origination {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        // One at a time: whoever compares the other way round would wait for ever.
        let files = self.files().clone();
        let is_same = self.0.name == other.0.name && files.is_same(&other.files());
        is_same && self.paths() == other.paths()
    }
}

impl OriginationBuilder {
    /// Believes the authorities in this PEM file, and servers whose own certificate stands there; no others. Default:
    /// the system's authorities.
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

    /// How often the files are looked at for a renewal, which is taken once they have stayed the same between two looks.
    /// Default 1 s.
    pub fn watch_every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
    }

    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn build(self) -> Result<Origination, TlsError> {
        let Self { authorities, name, certificate, skips_verification, every } = self;
        let mut problems = Vec::new();
        let name = name.map(|name| server_name(&name)).transpose();
        let name = name.map_err(|problem| problems.push((TlsPart::ServerName, problem))).ok();
        let load = |files| Certificate::load(files, SystemTime::now());
        let certificate = certificate.map(load).transpose();
        let certificate =
            certificate.map_err(|problem| problems.push((TlsPart::ClientCertificate, problem))).ok();
        let believed = match authorities {
            _ if skips_verification => Ok(Believed::Anybody),
            Some(file) => Authorities::load(&file).map(Believed::Signed),
            None => Ok(Believed::System(system_roots())),
        };
        let believed = believed.map_err(|problem| problems.push((TlsPart::Authorities, problem))).ok();
        let (Some(name), Some(certificate), Some(believed)) = (name, certificate, believed) else {
            return Err(TlsError::new(problems));
        };
        let files = Files { believed, certificate, failure: None };
        let config = files.config().map_err(|problem| TlsError::new(vec![problem]))?;
        let (files, offers) = (Mutex::new(files), Live::new(Offers::new(config)));
        let (every, told) = (every.unwrap_or(LOOK), AtomicBool::new(false));
        Ok(Origination(Arc::new(Inner { name, files, offers, every, told })))
    }
}

impl Files {
    /// With no session of before.
    fn config(&self) -> Result<ClientConfig, (TlsPart, TlsProblem)> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| (TlsPart::Whole, TlsProblem::Refused(error.to_string())))?
            .dangerous()
            .with_custom_certificate_verifier(
                self.believed.verifier().map_err(|problem| (TlsPart::Authorities, problem))?,
            );
        let mut config = match &self.certificate {
            Some(certificate) => {
                let shown = SingleCertAndKey::from(Arc::clone(&certificate.key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }

    /// Reads the files again.
    fn renew(&mut self, renewal: &mut Renewal) {
        if let Believed::Signed(authorities) = &mut self.believed {
            authorities.renew(renewal);
        }
        let Some(certificate) = &mut self.certificate else { return };
        self.failure = None;
        let file = certificate.files.certificate.clone();
        let now = SystemTime::now();
        match Certificate::load(certificate.files.clone(), now) {
            Ok(fresh) => *certificate = renewal.take(fresh, certificate, now),
            Err(problem) => {
                *certificate = renewal.keep(certificate, now);
                self.failure = Some(problem.to_string());
                renewal.refused.push((file, problem));
            }
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        let chain = |files: &Self| files.certificate.as_ref().map(|certificate| certificate.key.cert.clone());
        self.believed == other.believed && chain(self) == chain(other)
    }
}

/// Equal where the same servers are believed.
impl PartialEq for Believed {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anybody, Self::Anybody) => true,
            (Self::System(roots), Self::System(other)) => roots.roots == other.roots,
            (Self::Signed(authorities), Self::Signed(other)) => authorities == other,
            _ => false,
        }
    }
}

impl Believed {
    fn roots(&self) -> Option<&Arc<RootCertStore>> {
        match self {
            Self::Anybody => None,
            Self::System(roots) => Some(roots),
            Self::Signed(authorities) => Some(&authorities.roots),
        }
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsProblem> {
        let Some(roots) = self.roots() else { return Ok(Arc::new(AnyCertificate)) };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider()).build();
        let others = verifier.map_err(|_| TlsProblem::NoSystemRoots)?;
        Ok(match self {
            Self::Signed(authorities) => {
                Arc::new(PinnedServers { pins: Arc::clone(&authorities.certificates), others })
            }
            Self::Anybody | Self::System(_) => others,
        })
    }
}

fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsProblem> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsProblem::Name(name.to_owned()))
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
