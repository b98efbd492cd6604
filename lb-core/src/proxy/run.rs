//! A proxy's life.

use std::future::Future;

use super::control::{ControlPlane, Left};
use super::snapshot::Snapshot;
use super::{Handle, RunError};

/// A proxy that is built and does not run yet.
///
/// ```no_run
/// use lb_core::prelude::*;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Backend::builder("shop").server("10.0.0.1:80").server("10.0.0.2:80").build()?;
/// let web = Frontend::http("web").listen("0.0.0.0:80").backend(&shop);
/// let proxy = Proxy::builder().frontend(web).build()?;
/// proxy.run(std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    handle: Handle,
}

impl Proxy {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { handle: Handle(ControlPlane::new(snapshot)) }
    }

    /// A hand on it, for as long as it is wanted.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Binds, serves until `shutdown` resolves, then drains: after
    /// [`ProxyBuilder::drain_delay`](super::ProxyBuilder::drain_delay) nothing new is accepted, what is open may finish for
    /// as long as [`ProxyBuilder::drain_timeout`](super::ProxyBuilder::drain_timeout) says.
    ///
    /// Runs on any tokio runtime, which does the control plane's work: health checks, discovery, the admin listener.
    /// Dropping the future stops the workers at once.
    ///
    /// # Errors
    /// When an address can't be bound or a worker can't be started; nothing runs then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        self.start().await?;
        shutdown.await;
        self.drain().await;
        Ok(())
    }

    /// The first part of [`run`](Self::run): returns once every listener is bound and served.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn start(&self) -> Result<(), RunError> {
        self.handle.0.start().await
    }

    /// The last part of [`run`](Self::run): returns when every connection is closed, or the time for it has run out.
    pub async fn drain(&self) {
        let Left { tasks, pipes } = self.drain_all().await;
        tracing::debug!(tasks, pipes, "drained; these were left behind");
    }

    /// Likewise; and what was left of the workers' then.
    pub(crate) async fn drain_all(&self) -> Left {
        self.handle.0.drain().await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.handle.0.stop();
    }
}
