//! A hand on a proxy, running or about to run.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use super::BindError;
use super::admin::Control;
use super::control::ControlPlane;
use super::snapshot::Snapshot;
use super::status::{ConfigStatus, Status};
use crate::metrics::{EncodeError, Metrics};

/// Looks at a proxy and changes it while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(pub(super) Arc<ControlPlane>);

impl Handle {
    /// Makes `snapshot` what the proxy serves. What is in both the old snapshot and the new one is carried over:
    /// listeners keep their queues, servers their health, counters and pooled connections; open connections go by
    /// the new snapshot from their next request on. The number of workers stays what it was at the start.
    ///
    /// Must be called on the runtime that [`Proxy::run`](super::Proxy::run) runs on.
    ///
    /// # Errors
    /// When an address can't be bound; nothing has changed then.
    pub async fn apply(&self, snapshot: Snapshot) -> Result<(), BindError> {
        self.0.apply(snapshot).await
    }

    /// How everything is now.
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// Whether every listener is bound, every checked server has had its first result, and the proxy is not
    /// draining.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// The addresses that a frontend listens on, with the ports that the kernel chose.
    pub fn addresses(&self, frontend: &str) -> Vec<String> {
        self.0.addresses(frontend)
    }

    /// The admin listener's address, with the port that the kernel chose.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.0.admin_address()
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// Only by a mistake of this library.
    pub fn encode_metrics(&self) -> Result<String, EncodeError> {
        self.0.metrics().encode()
    }

    /// The metrics themselves, for who applies configurations and counts it.
    pub fn metrics(&self) -> &Metrics {
        self.0.metrics()
    }

    /// Says how `POST /api/reload` is done: what changed, or why nothing did. The first to say so keeps the say.
    pub fn on_reload<F>(&self, reload: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.0.set_reload(Box::new(move || Box::pin(reload())));
    }

    /// Says where the configuration is from, for the status page.
    pub fn set_config(&self, config: ConfigStatus) {
        self.0.set_config(config);
    }
}
