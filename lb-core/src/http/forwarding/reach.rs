//! Which server an exchange talks to, and over which connection.
//!
//! A server is leased, and a pooled connection to it taken or a fresh one opened; one that can't be reached is passed
//! over for another, as long as there are tries. Whether a request that has been sent may be sent again is not decided
//! here.

use std::sync::Arc;

use crate::backend::{PickInput, Refused};
use crate::http::ends::ClientEnd;
use crate::http::exchange::Exchange;
use crate::http::refusal::Refusal;
use crate::http::server::Server;
use crate::net::Introduction;
use crate::upstream::{Lease, Upstream};

/// A connection to a leased server, for one exchange.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) server: Server,
    pub(super) lease: Lease,
    pub(super) is_reused: bool,
}

impl<C: ClientEnd> Exchange<'_, C> {
    /// A connection to a server: nearly always a pooled one, at once.
    pub(super) async fn reach(&mut self, upstream: &Upstream) -> Result<Reached, Refusal> {
        self.scratch.tried.clear();
        upstream.count_request();
        let lease = match upstream.try_lease(&self.pick_input(), &[]) {
            Ok(lease) => lease,
            Err(refused) => Box::pin(self.wait_for_lease(upstream, refused)).await?,
        };
        self.record.endpoint = Some(Arc::clone(lease.endpoint()));
        match Server::reuse(upstream, &lease, &self.shared.resources) {
            Some(server) => Ok(Reached { server, lease, is_reused: true }),
            None => Box::pin(self.connect(upstream, lease)).await,
        }
    }

    /// Replaces a connection that its server closed before a byte of the response.
    pub(super) async fn replace(
        &mut self,
        upstream: &Upstream,
        reached: &mut Reached,
    ) -> Result<(), Refusal> {
        *reached = if reached.is_reused {
            // A pooled connection: the server itself is probably fine, its neighbours in the pool are not.
            reached.lease.endpoint().clear_idle();
            self.count_retry(upstream);
            self.connect(upstream, reached.lease.again()).await?
        } else {
            // It took the connection and said nothing, as one that is being killed does.
            self.scratch.tried.push(Arc::clone(reached.lease.server()));
            let another = self.reach_another(upstream, Refusal::BAD_RESPONSE).await;
            // Where the others can't be reached, what there was to tell of the one that could comes first.
            another.map_err(|_| Refusal::BAD_RESPONSE)?
        };
        Ok(())
    }

    /// A fresh connection to the leased server, or any to another one that answers.
    async fn connect(&mut self, upstream: &Upstream, lease: Lease) -> Result<Reached, Refusal> {
        match self.open(upstream, lease).await {
            Ok(reached) => Ok(reached),
            Err(failed) => self.reach_another(upstream, failed).await,
        }
    }

    /// A connection to a server that has not failed this request yet; where there is none, what went wrong last.
    async fn reach_another(&mut self, upstream: &Upstream, mut failed: Refusal) -> Result<Reached, Refusal> {
        loop {
            let (input, tried) = (self.pick_input(), &self.scratch.tried);
            let another = upstream.lease_another(&input, tried, self.record.retries).await;
            let lease = another.ok_or(failed)?;
            self.count_retry(upstream);
            self.record.endpoint = Some(Arc::clone(lease.endpoint()));
            if let Some(server) = Server::reuse(upstream, &lease, &self.shared.resources) {
                return Ok(Reached { server, lease, is_reused: true });
            }
            match self.open(upstream, lease).await {
                Ok(reached) => return Ok(reached),
                Err(refusal) => failed = refusal,
            }
        }
    }

    /// A fresh connection to the leased server. If it can't be reached, that is remembered.
    async fn open(&mut self, upstream: &Upstream, lease: Lease) -> Result<Reached, Refusal> {
        let said = upstream.introduces_clients().then(|| self.client.said(self.peer.said.as_deref()));
        let introduction = Introduction { client: self.peer.client.socket(), said: said.as_ref() };
        match Server::connect(upstream, &lease, introduction, &self.shared.resources).await {
            Ok((server, took)) => {
                self.record.connect = took;
                Ok(Reached { server, lease, is_reused: took.is_none() })
            }
            Err(error) => {
                tracing::debug!(server = %lease.server().name(), %error, "can't connect");
                self.scratch.tried.push(Arc::clone(lease.server()));
                Err(Refusal::of_connect(&error))
            }
        }
    }

    async fn wait_for_lease(&self, upstream: &Upstream, refused: Refused) -> Result<Lease, Refusal> {
        let (input, tried) = (self.pick_input(), &self.scratch.tried);
        upstream.wait_for_lease(&input, tried, refused).await.map_err(Refusal::of_lease)
    }

    fn pick_input(&self) -> PickInput<'_> {
        let uri = &self.client.head_bytes()[self.scratch.request.target.path_and_query];
        PickInput { client: self.peer.client.ip(), uri, ..PickInput::default() }
    }

    fn count_retry(&mut self, upstream: &Upstream) {
        self.record.retries += 1;
        upstream.metrics().retry();
    }
}
