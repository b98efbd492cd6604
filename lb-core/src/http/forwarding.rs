//! An exchange's way to a server and back: a server is leased and reached, the request goes out, the response comes
//! in, and what failed safely is tried again.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::body::{SourceError, Transfer, TransferError};
use super::ends::{ClientEnd, HeadError, HeadLimits, ServerEnd};
use super::exchange::{Exchange, Next, Patience, Unserved};
use super::filter::{Request, Response, Verdict};
use super::forwarded::Forwarded;
use super::head::{BodyLength, TargetForm};
use super::outgoing::{HeadEdits, OutgoingRequest, OutgoingResponse, Persistence};
use super::path::normalise;
use super::refusal::Refusal;
use super::reply::Reply;
use super::route::Plan;
use super::server::Server;
use super::upgraded::{Line, ServerSide};
use crate::backend::{PickInput, Refused};
use crate::metrics::Reason;
use crate::net::{Blocked, Introduction};
use crate::upstream::{Lease, Upstream};

/// Heads of responses are bounded as the default is for requests: no configuration can know what its servers send.
const RESPONSE_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 256 };

/// RFC 9110 section 15.2 sets no bound to interim responses. Each one is progress and begins the wait for the server
/// anew, so that without a bound a server could hold a client for ever.
const MAX_INTERIMS: u64 = 100;

/// A client that came with its request is not watched while it waits no longer than this: it would cost each
/// connection of one request two more system calls.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// A connection to a leased server, for one exchange.
#[derive(Debug)]
struct Reached {
    server: Server,
    lease: Lease,
    is_reused: bool,
}

/// Why there is no response head.
#[derive(Debug)]
enum Broken {
    /// The server's connection failed. `is_untouched`: before a byte of the response.
    Server {
        error: HeadError,
        is_untouched: bool,
    },
    ServerTimeout,
    /// The request's body could not be read.
    Client(SourceError),
    ClientTimeout,
    /// The client's connection failed.
    ClientGone,
}

/// How moving the bodies ended.
#[derive(Debug)]
enum Moved {
    Whole,
    Failed(Reason),
    /// The server's body was broken before anything of the response had been sent.
    BeforeAnything,
}

impl<'a, C: ClientEnd> Exchange<'a, C> {
    /// Serves the request from a backend.
    pub(super) async fn forward(&mut self, plan: &Plan, at: usize) -> Result<Next, Unserved<'a>> {
        let upstream = &*self.service.upstreams[at].upstream;
        self.record.upstream = Some(at);
        self.bound_body()?;
        if !self.service.filters.is_empty() {
            self.scratch.request_edits.clear();
            self.scratch.response_edits.clear();
            if let Some(reply) = Box::pin(self.filter_request(upstream)).await {
                return Err(Unserved::Reply(reply, None));
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

    /// Lets the filters see the request; the reply of the first that answers.
    async fn filter_request(&mut self, upstream: &Upstream) -> Option<Reply> {
        for filter in &*self.service.filters {
            let verdict = filter.request(&mut Request {
                head: &self.scratch.request,
                bytes: self.client.head_bytes(),
                edits: &mut self.scratch.request_edits,
                client: self.peer.client.socket(),
                client_subject: self.client.client_subject(),
                frontend: &self.service.name,
                backend: upstream.backend().name(),
            });
            match verdict {
                Verdict::Continue => {}
                Verdict::Answer(reply) => return Some(reply),
                Verdict::Wait(decision) => {
                    if let Some(reply) = decision.await {
                        return Some(reply);
                    }
                }
            }
        }
        None
    }

    /// Sends the request and reads the response's head; over a fresh connection where a pooled one was dead and
    /// repeating is safe.
    async fn converse(
        &mut self,
        upstream: &Upstream,
        plan: &Plan,
        reached: &mut Reached,
        upload: &mut Transfer,
    ) -> Result<(), Unserved<'a>> {
        loop {
            let is_replayable = self.client.is_replayable();
            self.write_request(plan, reached);
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

    /// A connection to a server: nearly always a pooled one, at once.
    async fn reach(&mut self, upstream: &Upstream) -> Result<Reached, Refusal> {
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
    async fn replace(&mut self, upstream: &Upstream, reached: &mut Reached) -> Result<(), Refusal> {
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
        while upstream.may_retry(self.record.retries) {
            let lease = match upstream.try_lease(&self.pick_input(), &self.scratch.tried) {
                Ok(lease) => lease,
                // Every server there is has been tried.
                Err(refused) => self.wait_for_lease(upstream, refused).await.map_err(|_| failed)?,
            };
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
        Err(failed)
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

    /// Whether the request can be repeated without the risk that it is carried out twice.
    fn may_send_again(&self, upstream: &Upstream, server: &impl ServerEnd) -> bool {
        let request = &self.scratch.request;
        let is_harmless = request.is_idempotent(self.client.head_bytes()) || !server.has_written();
        is_harmless && self.record.retries < upstream.backend().retries()
    }

    fn write_request(&mut self, plan: &Plan, reached: &mut Reached) {
        let super::connection::Scratch { request, request_edits, path, target, .. } = &mut *self.scratch;
        let bytes = self.client.head_bytes();
        let backend_forwards =
            self.service.upstreams[self.record.upstream.unwrap_or(0)].upstream.backend().forwarded();
        let forwarded = backend_forwards.then(|| Forwarded {
            client: self.peer.client.ip(),
            scheme: self.client.scheme(),
            host: &bytes[request.authority],
            is_trusted: self.service.trusts(self.peer.client),
        });
        target.clear();
        let is_connect = request.target.form == TargetForm::Authority;
        let is_rewritten = plan.rewrite().filter(|_| !is_connect).is_some_and(|rewrite| {
            // Routing has normalised it before, so it can't fail.
            normalise(&bytes[request.target.path], path)
                .is_ok_and(|path| rewrite.apply(path, bytes[request.target.query].strip_prefix(b"?"), target))
        });
        if !is_rewritten {
            // Absolute form goes on in origin form (RFC 9112 section 3.2.1), where an empty path is "/", unless it asks
            // for the options of the server as a whole (section 3.2.4).
            if request.target.path.is_empty() && !is_connect {
                let is_of_server =
                    bytes[request.target.query].is_empty() && &bytes[request.method] == b"OPTIONS";
                target.push(if is_of_server { b'*' } else { b'/' });
            }
            target.extend_from_slice(&bytes[request.target.path_and_query]);
        }
        reached.server.write_request(OutgoingRequest {
            head: request,
            bytes,
            target,
            default_host: reached.lease.server().name(),
            edits: HeadEdits { route: plan.request_headers(), filters: request_edits },
            forwarded,
            via: self.service.via.as_deref(),
        });
    }

    /// Sends head and body, and reads until the response's final head.
    async fn talk(
        &mut self,
        upstream: &Upstream,
        server: &mut impl ServerEnd,
        upload: &mut Transfer,
    ) -> Result<(), Broken> {
        let (client, shared) = (&mut *self.client, self.shared);
        let (request, response) = (&self.scratch.request, &mut self.scratch.response);
        let (wait_for_server, wait_for_client) =
            (upstream.backend().timeouts().response, self.service.timeouts.body);
        let mut patience = Patience::new(&mut self.peer.deadline);
        let mut is_sent = false;
        let mut is_client_full = false;
        let mut interims = 0;
        poll_fn(|cx| {
            if !is_sent {
                match upload.poll(cx, client, server, &shared.resources) {
                    Poll::Ready(Ok(())) => is_sent = true,
                    // The server may have answered before it stopped reading.
                    Poll::Ready(Err(TransferError::Sink(_))) => is_sent = true,
                    Poll::Ready(Err(TransferError::Source(error))) => {
                        return Poll::Ready(Err(Broken::Client(error)));
                    }
                    Poll::Pending => {}
                }
            }
            loop {
                // What the client has not taken holds the next head back, so that no server fills our memory.
                let flushed = client.poll_flush(cx);
                if let Poll::Ready(Err(_)) = flushed {
                    return Poll::Ready(Err(Broken::ClientGone));
                }
                is_client_full = flushed.is_pending();
                if is_client_full {
                    break;
                }
                let Poll::Ready(received) =
                    server.poll_response(cx, RESPONSE_LIMITS, request.asked, response)
                else {
                    break;
                };
                if let Err(error) = received {
                    let is_untouched = interims == 0 && !server.has_more();
                    return Poll::Ready(Err(Broken::Server { error, is_untouched }));
                }
                if response.status >= 200 || response.status == 101 {
                    return Poll::Ready(Ok(()));
                }
                interims += 1;
                if interims > MAX_INTERIMS {
                    let error = HeadError::TooManyInterims;
                    return Poll::Ready(Err(Broken::Server { error, is_untouched: false }));
                }
                if request.version.knows_interims() {
                    client.write_interim(response, server.head_bytes());
                }
            }
            // A client that waits for a 100 is not late: its server is.
            let is_client_silent = !is_sent
                && upload.blocked() == Blocked::Source
                && !(request.expects_continue && interims == 0 && upload.moved() == 0);
            let is_clients_turn = is_client_full || is_client_silent;
            let (allowed, late) = if is_clients_turn {
                (wait_for_client, Broken::ClientTimeout)
            } else {
                (wait_for_server, Broken::ServerTimeout)
            };
            let progress = upload.moved() + u64::from(is_sent) + interims;
            if is_sent {
                if !client.is_watched() {
                    ready!(patience.poll_part(cx, progress, allowed, SHORT_WAIT));
                    client.watch();
                }
                // Who waits for no answer any more keeps no slot of a server.
                if client.poll_gone(cx).is_ready() {
                    return Poll::Ready(Err(Broken::ClientGone));
                }
            }
            patience.poll(cx, progress, allowed).map(|()| Err(late))
        })
        .await
    }

    /// Sends the response on.
    async fn respond(
        &mut self,
        upstream: &Upstream,
        plan: &Plan,
        mut reached: Reached,
        mut upload: Transfer,
    ) -> Result<Next, Unserved<'a>> {
        let (request, response) = (&self.scratch.request, &self.scratch.response);
        let is_upgraded = response.status == 101;
        let is_tunnel = request.is_tunnel(response.status);
        // The protocol can't change in the middle of a message (RFC 9110 section 7.8): what is left of the body would
        // pass for the new protocol's.
        let may_be_tunnel = request.is_upgrade == is_upgraded
            && self.client.is_body_ended()
            && reached.server.can_tunnel()
            && reached.server.is_flushed();
        let is_admitted = self.client.admits(response, reached.server.head_bytes());
        if is_tunnel && !may_be_tunnel || !is_admitted {
            return Err(Refusal::BAD_RESPONSE.into());
        }
        self.record.is_answered = true;
        self.record.status = Some(response.status);
        if self.service.access_log.is_some() {
            self.record.first_byte = Some(self.record.began.elapsed());
        }
        let is_delimited = response.body != BodyLength::Unknown || request.version.delimits_bodies();
        let is_request_read = self.client.is_body_ended();
        let persistence = if is_upgraded {
            Persistence::Upgrade
        } else if is_tunnel {
            Persistence::Connect
        } else {
            self.persistence(is_request_read && is_delimited)
        };
        self.filter_response(&reached.server);
        self.write_response(plan, &reached.server, persistence);
        let mut download = Transfer::default();
        let moved = self.move_bodies(upstream, &mut reached.server, &mut upload, &mut download).await;
        self.record.received_bytes += upload.moved();
        self.record.sent_bytes += download.moved();
        match moved {
            Moved::Whole if is_tunnel => {
                let Reached { server, lease, .. } = reached;
                let idle = upstream.backend().timeouts().tunnel;
                // It said that it can.
                let Some(server) = server.into_tunnel(&self.shared.resources) else { return Ok(Next::Close) };
                let line = Line {
                    record: self.record.clone(),
                    request: std::mem::take(&mut self.scratch.request),
                    head: self.client.head_bytes().into(),
                };
                Ok(Next::Tunnel(Box::new(ServerSide { server, lease, idle, line })))
            }
            Moved::Whole => {
                self.release(upstream, reached);
                Ok(match persistence {
                    Persistence::Close => self.part(is_request_read),
                    _ => Next::Request,
                })
            }
            Moved::BeforeAnything => {
                self.record.is_answered = false;
                Err(Refusal::BAD_RESPONSE.into())
            }
            Moved::Failed(reason) => {
                self.record.reason = Some(reason);
                self.client.break_off();
                Ok(Next::Close)
            }
        }
    }

    fn filter_response(&mut self, server: &impl ServerEnd) {
        for filter in self.service.filters.iter().rev() {
            filter.response(&mut Response {
                head: &self.scratch.response,
                bytes: server.head_bytes(),
                edits: &mut self.scratch.response_edits,
            });
        }
    }

    fn write_response(&mut self, plan: &Plan, server: &impl ServerEnd, persistence: Persistence) {
        self.record.sent_bytes += self.client.write_response(OutgoingResponse {
            head: &self.scratch.response,
            bytes: server.head_bytes(),
            edits: HeadEdits { route: plan.response_headers(), filters: &self.scratch.response_edits },
            request: &self.scratch.request,
            persistence,
        });
    }

    /// Moves the response's body, and what is left of the request's meanwhile.
    async fn move_bodies(
        &mut self,
        upstream: &Upstream,
        server: &mut impl ServerEnd,
        upload: &mut Transfer,
        download: &mut Transfer,
    ) -> Moved {
        let (client, shared) = (&mut *self.client, self.shared);
        let (wait_for_server, wait_for_client) =
            (upstream.backend().timeouts().body, self.service.timeouts.body);
        let mut patience = Patience::new(&mut self.peer.deadline);
        let mut is_uploading = !client.is_body_ended();
        poll_fn(|cx| {
            if is_uploading {
                // Whatever stops the upload, the response is what counts now; a client that is gone shows there.
                is_uploading = upload.poll(cx, client, server, &shared.resources).is_pending();
            }
            match download.poll(cx, server, client, &shared.resources) {
                Poll::Ready(Ok(())) => Poll::Ready(Moved::Whole),
                Poll::Ready(Err(TransferError::Source(_))) if !client.has_written() => {
                    Poll::Ready(Moved::BeforeAnything)
                }
                Poll::Ready(Err(TransferError::Source(_))) => Poll::Ready(Moved::Failed(Reason::ServerAbort)),
                Poll::Ready(Err(TransferError::Sink(_))) => Poll::Ready(Moved::Failed(Reason::ClientAbort)),
                Poll::Pending => {
                    let (allowed, reason) = match download.blocked() {
                        Blocked::Source => (wait_for_server, Reason::ServerTimeout),
                        Blocked::Sink => (wait_for_client, Reason::ClientTimeout),
                    };
                    let progress = upload.moved() + download.moved();
                    patience.poll(cx, progress, allowed).map(|()| Moved::Failed(reason))
                }
            }
        })
        .await
    }

    /// Gives the server's connection back to its pool, if it can serve again.
    fn release(&mut self, upstream: &Upstream, reached: Reached) {
        let Reached { server, lease, .. } = reached;
        let now = *self.record.ended.insert(Instant::now());
        let reusable_since = self.is_reusable(&server).then(|| now.into_std());
        server.release(upstream, &lease, &self.shared.resources, reusable_since);
    }

    fn is_reusable(&self, server: &impl ServerEnd) -> bool {
        self.scratch.response.keeps_alive
            && server.is_body_ended()
            && !server.has_more()
            && server.is_flushed()
            && self.client.is_body_ended()
    }
}
