//! The request's way to the server, until the response's head has come back.
//!
//! What goes on of the head is put together here and written by the server's end. Interim responses go to the client as
//! they come; the final one stays in the exchange's memory for [`super::response`].

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use super::reach::Reached;
use crate::http::body::{SourceError, Transfer, TransferError};
use crate::http::ends::{ClientEnd, HeadError, HeadLimits, ServerEnd};
use crate::http::exchange::{Exchange, Patience};
use crate::http::filter::{Request, Verdict};
use crate::http::forwarded::{Forwarded, RealIp, client_of};
use crate::http::head::{BodyLength, ResponseHead, Span, TargetForm};
use crate::http::outgoing::{HeadEdits, OutgoingRequest};
use crate::http::reply::Reply;
use crate::http::route::{Plan, Rewrite};
use crate::http::scratch::Scratch;
use crate::net::Blocked;
use crate::upstream::Upstream;

/// RFC 9110 section 15.2 sets no bound to interim responses. Each one is progress and begins the wait for the server
/// anew, so that without a bound a server could hold a client for ever.
const MAX_INTERIMS: u64 = 100;

/// A client that came with its request is not watched while it waits no longer than this: it would cost each
/// connection of one request two more system calls.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// What a 100 says.
const GO_ON: &[u8] = b"Continue";

/// Why there is no response head.
#[derive(Debug)]
pub(super) enum Broken {
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

impl<C: ClientEnd> Exchange<'_, C> {
    /// Lets the filters see the request; the reply of the first that answers.
    pub(super) async fn filter_request(&mut self, upstream: &Upstream) -> Option<Reply> {
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

    /// Queues the head as it goes on to this server.
    pub(super) fn write_request(&mut self, upstream: &Upstream, plan: &Plan, reached: &mut Reached) {
        self.make_values(plan.request_headers());
        let Scratch { request, request_edits, path, target, made, .. } = &mut *self.scratch;
        let bytes = self.client.head_bytes();
        target.clear();
        let is_connect = request.target.form == TargetForm::Authority;
        let is_rewritten = plan.rewrite().filter(|_| !is_connect).is_some_and(|rewrite| {
            let query = bytes[request.target.query].strip_prefix(b"?");
            rewrite.apply(&bytes[request.target.path], query, path, target)
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
        let backend = upstream.backend();
        let prefix = plan.rewrite().filter(|_| is_rewritten).and_then(Rewrite::stripped);
        let forwarded = backend.forwarded().then(|| Forwarded {
            client: self.peer.client.ip(),
            scheme: self.client.scheme(self.peer.said.as_deref()),
            host: &bytes[request.authority],
            prefix: prefix.unwrap_or_default(),
            is_trusted: self.service.trusts(self.peer.client),
        });
        let trusted = &self.service.trusted_proxies;
        let real_ip = backend
            .real_ip()
            .then(|| RealIp(client_of(self.peer.client.ip(), trusted, &request.fields, bytes)));
        let outgoing = OutgoingRequest {
            head: request,
            bytes,
            target,
            default_host: reached.lease.server().name(),
            edits: HeadEdits { route: plan.request_headers().with(made), filters: request_edits },
            forwarded,
            real_ip,
            via: self.service.via.as_deref(),
        };
        let is_kept_waiting = request.expects_continue && !outgoing.tells_expectation();
        reached.server.write_request(outgoing);
        if is_kept_waiting {
            // The server is not asked, so that it would never say it (RFC 9110 section 10.1.1).
            (request.expects_continue, request.has_expectation) = (false, false);
            let go_on =
                ResponseHead { status: 100, reason: Span::new(0, GO_ON.len()), ..ResponseHead::default() };
            self.client.write_interim(&go_on, GO_ON);
        }
    }

    /// Sends head and body, and reads until the response's final head.
    pub(super) async fn talk(
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
        let (mut is_told_to_continue, mut may_stay) = (false, true);
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
                    server.poll_response(cx, HeadLimits::OF_RESPONSES, request.asked, response)
                else {
                    break;
                };
                if let Err(error) = received {
                    let is_untouched = interims == 0 && !server.has_more();
                    return Poll::Ready(Err(Broken::Server { error, is_untouched }));
                }
                may_stay &= response.keeps_alive;
                if response.status >= 200 || response.status == 101 {
                    // A server that answers without a 100 may read on for the body, or believe that none comes and take
                    // it for the next request (RFC 9110 section 10.1.1 has it say which, and not all do).
                    let is_body_doubtful = request.has_expectation && request.body != BodyLength::None;
                    response.keeps_alive = may_stay && (is_told_to_continue || !is_body_doubtful);
                    return Poll::Ready(Ok(()));
                }
                interims += 1;
                is_told_to_continue |= response.status == 100;
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
}
