//! The head of a message: its start line and fields as ranges into the bytes they were read as.
//!
//! A head is parsed once and borrowed ever after; what changes on the way is a list of edits beside it
//! ([`super::filter`]), and what is written out is made from both in one pass. Every protocol end produces this form.

use std::ops::{Index, Range};

/// A range of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part` lies in `whole`; the empty span when it doesn't.
    pub(crate) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        if start > whole.len() || part.len() > whole.len() - start {
            return Self::default();
        }
        Self::new(start, start + part.len())
    }

    /// Heads are bounded far below 4 GiB (`limits.head_bytes`); one that weren't would give an empty span.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end => Self { start, end },
            _ => Self::default(),
        }
    }

    pub(crate) fn of_bytes(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl Index<Span> for [u8] {
    type Output = [u8];

    fn index(&self, span: Span) -> &[u8] {
        span.of_bytes(self)
    }
}

/// One header field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Known,
    /// Concerns this connection only and is not passed on (RFC 9110 section 7.6.1).
    pub(crate) is_hop_by_hop: bool,
}

impl Field {
    /// Its line with the CRLF, where that stands as it is sent on: one space behind the colon, none behind the value.
    pub(crate) fn line(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let (name_end, value_end) = (self.name.end as usize, self.value.end as usize);
        let is_canonical = bytes.get(name_end..self.value.start as usize) == Some(b": ")
            && bytes.get(value_end..value_end + 2) == Some(b"\r\n");
        is_canonical.then_some(self.name.start as usize..value_end + 2)
    }
}

/// The fields that the proxy itself has to understand, so that the rest of the code compares no strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Other,
    Authorization,
    CdnLoop,
    Connection,
    ContentLength,
    Date,
    Expect,
    Forwarded,
    Host,
    Http2Settings,
    KeepAlive,
    MaxForwards,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    Via,
    XForwardedFor,
    XForwardedHost,
    XForwardedPort,
    XForwardedPrefix,
    XForwardedProto,
    /// What else a proxy may tell its servers of a request, and they may believe: any other X-Forwarded, X-Original-URL
    /// and such.
    XForwardedOther,
    XRealIp,
    /// One of those above, but for underscores: servers that turn `-` into `_` (RFC 3875 section 4.1.18) can't tell them
    /// apart.
    XForwardedAlike,
    /// Likewise Content-Length or Transfer-Encoding.
    FramingAlike,
}

/// What all of them begin with that are followed by nothing or by a hyphen.
const X_FORWARDED: &str = "x-forwarded";
/// By other names, what some proxies tell and some servers (IIS, Symfony and others) go by.
const X_FORWARDED_OTHERS: [&str; 4] = ["x-original-uri", "x-original-url", "x-real-ip", "x-rewrite-url"];
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

impl Known {
    /// Which field this is a name of, in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        // The length decides between at most three candidates.
        let candidates: &[(&[u8], Self)] = match name.len() {
            2 => &[(b"te", Self::Te)],
            3 => &[(b"via", Self::Via)],
            4 => &[(b"host", Self::Host), (b"date", Self::Date)],
            6 => &[(b"expect", Self::Expect)],
            7 => &[(b"upgrade", Self::Upgrade), (b"trailer", Self::Trailer)],
            8 => &[(b"cdn-loop", Self::CdnLoop)],
            9 => &[(b"forwarded", Self::Forwarded), (b"x-real-ip", Self::XRealIp)],
            10 => &[(b"connection", Self::Connection), (b"keep-alive", Self::KeepAlive)],
            12 => &[(b"max-forwards", Self::MaxForwards)],
            13 => &[(b"authorization", Self::Authorization)],
            14 => &[(b"content-length", Self::ContentLength), (b"http2-settings", Self::Http2Settings)],
            15 => &[(b"x-forwarded-for", Self::XForwardedFor)],
            16 => &[
                (b"proxy-connection", Self::ProxyConnection),
                (b"x-forwarded-host", Self::XForwardedHost),
                (b"x-forwarded-port", Self::XForwardedPort),
            ],
            17 => &[
                (b"transfer-encoding", Self::TransferEncoding),
                (b"x-forwarded-proto", Self::XForwardedProto),
            ],
            18 => &[(b"x-forwarded-prefix", Self::XForwardedPrefix)],
            _ => &[],
        };
        candidates
            .iter()
            .find(|(known, _)| {
                known.iter().zip(name).all(|(known, byte)| *known == byte.to_ascii_lowercase())
            })
            .map_or_else(|| Self::of_unknown(name), |(_, known)| *known)
    }

    fn of_unknown(name: &[u8]) -> Self {
        let is_alike = |known: &&str| is_named(known, name);
        match name {
            [b'x' | b'X', ..] => Self::of_extension(name),
            [b'c' | b'C' | b't' | b'T', ..] if FRAMING.iter().any(is_alike) => Self::FramingAlike,
            _ => Self::Other,
        }
    }

    fn of_extension(name: &[u8]) -> Self {
        let (start, rest) = name.split_at(X_FORWARDED.len().min(name.len()));
        let is_forwarded = is_named(X_FORWARDED, start) && matches!(rest, [] | [b'-' | b'_', ..]);
        if !is_forwarded && !X_FORWARDED_OTHERS.iter().any(|other| is_named(other, name)) {
            return Self::Other;
        }
        if name.contains(&b'_') { Self::XForwardedAlike } else { Self::XForwardedOther }
    }

    /// Whether it tells a server what a proxy in front of it knows of a request.
    pub(crate) fn is_forwarded(self) -> bool {
        matches!(
            self,
            Self::Forwarded
                | Self::XForwardedFor
                | Self::XForwardedHost
                | Self::XForwardedPort
                | Self::XForwardedPrefix
                | Self::XForwardedProto
                | Self::XForwardedOther
                | Self::XRealIp
        )
    }

    /// Whether the field never passes a proxy as it is.
    pub(crate) fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::FramingAlike
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// What IANA's "HTTP Method Registry" calls idempotent, but for PRI, which is no method to use. The common ones first.
const IDEMPOTENT: [&str; 34] = [
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "PROPFIND",
    "REPORT",
    "SEARCH",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPPATCH",
    "REBIND",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// How long a message's body is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is no body.
    #[default]
    None,
    /// So many bytes, above 0 or announced as 0.
    Known(u64),
    /// Until its end is seen.
    Unknown,
}

/// A request's head.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) method: Span,
    pub(crate) target: Target,
    /// The host and port that the request is for; empty only from an HTTP/1.0 client that names none.
    pub(crate) authority: Span,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: BodyLength,
    pub(crate) version: Version,
    pub(crate) asked: Asked,
    /// The client keeps the connection open for another request.
    pub(crate) keeps_alive: bool,
    /// The client waits for a 100 before it sends the body.
    pub(crate) expects_continue: bool,
    /// The client expects something, known or not.
    pub(crate) has_expectation: bool,
    /// The client offers to change to the protocol in the field `Upgrade`.
    pub(crate) is_upgrade: bool,
    pub(crate) accepts_trailers: bool,
    pub(crate) announces_trailers: bool,
    /// Its credentials may make the server take what follows on the connection for this client's.
    pub(crate) binds_connection: bool,
}

/// A response's head.
#[derive(Debug, Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: BodyLength,
    /// The server keeps the connection open for another request.
    pub(crate) keeps_alive: bool,
    pub(crate) announces_trailers: bool,
}

/// What a request asks for (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    pub(crate) form: TargetForm,
    /// The path; `*` for the asterisk form. From `http://host?q` it is empty and means `/`.
    pub(crate) path: Span,
    /// The query with its `?`; empty when there is none.
    pub(crate) query: Span,
    /// Path and query together, or the authority of CONNECT, as sent on.
    pub(crate) path_and_query: Span,
    /// As received, for the log.
    pub(crate) raw: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetForm {
    #[default]
    Origin,
    Absolute,
    /// A host and a port, of CONNECT alone. It has no path and no query.
    Authority,
    Asterisk,
}

/// What a request asks for, as far as it decides how the response is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A response without its body.
    Head,
    /// A tunnel, which begins behind the head of a 2xx response.
    Connect,
    #[default]
    Other,
}

/// The protocol version that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }

    /// Whether the client understands interim responses (RFC 9110 section 15.2).
    pub(crate) fn knows_interims(self) -> bool {
        self != Self::Http10
    }

    /// Whether the end of a body without a length can be told otherwise than by closing the connection.
    pub(crate) fn delimits_bodies(self) -> bool {
        self != Self::Http10
    }
}

impl RequestHead {
    /// The first field of this kind.
    pub(crate) fn field(&self, known: Known) -> Option<&Field> {
        self.fields.iter().find(|field| field.known == known)
    }

    /// Forgets the last message and keeps the memory of its field list.
    pub(crate) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Whether both sides become a tunnel by a response with this status (RFC 9110 sections 9.3.6 and 15.2.2).
    pub(crate) fn is_tunnel(&self, status: u16) -> bool {
        status == 101 || self.asked == Asked::Connect && (200..300).contains(&status)
    }

    /// How many more proxies the request may pass, if it says so (RFC 9110 section 7.6.2).
    pub(crate) fn forwards_left(&self, bytes: &[u8]) -> Option<u32> {
        let value = &bytes[self.field(Known::MaxForwards)?.value];
        std::str::from_utf8(value).ok().filter(|digits| !digits.starts_with('+'))?.parse().ok()
    }

    /// Whether the method is safe to repeat whatever became of the first attempt (RFC 9110 section 9.2.2).
    pub(crate) fn is_idempotent(&self, bytes: &[u8]) -> bool {
        let method = &bytes[self.method];
        IDEMPOTENT.iter().any(|idempotent| idempotent.as_bytes() == method)
    }
}

impl ResponseHead {
    /// Whether it says when it was made, to whoever it goes on to.
    pub(crate) fn is_dated(&self) -> bool {
        self.fields.iter().any(|field| field.known == Known::Date && !field.is_hop_by_hop)
    }

    pub(crate) fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }
}

/// Whether a server may take `received` for the field `name`, which is in lower case: some turn `-` into `_` (RFC 3875
/// section 4.1.18).
pub(crate) fn is_named(name: &str, received: &[u8]) -> bool {
    let is_same = |(name, received): (u8, &u8)| {
        name == received.to_ascii_lowercase() || name == b'-' && *received == b'_'
    };
    name.len() == received.len() && name.bytes().zip(received).all(is_same)
}

/// The values of the fields called `name` (any case), in order.
pub(crate) fn values<'a>(
    fields: &'a [Field],
    bytes: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> + 'a {
    fields
        .iter()
        .filter(move |field| bytes[field.name].eq_ignore_ascii_case(name))
        .map(move |field| &bytes[field.value])
}
