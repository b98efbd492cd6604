//! TLS as configured: certificates, how they are chosen and renewed, what is asked of clients.
//!
//! A [`Termination`] ends the TLS of clients, an [`Origination`] begins that to servers. Both make finished `rustls`
//! configurations that all workers share, and replace them when their files are renewed; the bytes pass elsewhere
//! (`net`). Nothing here owns a task: `watch` is run by the proxy.
//!
//! Left out on purpose: session caches to clients (tickets resume without state, on every worker), early data (it can
//! be replayed), renegotiation (rustls has none), certificates from an ACME server.

mod authorities;
mod certificate;
mod chain;
mod error;
mod ocsp;
mod offers;
mod origination;
mod pem;
mod pins;
mod store;
mod subject;
mod termination;
mod tickets;
mod watch;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use authorities::AuthoritiesStatus;
pub use certificate::{CertificateFiles, CertificateStatus};
pub use error::{OcspProblem, TlsError, TlsPart, TlsProblem};
pub use origination::{Origination, OriginationBuilder, SkipVerification};
pub use termination::{ClientCertificates, MinVersion, Termination, TerminationBuilder};

pub(crate) use offers::Offer;
pub(crate) use subject::Subject;
pub(crate) use watch::{Owner, watch};

/// The one provider of cryptography, with the hybrid of X25519 and ML-KEM offered first.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}
