//! An exchange's way to a server and back.
//!
//! This file is the order of it, and what failing comes to: tried again where nothing can happen twice, refused
//! otherwise. [`reach`] finds a server and a connection to it, [`request`] sends the request until it has the response's
//! head, [`response`] passes the response on. Which server is picked is the backend's to say, what is written of a head
//! its end's ([`super::ends`]).

mod reach;
mod request;
mod response;

use self::reach::Reached;
use self::request::Broken;
use super::body::Transfer;
use super::ends::{ClientEnd, HeadError, ServerEnd};
use super::exchange::{Exchange, Next, Unserved};
use super::head::BodyLength;
use super::refusal::Refusal;
use super::route::Plan;
use crate::upstream::Upstream;

impl<C: ClientEnd> Exchange<'_, C> {
    /// Serves the request from a backend.
    pub(super) async fn forward(&mut self, plan: &Plan, at: usize) -> Result<Next, Unserved> {
        let upstream = &*self.service.upstreams[at].upstream;
        self.record.upstream = Some(at);
        self.bound_body()?;
        if !self.service.filters.is_empty() {
            self.scratch.request_edits.clear();
            self.scratch.response_edits.clear();
            if let Some(reply) = Box::pin(self.filter_request(upstream)).await {
                return Err(Unserved::Reply(reply));
            }
        }
        let mut reached = self.reach(upstream).await?;
        let mut upload = Transfer::default();
        self.converse(upstream, plan, &mut reached, &mut upload).await?;
        self.respond(upstream, plan, reached, upload).await
    }

    /// Holds the body to the frontend's limit.
    fn bound_body(&mut self) -> Result<(), Refusal> {
        let Some(limit) = self.service.limits.body_bytes else { return Ok(()) };
        self.client.limit_body(limit);
        match self.scratch.request.body {
            BodyLength::Known(length) if length > limit => Err(Refusal::BODY_TOO_LARGE),
            _ => Ok(()),
        }
    }

    /// Sends the request and reads the response's head; over a fresh connection where a pooled one was dead and
    /// repeating is safe.
    async fn converse(
        &mut self,
        upstream: &Upstream,
        plan: &Plan,
        reached: &mut Reached,
        upload: &mut Transfer,
    ) -> Result<(), Unserved> {
        loop {
            let is_replayable = self.client.is_replayable();
            self.write_request(upstream, plan, reached);
            let broken = match self.talk(upstream, &mut reached.server, upload).await {
                Ok(()) => {
                    if reached.is_reused {
                        upstream.answered(&reached.lease);
                    }
                    return Ok(());
                }
                Err(broken) => broken,
            };
            match broken {
                Broken::Server { error: HeadError::UnknownProtocol, .. } => {
                    return Err(Refusal::NO_TUNNEL.into());
                }
                Broken::Server { is_untouched: true, .. }
                    if is_replayable
                        && self.may_send_again(upstream, &reached.server)
                        && self.client.rewind(self.scratch.request.body) =>
                {
                    *upload = Transfer::default();
                    Box::pin(self.replace(upstream, reached)).await?;
                }
                Broken::Server { error, .. } => {
                    tracing::debug!(server = %reached.lease.server().name(), %error, "no valid response");
                    return Err(Refusal::BAD_RESPONSE.into());
                }
                Broken::ServerTimeout => {
                    reached.server.distrust();
                    return Err(Refusal::SERVER_TIMEOUT.into());
                }
                Broken::ClientTimeout => return Err(Refusal::CLIENT_TIMEOUT.into()),
                Broken::Client(error) => {
                    return Err(Refusal::of_request_body(&error).map_or(Unserved::Gone, Unserved::from));
                }
                Broken::ClientGone => return Err(Unserved::Gone),
            }
        }
    }

    /// Whether the request can be repeated without the risk that it is carried out twice.
    fn may_send_again(&self, upstream: &Upstream, server: &impl ServerEnd) -> bool {
        let request = &self.scratch.request;
        let is_harmless = request.is_idempotent(self.client.head_bytes()) || !server.has_written();
        is_harmless && self.record.retries < upstream.backend().retries()
    }
}
