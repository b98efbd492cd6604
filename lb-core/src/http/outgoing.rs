//! Heads as they go out, before a protocol writes them down: which of the received fields go on, and what is added.

use super::circle;
use super::edits::RequestEdits;
use super::filter::Edits;
use super::forwarded::{Forwarded, RealIp};
use super::head::{Asked, BodyLength, Field, Known, RequestHead, ResponseHead, Version, is_named};
use super::host::is_valid_authority;
use super::reply::Reply;

/// The edits of a route and of filters, laid over a head's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadEdits<'a> {
    pub(crate) route: RequestEdits<'a>,
    pub(crate) filters: &'a Edits,
}

/// A request as it goes to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingRequest<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) bytes: &'a [u8],
    /// Origin form, or `*`.
    pub(crate) target: &'a [u8],
    /// For a client of HTTP/1.0 that named none, if it can be one.
    pub(crate) default_host: &'a str,
    pub(crate) edits: HeadEdits<'a>,
    pub(crate) forwarded: Option<Forwarded<'a>>,
    pub(crate) real_ip: Option<RealIp>,
    /// What the proxy calls itself.
    pub(crate) via: Option<&'a str>,
}

/// A server's response as it goes to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingResponse<'a> {
    pub(crate) head: &'a ResponseHead,
    pub(crate) bytes: &'a [u8],
    pub(crate) edits: HeadEdits<'a>,
    /// When it came, where it does not say so itself (RFC 9110 section 6.6.1).
    pub(crate) date: Option<&'a [u8]>,
    /// What it answers.
    pub(crate) request: &'a RequestHead,
    pub(crate) persistence: Persistence,
}

/// An answer of our own as it goes to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingReply<'a> {
    pub(crate) reply: &'a Reply,
    pub(crate) edits: Option<RequestEdits<'a>>,
    /// When it was made, unless it says so itself.
    pub(crate) date: &'a [u8],
    /// What it answers; empty where no head could be read.
    pub(crate) request: &'a RequestHead,
    pub(crate) persistence: Persistence,
}

/// What becomes of the client's connection after a response, as far as its protocol has it end with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    Open,
    Close,
    /// Becomes a tunnel, as the response says.
    Upgrade,
    /// Becomes a tunnel, as the request said.
    Connect,
}

impl HeadEdits<'_> {
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.route.drops(name) || self.filters.drops(name)
    }

    /// The fields that are added.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let route = self.route.fields().filter(|(name, _)| !self.filters.drops(name));
        route.chain(self.filters.fields())
    }

    /// Whether fields of this name are what the edits say, which may be that there is none.
    pub(crate) fn settle(&self, name: &[u8]) -> bool {
        self.drops(name) || self.fields().any(|(added, _)| added == name)
    }

    fn pass(&self, field: &Field, bytes: &[u8]) -> bool {
        !field.is_hop_by_hop && !self.drops(&bytes[field.name])
    }
}

impl OutgoingRequest<'_> {
    /// The host that is asked, unless an edit names another.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        if self.edits.drops(b"host") {
            return None;
        }
        match &self.bytes[self.head.authority] {
            [] if is_valid_authority(self.default_host.as_bytes()) => Some(self.default_host.as_bytes()),
            [] => Some(b"localhost"),
            authority => Some(authority),
        }
    }

    /// How many more proxies it may pass behind this one. For other methods than OPTIONS the field means nothing, and
    /// passes (RFC 9110 section 7.6.2).
    pub(crate) fn max_forwards(&self) -> Option<u32> {
        if &self.bytes[self.head.method] != b"OPTIONS" {
            return None;
        }
        self.head.forwards_left(self.bytes).map(|left| left.saturating_sub(1))
    }

    /// The protocol it was received by and the proxy's name, where it is to be said that it came this way. A field of its
    /// own behind those of the proxies in front (RFC 9110 section 7.6.3).
    pub(crate) fn via(&self) -> Option<(&'static str, &str)> {
        let name = self.via.filter(|_| !self.edits.drops(b"via"))?;
        // The protocol's name is left out where it is HTTP.
        Some((self.head.version.as_str().strip_prefix("HTTP/").unwrap_or_default(), name))
    }

    /// Writes the fields that tell who asked, how and for what; one that a route or a filter sets or removes is theirs.
    pub(crate) fn write_forwarded(&self, queue: &mut Vec<u8>) {
        let is_told = |name: &[u8]| !self.edits.drops(name);
        if let Some(forwarded) = self.forwarded {
            forwarded.write(queue, &self.head.fields, self.bytes, is_told);
        }
        if let Some(real_ip) = self.real_ip.filter(|_| is_told(RealIp::NAME.as_bytes())) {
            real_ip.write(queue);
        }
    }

    /// The proxy's mark on a request that may have come through it before, in a field of its own behind those received.
    pub(crate) fn circle_mark(&self) -> Option<&'static str> {
        let may_be_changed = self.forwarded.is_some() || self.via.is_some();
        let is_marked =
            may_be_changed && circle::has_passed_proxy(&self.head.fields) && !self.edits.drops(b"cdn-loop");
        is_marked.then_some(circle::NAME)
    }

    /// Whether the server learns what the client expects.
    pub(crate) fn tells_expectation(&self) -> bool {
        self.received().any(|field| field.known == Known::Expect)
    }

    /// The received fields that go on, but for the host and the length of the body.
    pub(crate) fn received(&self) -> impl Iterator<Item = &Field> {
        let has_max_forwards = self.max_forwards().is_some();
        let passes = move |field: &&Field| {
            let is_ours = match field.known {
                Known::Other => false,
                Known::Host | Known::ContentLength => true,
                Known::MaxForwards => has_max_forwards,
                // RFC 9110 section 10.1.1: of a client that can't be told to continue it is to be ignored.
                Known::Expect => !self.head.version.knows_interims(),
                Known::Trailer => self.head.body != BodyLength::Unknown,
                known => {
                    self.forwarded.is_some_and(|forwarded| forwarded.drops(known))
                        || self.real_ip.is_some() && is_named(RealIp::NAME, &self.bytes[field.name])
                }
            };
            !is_ours && self.edits.pass(field, self.bytes)
        };
        self.head.fields.iter().filter(passes)
    }
}

impl OutgoingResponse<'_> {
    /// Whether the server asks for another protocol. That is said hop by hop, and this response says nothing without it
    /// (RFC 9110 section 15.5.22).
    pub(crate) fn asks_upgrade(&self) -> bool {
        self.head.status == 426
            && self.request.version != Version::Http10
            && self.head.fields.iter().any(|field| field.known == Known::Upgrade)
    }

    /// Whether the body goes out without a length, its end told by the protocol.
    pub(crate) fn is_delimited(&self) -> bool {
        self.head.body == BodyLength::Unknown && self.request.version.delimits_bodies()
    }

    /// The server's fields that go on, but for the length of a body.
    pub(crate) fn received(&self) -> impl Iterator<Item = &Field> {
        // A response without content may still say how long the content would have been (RFC 9110 sections 8.6 and
        // 15.4.5), but never one of 1xx or 204, nor one that opens a tunnel (sections 8.6 and 9.3.6).
        let status = self.head.status;
        let has_length = status >= 200 && status != 204 && self.persistence != Persistence::Connect;
        let says_length = self.head.body == BodyLength::None && has_length;
        let passes = move |field: &&Field| {
            let is_ours = match field.known {
                Known::ContentLength => !says_length,
                Known::Trailer => !self.is_delimited(),
                _ => false,
            };
            !is_ours && self.edits.pass(field, self.bytes)
        };
        self.head.fields.iter().filter(passes)
    }
}

impl OutgoingReply<'_> {
    /// When it was made, where neither it nor its route has its own say on that.
    pub(crate) fn date(&self) -> Option<&[u8]> {
        let is_settled = self.edits.is_some_and(|edits| edits.drops(b"date"))
            || self.fields().any(|(name, _)| name == b"date");
        (!is_settled).then_some(self.date)
    }

    /// The reply's fields, then those of its route.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let edits = self.edits;
        let own = self.reply.fields().filter(move |(name, _)| edits.is_none_or(|edits| !edits.drops(name)));
        own.chain(edits.into_iter().flat_map(|edits| edits.fields()))
    }

    /// Whether its status has content, which an answer to HEAD only describes.
    pub(crate) fn has_content(&self) -> bool {
        let status = self.reply.status();
        !status.is_informational() && status != 204 && status != 304
    }

    /// The content that is sent.
    pub(crate) fn content(&self) -> &[u8] {
        if self.has_content() && self.request.asked != Asked::Head { self.reply.payload() } else { &[] }
    }
}

/// The fields of an interim response that go on.
pub(crate) fn interim_fields(head: &ResponseHead) -> impl Iterator<Item = &Field> {
    head.fields.iter().filter(|field| !field.is_hop_by_hop && field.known != Known::ContentLength)
}
