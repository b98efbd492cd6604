//! TLS to clients.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::authorities::{Authorities, AuthoritiesStatus};
use super::certificate::{CertificateFiles, CertificateStatus};
use super::error::{TlsError, TlsPart, TlsProblem};
use super::offers::{Offer, Offers};
use super::pins::PinnedClients;
use super::provider;
use super::store::{Source, Store};
use super::tickets::Tickets;
use super::watch::{LOOK, Renewal, Watched};

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
    frame: Frame,
    gate: Mutex<Gate>,
    offers: Offers<ServerConfig>,
    every: Duration,
    told: AtomicBool,
}

/// What stays while clients' authorities come and go.
#[derive(Debug)]
struct Frame {
    store: Arc<Store>,
    min_version: MinVersion,
}

/// What is asked of clients, and the tickets of those who passed.
#[derive(Debug)]
struct Gate {
    clients: Option<(ClientCertificates, Authorities)>,
    /// Invariant: read only by who lets in the clients that these authorities do.
    tickets: Arc<Tickets>,
}

/// Collects a [`Termination`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct TerminationBuilder {
    sources: Vec<Source>,
    min_version: MinVersion,
    clients: Option<ClientCertificates>,
    every: Option<Duration>,
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
    /// Clients must show a certificate that an authority in this PEM file signed, or that stands in the file itself.
    pub fn required(authorities: impl Into<PathBuf>) -> Self {
        Self { authorities: authorities.into(), is_required: true }
    }

    /// Clients may show one; one that is shown must be signed by an authority in this PEM file, or stand there itself.
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
        self.0.frame.store.status()
    }

    /// Certificates whose time is over, nearly over (21 days) or has not begun, and OCSP responses that clients don't get.
    pub fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        self.0.frame.store.warnings(now)
    }

    /// The warnings, of which the caller tells: the watch doesn't begin with them again.
    #[cfg_attr(not(feature = "config"), allow(dead_code, reason = "only a file has a place to tell them at"))]
    pub(crate) fn told_warnings(&self) -> Vec<(TlsPart, TlsProblem)> {
        self.0.told.store(true, Ordering::Relaxed);
        self.warnings(SystemTime::now())
    }

    /// The authorities that sign clients' certificates, if any are asked for.
    pub fn client_authorities(&self) -> Option<AuthoritiesStatus> {
        self.gate().clients.as_ref().map(|(_, authorities)| authorities.status())
    }

    /// The finished configuration, offering these protocols by ALPN, in the order of preference.
    pub(crate) fn offer(&self, protocols: &[&[u8]]) -> Arc<Offer<ServerConfig>> {
        self.0.offers.offer(protocols)
    }

    /// Goes on with the ticket keys of `before`, the same frontend's before a reload, if what it asked of its clients
    /// is the same: a resumed client is not asked again.
    pub(crate) fn inherit(&self, before: &Self) {
        // One that is carried over as it is has them.
        if Arc::ptr_eq(&self.0, &before.0) {
            return;
        }
        let (gate, before) = (self.gate(), before.gate());
        if gate.clients == before.clients {
            gate.tickets.inherit(&before.tickets);
        }
    }

    /// New authorities come with new tickets: who was let in by the old ones is asked again.
    fn renew_authorities(&self, renewal: &mut Renewal) {
        let mut gate = self.gate();
        let Some((clients, authorities)) = &mut gate.clients else { return };
        let opened = authorities.renewed().and_then(|fresh| {
            let fresh = fresh.map(|fresh| self.0.frame.open(Some((clients.clone(), fresh))));
            fresh.transpose()
        });
        match opened {
            Ok(Some((fresh, config))) => {
                renewal.renewed.push(authorities.file.clone());
                self.0.offers.replace(config);
                *gate = fresh;
            }
            Ok(None) => authorities.renew(renewal),
            Err(problem) => authorities.refuse(problem, renewal),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched for Termination {
    fn renew(&self) -> Renewal {
        let mut renewal = self.0.frame.store.renew();
        self.renew_authorities(&mut renewal);
        renewal
    }

    fn every(&self) -> Duration {
        self.0.every
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = self.0.frame.store.paths();
        paths.extend(self.gate().clients.iter().map(|(_, authorities)| authorities.file.clone()));
        paths
    }

    fn end(&self) -> Option<SystemTime> {
        self.0.frame.store.staple_end()
    }

    fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)> {
        self.0.frame.store.warnings(now)
    }

    fn are_warnings_told(&self) -> bool {
        self.0.told.load(Ordering::Relaxed)
    }
}

impl Frame {
    /// What lets in the clients that are asked for.
    fn open(
        &self,
        clients: Option<(ClientCertificates, Authorities)>,
    ) -> Result<(Gate, ServerConfig), TlsProblem> {
        let refused = |error: rustls::Error| TlsProblem::Refused(error.to_string());
        let tickets = Tickets::new().map_err(refused)?;
        let versions: &[_] = match self.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(refused)?;
        let mut config = match &clients {
            Some((clients, authorities)) => {
                builder.with_client_cert_verifier(verifier(clients, authorities)?)
            }
            None => builder.with_no_client_auth(),
        }
        .with_cert_resolver(Arc::clone(&self.store) as _);
        config.ticketer = Arc::clone(&tickets) as _;
        // Tickets carry the state: a cache would be memory and a lock that workers share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok((Gate { clients, tickets }, config))
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
    pub fn build(self) -> Result<Termination, TlsError> {
        let Self { sources, min_version, clients, every } = self;
        let mut problems = Vec::new();
        let store = Store::load(sources).map_err(|found| problems.extend(found)).ok();
        let clients =
            clients.map(|clients| Authorities::load(&clients.authorities).map(|found| (clients, found)));
        let clients =
            clients.transpose().map_err(|problem| problems.push((TlsPart::Authorities, problem))).ok();
        let (Some(store), Some(clients)) = (store, clients) else { return Err(TlsError::new(problems)) };
        let part = if clients.is_some() { TlsPart::Authorities } else { TlsPart::Whole };
        let frame = Frame { store: Arc::new(store), min_version };
        let (gate, config) = frame.open(clients).map_err(|problem| TlsError::new(vec![(part, problem)]))?;
        let (gate, offers) = (Mutex::new(gate), Offers::new(config));
        let (every, told) = (every.unwrap_or(LOOK), AtomicBool::new(false));
        Ok(Termination(Arc::new(Inner { frame, gate, offers, every, told })))
    }
}

fn verifier(
    clients: &ClientCertificates,
    authorities: &Authorities,
) -> Result<Arc<dyn ClientCertVerifier>, TlsProblem> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&authorities.roots), provider());
    let builder = if clients.is_required { builder } else { builder.allow_unauthenticated() };
    let others = builder
        .build()
        .map_err(|error| TlsProblem::Malformed { file: authorities.file.clone(), why: error.to_string() })?;
    Ok(Arc::new(PinnedClients { pins: Arc::clone(&authorities.certificates), others }))
}
