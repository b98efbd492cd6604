//! TLS to clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::certificate::{CertificateFiles, CertificateStatus};
use super::error::{TlsError, TlsPart, TlsProblem};
use super::store::{Renewal, Source, Store};
use super::tickets::Tickets;
use super::{pem, provider};

/// How a frontend ends its clients' TLS: certificates, versions, what clients must show. Cheap to clone.
///
/// ```no_run
/// use lb_core::tls::{CertificateFiles, Termination};
/// let tls = Termination::builder().certificate(CertificateFiles::new("site.pem", "site.key")).build()?;
/// # Ok::<(), lb_core::tls::TlsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Termination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ServerConfig,
    store: Arc<Store>,
    tickets: Arc<Tickets>,
    clients: Option<ClientCertificates>,
    /// The bytes of the authorities' file: tickets of one set of authorities are not good for another.
    authorities: Vec<u8>,
}

/// Collects a [`Termination`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct TerminationBuilder {
    sources: Vec<Source>,
    min_version: MinVersion,
    clients: Option<ClientCertificates>,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MinVersion {
    /// TLS 1.2, the default.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Whose certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    authorities: PathBuf,
    is_required: bool,
}

impl ClientCertificates {
    /// Clients must show a certificate that an authority in this PEM file signed.
    pub fn required(authorities: impl Into<PathBuf>) -> Self {
        Self { authorities: authorities.into(), is_required: true }
    }

    /// Clients may show one; one that is shown must be signed by an authority in this PEM file.
    pub fn optional(authorities: impl Into<PathBuf>) -> Self {
        Self { authorities: authorities.into(), is_required: false }
    }
}

impl Termination {
    /// TLS 1.2 and 1.3, with tickets, asking nothing of clients.
    pub fn builder() -> TerminationBuilder {
        TerminationBuilder::default()
    }

    /// The certificates in use.
    pub fn certificates(&self) -> Vec<CertificateStatus> {
        self.0.store.status()
    }

    /// Certificates whose time is over, nearly over (21 days) or has not begun.
    pub fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        self.0.store.warnings(now)
    }

    /// The finished configuration, offering these protocols by ALPN, in the order of preference.
    pub(crate) fn config(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = self.0.config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// Goes on with the ticket keys of `before`, the same frontend's before a reload, if what it asked of its clients
    /// is the same: a resumed client is not asked again.
    pub(crate) fn inherit(&self, before: &Self) {
        if self.0.clients == before.0.clients && self.0.authorities == before.0.authorities {
            self.0.tickets.inherit(&before.0.tickets);
        }
    }

    pub(super) fn renew(&self) -> Renewal {
        self.0.store.renew()
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.store.paths()
    }
}

impl TerminationBuilder {
    /// Adds a certificate. The first one is the default; of those for one name the first whose kind of key the client
    /// knows is shown, ECDSA before others.
    pub fn certificate(mut self, files: CertificateFiles) -> Self {
        self.sources.push(Source::Files(files));
        self
    }

    /// Adds the certificates in a directory, in the order of their names: `NAME.pem`, `NAME.crt` or `NAME.cer`, with
    /// the key in the same file or in `NAME.key`, and an OCSP response in `NAME.ocsp`.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::Directory(directory.into()));
        self
    }

    /// The oldest version spoken. Default TLS 1.2.
    pub fn min_version(mut self, version: MinVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Asks clients for certificates. Default: not.
    pub fn clients(mut self, clients: ClientCertificates) -> Self {
        self.clients = Some(clients);
        self
    }

    /// Reads all files.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn build(self) -> Result<Termination, TlsError> {
        let Self { sources, min_version, clients } = self;
        let mut problems = Vec::new();
        let store = Store::load(sources).map_err(|found| problems.extend(found)).ok();
        let verifier = clients.as_ref().map(verifier).transpose();
        let verifier = verifier.map_err(|problem| problems.push((TlsPart::Authorities, problem))).ok();
        let refused = |error: &dyn ToString| {
            TlsError::new(vec![(TlsPart::Whole, TlsProblem::Refused(error.to_string()))])
        };
        let (Some(store), Some(verifier)) = (store, verifier) else { return Err(TlsError::new(problems)) };
        let tickets = Tickets::new().map_err(|error| refused(&error))?;
        let store = Arc::new(store);
        let versions: &[_] = match min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| refused(&error))?;
        let mut config = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        }
        .with_cert_resolver(Arc::clone(&store) as _);
        config.ticketer = Arc::clone(&tickets) as _;
        // Tickets carry the state: a cache would be memory and a lock that workers share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let authorities = clients.as_ref().map(|clients| pem::read(&clients.authorities).unwrap_or_default());
        let authorities = authorities.unwrap_or_default();
        Ok(Termination(Arc::new(Inner { config, store, tickets, clients, authorities })))
    }
}

fn verifier(
    clients: &ClientCertificates,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsProblem> {
    let file: &Path = &clients.authorities;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(pem::roots(file)?), provider());
    let builder = if clients.is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsProblem::Malformed { file: file.to_owned(), why: error.to_string() })
}
