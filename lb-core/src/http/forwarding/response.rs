//! The response's way back to the client, and what becomes of both connections then.
//!
//! Both bodies move at once, since a server may answer before it has read the request. Then the server's connection goes
//! back to its pool, or both connections are joined to a tunnel. Once the client has anything of a response, what fails
//! is no longer answered: the connection breaks off, so that it shows.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::reach::Reached;
use crate::http::body::{Transfer, TransferError};
use crate::http::ends::{ClientEnd, ServerEnd};
use crate::http::exchange::{Exchange, Next, Patience, Unserved};
use crate::http::filter::Response;
use crate::http::head::BodyLength;
use crate::http::outgoing::{HeadEdits, OutgoingResponse, Persistence};
use crate::http::refusal::Refusal;
use crate::http::route::Plan;
use crate::http::scratch::Scratch;
use crate::http::upgraded::{Line, ServerSide};
use crate::metrics::Reason;
use crate::net::Blocked;
use crate::upstream::Upstream;

/// How long a server may take to have much of a large body ready. If it takes longer, the client gets what there is as it
/// comes.
const GATHERING: Duration = Duration::from_millis(5);

/// How moving the bodies ended.
#[derive(Debug)]
enum Moved {
    Whole,
    Failed(Reason),
    /// The server's body was broken before anything of the response had been sent.
    BeforeAnything,
}

impl<C: ClientEnd> Exchange<'_, C> {
    /// Sends the response on.
    pub(super) async fn respond(
        &mut self,
        upstream: &Upstream,
        plan: &Plan,
        mut reached: Reached,
        mut upload: Transfer,
    ) -> Result<Next, Unserved> {
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
        let mut download = Transfer::gathering();
        let moved = self.move_bodies(upstream, &mut reached.server, &mut upload, &mut download).await;
        self.record.received_bytes += upload.moved();
        self.record.sent_bytes += download.moved();
        match moved {
            Moved::Whole if is_tunnel => Ok(self.join(upstream, reached)),
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
        self.make_values(plan.response_headers());
        let Scratch { request, response: head, response_edits, made, date, .. } = &mut *self.scratch;
        let edits = HeadEdits { route: plan.response_headers().with(made), filters: response_edits };
        let is_undated = head.status >= 200 && !head.is_dated() && !edits.settle(b"date");
        let date = is_undated.then(|| date.of(SystemTime::now()));
        let bytes = server.head_bytes();
        let response = OutgoingResponse { head, bytes, edits, date, request, persistence };
        self.record.sent_bytes += self.client.write_response(response);
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
        let (mut is_pressing, mut presses) = (false, 0);
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
                    let progress = upload.moved() + download.moved() + presses;
                    if download.is_gathering() {
                        // An upload that goes on doesn't make the server quicker.
                        ready!(patience.poll_part(cx, download.moved(), allowed, GATHERING));
                        download.hurry(server);
                    }
                    let is_full = download.blocked() == Blocked::Sink;
                    let was_pressing = is_pressing && is_full;
                    if !was_pressing {
                        ready!(patience.poll(cx, progress, allowed));
                    }
                    // It may have read all the time. Until its buffer is full: what room there is the next time, it has
                    // made since.
                    let has_room = is_full && matches!(download.press(server, client), Ok(true));
                    if !has_room && !was_pressing {
                        return Poll::Ready(Moved::Failed(reason));
                    }
                    is_pressing = has_room;
                    presses += u64::from(has_room);
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Hands the server's connection over to the tunnel that its response agreed to.
    fn join(&mut self, upstream: &Upstream, reached: Reached) -> Next {
        let Reached { server, lease, .. } = reached;
        let idle = upstream.backend().timeouts().tunnel;
        // It said that it can.
        let Some(server) = server.into_tunnel(&self.shared.resources) else { return Next::Close };
        let line = Line {
            record: self.record.clone(),
            request: std::mem::take(&mut self.scratch.request),
            head: self.client.head_bytes().into(),
        };
        Next::Tunnel(Box::new(ServerSide { server, lease, idle, line }))
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
            && !self.scratch.request.binds_connection
            && server.is_body_ended()
            && !server.has_more()
            && server.is_flushed()
            && self.client.is_body_ended()
    }
}
