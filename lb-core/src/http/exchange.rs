//! One request with its response.
//!
//! This file is the way of every request: its head is read, routed, and answered by the proxy itself or by a server
//! ([`super::forwarding`]); in the end it is counted and logged.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, header};
use tokio::time::Instant;

use super::circle;
use super::edits::HeaderEdits;
use super::ends::{ClientEnd, HeadLimits};
use super::forwarded::client_of;
use super::head::{Asked, Field, RequestHead, TargetForm, values};
use super::host::without_port;
use super::outgoing::{OutgoingReply, Persistence};
use super::path::normalise;
use super::peer::Peer;
use super::record::Record;
use super::refusal::Refusal;
use super::reply::Reply;
use super::route::{Action, Fields, Plan, Subject};
use super::scratch::Scratch;
use super::service::{RouteTarget, Service, Shared};
use super::template::Variables;
use super::upgraded::ServerSide;
use crate::metrics::Reason;
use crate::net::Deadline;

/// A request being served.
#[derive(Debug)]
pub(crate) struct Exchange<'a, C> {
    pub(super) peer: &'a mut Peer,
    pub(super) client: &'a mut C,
    pub(super) scratch: &'a mut Scratch,
    pub(super) service: &'a Service,
    pub(super) shared: &'a Shared,
    pub(super) record: Record,
    /// The request's head has been read: there is something to log it by.
    has_head: bool,
}

/// What becomes of the client's connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// It may send another request.
    Request,
    Close,
    /// It is closed once the client has had time to read the answer.
    Linger,
    /// It is joined to a server's.
    Tunnel(Box<ServerSide>),
}

/// What a request gets, as its route says.
enum Routed<'a> {
    Upstream(&'a RouteTarget, usize),
    Answer(&'a RouteTarget, Reply),
    /// Not for any route: the request ends at this proxy.
    Own(Reply),
}

/// Why there is no head.
#[derive(Debug)]
enum Unread {
    Refused(Refusal),
    /// The client has sent nothing yet.
    Nothing,
    /// The client has gone, or isn't owed an answer.
    Ended,
}

/// Why no server's response reached the client.
#[derive(Debug)]
pub(super) enum Unserved {
    /// This is the answer.
    Reply(Reply),
    Refused(Refusal),
    /// Nobody is there to be answered.
    Gone,
}

impl From<Refusal> for Unserved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<'a, C: ClientEnd> Exchange<'a, C> {
    pub(crate) fn new(
        peer: &'a mut Peer,
        client: &'a mut C,
        scratch: &'a mut Scratch,
        service: &'a Service,
        shared: &'a Shared,
    ) -> Self {
        Self { peer, client, scratch, service, shared, record: Record::new(Instant::now()), has_head: false }
    }

    /// Reads the request and sees it to its end.
    pub(crate) async fn run(mut self) -> Next {
        // The plan whose route took the request: it edits every response of that route, whoever gives it.
        let mut plan = None;
        let served = match self.read_head().await {
            Ok(()) => match self.route() {
                Ok(Routed::Upstream(target, at)) => self.forward(plan.insert(&target.plan), at).await,
                Ok(Routed::Answer(target, reply)) => {
                    plan = Some(&target.plan);
                    Err(Unserved::Reply(reply))
                }
                Ok(Routed::Own(reply)) => Err(Unserved::Reply(reply)),
                Err(refusal) => Err(refusal.into()),
            },
            // Whatever it was meant to be, TLS is what is missing.
            Err(Unread::Refused(Refusal { reason: Reason::BadRequest, .. })) if self.is_clear_text() => {
                Err(Refusal::CLEAR_TEXT.into())
            }
            Err(Unread::Refused(refusal)) => Err(refusal.into()),
            Err(Unread::Nothing) => return Next::Request,
            Err(Unread::Ended) => return Next::Close,
        };
        // Boxed, as is everything rare: this future is as large as its largest part, and is moved about.
        let next = match served {
            Ok(next) => next,
            Err(unserved) => Box::pin(self.answer_unserved(unserved, plan)).await,
        };
        self.settle(&next);
        next
    }

    async fn answer_unserved(&mut self, unserved: Unserved, plan: Option<&Plan>) -> Next {
        let edits = plan.map(Plan::response_headers);
        match unserved {
            Unserved::Reply(reply) => self.answer(&reply, edits, false).await,
            Unserved::Refused(refusal) => {
                self.record.reason = Some(refusal.reason);
                self.answer(&refusal.reply(), edits, refusal.closes).await
            }
            Unserved::Gone => {
                self.record.reason = Some(Reason::ClientAbort);
                Next::Close
            }
        }
    }

    async fn read_head(&mut self) -> Result<(), Unread> {
        let limits =
            HeadLimits { bytes: self.service.limits.head_bytes, fields: self.service.limits.headers };
        let mut is_waiting = false;
        poll_fn(|cx| match self.client.poll_request(cx, limits, &mut self.scratch.request) {
            Poll::Ready(received) => Poll::Ready(
                received.map_err(|error| Refusal::of_head(&error).map_or(Unread::Ended, Unread::Refused)),
            ),
            // Without a byte it waits where waiting takes no buffer.
            Poll::Pending if !self.client.has_more() => Poll::Ready(Err(Unread::Nothing)),
            Poll::Pending => {
                if !is_waiting && !self.peer.is_new {
                    self.peer.deadline.set(self.record.began + self.service.timeouts.head);
                }
                is_waiting = true;
                ready!(self.peer.deadline.poll(cx));
                Poll::Ready(Err(Unread::Refused(Refusal::CLIENT_TIMEOUT)))
            }
        })
        .await?;
        if is_waiting {
            self.record.began = Instant::now();
        }
        self.peer.is_new = false;
        self.has_head = true;
        self.record.received_bytes = self.client.head_bytes().len() as u64;
        Ok(())
    }

    /// Finds the route and what it wants.
    fn route(&mut self) -> Result<Routed<'a>, Refusal> {
        if self.is_clear_text() {
            return Err(Refusal::CLEAR_TEXT);
        }
        let Scratch { request, path, .. } = &mut *self.scratch;
        let bytes = self.client.head_bytes();
        match &bytes[request.method] {
            b"TRACE" => return Err(Refusal::TRACE),
            b"OPTIONS" if request.forwards_left(bytes) == Some(0) => {
                return Ok(Routed::Own(Reply::options()));
            }
            _ => {}
        }
        if circle::goes_round(request, bytes) {
            return Err(Refusal::CIRCLE);
        }
        let authority = &bytes[request.authority];
        let is_connect = request.target.form == TargetForm::Authority;
        let normalised = if is_connect { Ok(&[][..]) } else { normalise(&bytes[request.target.path], path) };
        let subject = Subject {
            path: normalised.map_err(|_| Refusal::BAD_PATH)?,
            host: without_port(authority),
            method: &bytes[request.method],
            query: bytes[request.target.query].strip_prefix(b"?"),
            fields: &HeadFields { fields: &request.fields, bytes },
        };
        let target = self.service.router.find_with(&subject, &self.service.memories);
        let target = target.ok_or(if is_connect { Refusal::CONNECT } else { Refusal::NO_ROUTE })?;
        let reply = match target.plan.action() {
            Action::Backend(_) => return Ok(Routed::Upstream(target, target.upstreams[0])),
            Action::Split(split) => {
                return Ok(Routed::Upstream(target, target.upstreams[split.pick_index(fastrand::u64(..))]));
            }
            Action::Respond(response) => Reply::new(response.status())
                .header(header::CONTENT_TYPE, response.content_type().clone())
                .body(response.body().clone()),
            Action::Redirect(redirect) => {
                let mut location = Vec::new();
                redirect.render(&self.variables(), &mut location).map_err(|_| Refusal::BAD_REQUEST)?;
                let location = HeaderValue::from_maybe_shared(Bytes::from(location));
                Reply::new(redirect.status())
                    .header(header::LOCATION, location.map_err(|_| Refusal::BAD_REQUEST)?)
            }
        };
        Ok(Routed::Answer(target, reply))
    }

    /// What the request offers to placeholders.
    fn variables(&self) -> Variables<'_> {
        let (request, bytes) = (&self.scratch.request, self.client.head_bytes());
        let target = &request.target;
        let is_bare = target.path.is_empty() && target.form != TargetForm::Authority;
        let peer = self.peer.client;
        let client = client_of(peer.ip(), &self.service.trusted_proxies, &request.fields, bytes);
        Variables {
            scheme: self.client.scheme(self.peer.said.as_deref()),
            method: &bytes[request.method],
            host: &bytes[request.authority],
            path: if is_bare { b"/" } else { &bytes[target.path] },
            query: bytes[target.query].strip_prefix(b"?"),
            client,
            client_port: peer.socket().filter(|_| client == peer.ip()).map(|socket| socket.port()),
        }
    }

    /// Makes the values of these edits that depend on the request.
    pub(super) fn make_values(&mut self, edits: &HeaderEdits) {
        if edits.has_placeholders() {
            let mut made = std::mem::take(&mut self.scratch.made);
            edits.make(&self.variables(), &mut made);
            self.scratch.made = made;
        }
    }

    /// Answers in the server's place.
    async fn answer(&mut self, reply: &Reply, edits: Option<&HeaderEdits>, closes: bool) -> Next {
        edits.into_iter().for_each(|edits| self.make_values(edits));
        let is_read = self.has_head && self.client.discard_body();
        let persistence = self.persistence(!closes && is_read);
        let none = RequestHead::default();
        let request = if self.has_head { &self.scratch.request } else { &none };
        let edits = edits.map(|edits| edits.with(&self.scratch.made));
        let date = self.scratch.date.of(SystemTime::now());
        self.record.sent_bytes +=
            self.client.write_reply(OutgoingReply { reply, edits, date, request, persistence });
        self.record.status = Some(reply.status().as_u16());
        if !self.flush().await {
            return Next::Close;
        }
        match persistence {
            Persistence::Close => self.part(is_read),
            _ => Next::Request,
        }
    }

    /// How to close after an answer: at once only where the client sends no more, since it said so. `is_read`: all of
    /// its request has been read.
    pub(super) fn part(&self, is_read: bool) -> Next {
        let is_last = !self.scratch.request.keeps_alive && !self.client.has_more();
        if is_read && is_last { Next::Close } else { Next::Linger }
    }

    /// Whether the client's connection stays open.
    pub(super) fn persistence(&self, may_stay: bool) -> Persistence {
        let request = &self.scratch.request;
        // What follows a CONNECT may be meant for the tunnel that there is not, and is no request.
        let may_stay = may_stay && request.asked != Asked::Connect;
        if !may_stay || !request.keeps_alive || self.peer.entry.connections.is_draining() {
            return Persistence::Close;
        }
        Persistence::Open
    }

    /// Whether a client in clear text came to a port of TLS.
    fn is_clear_text(&self) -> bool {
        self.service.entrance.tls.is_some() && !self.client.is_secure()
    }

    /// Writes what is queued to the client; false if the client doesn't take it.
    async fn flush(&mut self) -> bool {
        let mut patience = Patience::new(&mut self.peer.deadline);
        let allowed = self.service.timeouts.body;
        let flushed = poll_fn(|cx| match self.client.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| Reason::ClientAbort)),
            Poll::Pending => patience.poll(cx, 0, allowed).map(|()| Err(Reason::ClientTimeout)),
        })
        .await;
        if let Err(reason) = flushed {
            self.record.reason.get_or_insert(reason);
        }
        flushed.is_ok()
    }

    /// Counts and logs, and sets the clock for the next request. A tunnel is logged when it ends.
    fn settle(&mut self, next: &Next) {
        let ended = self.record.ended.unwrap_or_else(Instant::now);
        self.peer.deadline.set(ended + self.service.timeouts.idle);
        self.record.count(self.service, ended);
        if matches!(next, Next::Tunnel(_)) {
            return;
        }
        let request = self.has_head.then(|| (&self.scratch.request, self.client.head_bytes()));
        self.record.log(self.service, self.shared, self.peer.client, request, ended);
    }
}

/// A deadline that moves on when there is progress.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    deadline: &'a mut Deadline,
    /// With when it was made.
    progress: Option<(u64, Duration, Instant)>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(deadline: &'a mut Deadline) -> Self {
        Self { deadline, progress: None }
    }

    /// Ready when `allowed` has passed since `progress`, or what is waited for, last changed.
    pub(super) fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        progress: u64,
        allowed: Duration,
    ) -> Poll<()> {
        self.poll_part(cx, progress, allowed, allowed)
    }

    /// Likewise, when no more than the first `part` of it has passed.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut std::task::Context<'_>,
        progress: u64,
        allowed: Duration,
        part: Duration,
    ) -> Poll<()> {
        let since = match self.progress {
            Some((seen, of, since)) if (seen, of) == (progress, allowed) => since,
            _ => Instant::now(),
        };
        self.progress = Some((progress, allowed, since));
        self.deadline.set(since + part.min(allowed));
        self.deadline.poll(cx)
    }
}

/// A head's fields as routes look at them.
struct HeadFields<'a> {
    fields: &'a [Field],
    bytes: &'a [u8],
}

impl Fields for HeadFields<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        values(self.fields, self.bytes, name.as_bytes()).any(test)
    }
}
