//! Heads from bytes, by httparse, and what httparse lets through and RFC 9112 doesn't.
//!
//! The result is either a head whose meaning is settled (framing, host, hop-by-hop fields) or a refusal. Nothing is
//! repaired: two readings of one message are how requests are smuggled.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::framing::{self, Framing};
use crate::http::ends::ParseError;
use crate::http::head::{
    Asked, BodyLength, Field, Known, RequestHead, ResponseHead, Span, Target, TargetForm, Version,
};
use crate::http::host::{default_port, has_port, is_same_authority, is_valid_authority};

/// Field lists up to this long are parsed on the stack.
const FIELDS_ON_STACK: usize = 256;

/// Parses the request head at the front of `bytes`; `None` until it is complete, then its length.
pub(crate) fn request(
    bytes: &[u8],
    max_fields: usize,
    head: &mut RequestHead,
) -> Result<Option<usize>, ParseError> {
    head.clear();
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let headers = header_space(max_fields, &mut on_stack, &mut on_heap);
    let mut parsed = httparse::Request::new(&mut []);
    let status = ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, bytes, headers);
    let Some(length) = complete(status, bytes)? else { return Ok(None) };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(ParseError::Malformed);
    };
    head.method = Span::of(method.as_bytes(), bytes);
    head.asked = match method {
        "HEAD" => Asked::Head,
        "CONNECT" => Asked::Connect,
        _ => Asked::Other,
    };
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    collect_fields(parsed.headers, bytes, &mut head.fields);
    settle_connection_options(head, bytes);
    let framing = framing::of_request(&head.fields, bytes, head.version).ok_or(ParseError::Framing)?;
    head.body = match framing {
        // What follows this head is the tunnel's (RFC 9110 section 9.3.6).
        Framing::None | Framing::Length(0) if head.asked == Asked::Connect => BodyLength::None,
        _ if head.asked == Asked::Connect => return Err(ParseError::Framing),
        Framing::Length(length) => BodyLength::Known(length),
        Framing::Chunked => BodyLength::Unknown,
        Framing::None | Framing::Denied | Framing::UntilClose => BodyLength::None,
    };
    settle_target(head, bytes, method, Span::of(target.as_bytes(), bytes))?;
    Ok(Some(length))
}

/// Parses the response head at the front of `bytes`; `None` until it is complete, then its length and how its body
/// is framed.
pub(crate) fn response(
    bytes: &[u8],
    max_fields: usize,
    asked: Asked,
    head: &mut ResponseHead,
) -> Result<Option<(usize, Framing)>, ParseError> {
    head.clear();
    // httparse skips empty lines, which RFC 9112 section 2.2 allows before requests only: here they are bytes that
    // belong to no response.
    if matches!(bytes.first(), Some(b'\r' | b'\n')) {
        return Err(ParseError::Malformed);
    }
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let headers = header_space(max_fields, &mut on_stack, &mut on_heap);
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, headers);
    let Some(length) = complete(status, bytes)? else { return Ok(None) };
    let (Some(minor), Some(code), Some(reason)) = (parsed.version, parsed.code, parsed.reason) else {
        return Err(ParseError::Malformed);
    };
    if !(100..600).contains(&code) {
        return Err(ParseError::Status);
    }
    head.status = code;
    head.reason = Span::of(reason.as_bytes(), bytes);
    collect_fields(parsed.headers, bytes, &mut head.fields);
    let options = ConnectionOptions::read(&mut head.fields, bytes);
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let framing =
        framing::of_response(&head.fields, bytes, version, code, asked).ok_or(ParseError::Framing)?;
    head.body = match framing {
        Framing::None | Framing::Denied => BodyLength::None,
        Framing::Length(length) => BodyLength::Known(length),
        Framing::Chunked | Framing::UntilClose => BodyLength::Unknown,
    };
    let ends_for_sure = !matches!(framing, Framing::UntilClose | Framing::Denied);
    head.keeps_alive = ends_for_sure && options.keeps_alive(version);
    head.announces_trailers = head.fields.iter().any(|field| field.known == Known::Trailer);
    Ok(Some((length, framing)))
}

fn header_space<'s, 'b>(
    max_fields: usize,
    on_stack: &'s mut [MaybeUninit<Header<'b>>; FIELDS_ON_STACK],
    on_heap: &'s mut Vec<MaybeUninit<Header<'b>>>,
) -> &'s mut [MaybeUninit<Header<'b>>] {
    if max_fields <= FIELDS_ON_STACK {
        return &mut on_stack[..max_fields];
    }
    on_heap.resize_with(max_fields, MaybeUninit::uninit);
    on_heap
}

/// The head's length when it is complete and its lines end in CRLF, all of them (RFC 9112 section 2.2 lets a
/// recipient take a bare LF; two hops that differ in this see different messages).
fn complete(status: httparse::Result<usize>, bytes: &[u8]) -> Result<Option<usize>, ParseError> {
    let seen = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => bytes.len(),
        Err(httparse::Error::TooManyHeaders) => return Err(ParseError::TooManyFields),
        Err(_) => return Err(ParseError::Malformed),
    };
    let lines = &bytes[..seen];
    if has_bare_line_feed(lines) {
        return Err(ParseError::BareLineEnd);
    }
    Ok(matches!(status, Ok(Status::Complete(_))).then_some(seen))
}

/// Lines are short: a loop without an exit, which compiles to vector instructions, costs less than a search for each.
fn has_bare_line_feed(lines: &[u8]) -> bool {
    let pairs = lines.iter().zip(lines.get(1..).unwrap_or_default());
    lines.first() == Some(&b'\n')
        || pairs.fold(false, |found, (before, byte)| found | ((*byte == b'\n') & (*before != b'\r')))
}

fn collect_fields(headers: &[Header<'_>], bytes: &[u8], fields: &mut Vec<Field>) {
    fields.extend(headers.iter().map(|header| {
        let known = Known::of(header.name.as_bytes());
        Field {
            name: Span::of(header.name.as_bytes(), bytes),
            value: Span::of(header.value, bytes),
            known,
            is_hop_by_hop: known.is_hop_by_hop(),
        }
    }));
}

/// What the fields `Connection` say.
#[derive(Debug, Default)]
struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl ConnectionOptions {
    /// Reads the options and marks the fields that they name as hop-by-hop.
    fn read(fields: &mut [Field], bytes: &[u8]) -> Self {
        let mut options = Self::default();
        for at in 0..fields.len() {
            if fields[at].known != Known::Connection {
                continue;
            }
            for option in list(&bytes[fields[at].value]) {
                if option.eq_ignore_ascii_case(b"close") {
                    options.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    options.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    options.upgrade = true;
                } else {
                    mark_hop_by_hop(fields, bytes, option);
                }
            }
        }
        options
    }

    fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// Fields that `Connection` names are this hop's. Those that frame or route the message, or tell whose it is, are not its
/// to take away (RFC 9110 section 7.6.1: a sender must not name a field intended for all recipients).
fn mark_hop_by_hop(fields: &mut [Field], bytes: &[u8], name: &[u8]) {
    let known = Known::of(name);
    let frames =
        matches!(known, Known::Host | Known::ContentLength | Known::TransferEncoding | Known::Trailer);
    if frames || known == Known::CdnLoop || known.is_forwarded() {
        return;
    }
    for field in fields.iter_mut().filter(|field| bytes[field.name].eq_ignore_ascii_case(name)) {
        field.is_hop_by_hop = true;
    }
}

fn settle_connection_options(head: &mut RequestHead, bytes: &[u8]) {
    let options = ConnectionOptions::read(&mut head.fields, bytes);
    head.keeps_alive = options.keeps_alive(head.version);
    let (mut is_offered, mut is_h2c_offered) = (false, false);
    for field in &head.fields {
        let value = &bytes[field.value];
        match field.known {
            Known::Authorization => head.binds_connection |= binds_connection(value),
            // RFC 9110 sections 7.8 and 10.1.1: an upgrade or an expectation from an HTTP/1.0 client is ignored.
            _ if head.version == Version::Http10 => {}
            Known::Upgrade => {
                is_offered |= list(value).next().is_some();
                is_h2c_offered |= list(value).any(is_h2c);
            }
            Known::Expect => {
                head.has_expectation = true;
                head.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            Known::Te => {
                head.accepts_trailers |= list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
            }
            Known::Trailer => head.announces_trailers = true,
            _ => {}
        }
    }
    // RFC 9113 section 3.1 removed the upgrade to h2c; passed on, in any of several fields, it would let a client speak
    // past the proxy. And there is one tunnel to ask for at a time.
    head.is_upgrade = options.upgrade && is_offered && !is_h2c_offered && head.asked != Asked::Connect;
}

/// Whether these credentials count for all that follows on the connection, as some servers have it (RFC 4559 section 6,
/// against RFC 9110 section 3.3).
fn binds_connection(credentials: &[u8]) -> bool {
    let end = memchr::memchr(b' ', credentials).unwrap_or(credentials.len());
    let scheme = &credentials[..end];
    [&b"negotiate"[..], b"ntlm"].iter().any(|binding| scheme.eq_ignore_ascii_case(binding))
}

fn is_h2c(protocol: &[u8]) -> bool {
    protocol.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether all of it may stand in a target. That is more than RFC 3986 allows: browsers and servers are used to more.
pub(crate) fn is_target(target: &[u8]) -> bool {
    target.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#')
}

/// Takes the target apart and finds the authority that the request is for (RFC 9112 sections 3.2 and 3.3).
fn settle_target(head: &mut RequestHead, bytes: &[u8], method: &str, raw: Span) -> Result<(), ParseError> {
    let target = &bytes[raw];
    if !is_target(target) {
        return Err(ParseError::Target);
    }
    let host = single_host(head, bytes)?;
    let (form, authority, path_and_query) = split_target(target, method).ok_or(ParseError::Target)?;
    if let Some(authority) = authority {
        // RFC 9110 section 9.3.6: without a port there is nowhere to connect to.
        if !is_valid_authority(authority) || form == TargetForm::Authority && !has_port(authority) {
            return Err(ParseError::Target);
        }
        let scheme_end = memchr::memchr(b':', target).filter(|_| form == TargetForm::Absolute);
        let default_port = default_port(&target[..scheme_end.unwrap_or_default()]);
        if host.is_some_and(|host| !is_same_authority(&bytes[host], authority, default_port)) {
            return Err(ParseError::Host);
        }
        head.authority = Span::of(authority, bytes);
    } else {
        head.authority = host.unwrap_or_default();
    }
    let query_at = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    let path = if form == TargetForm::Authority { &[] } else { &path_and_query[..query_at] };
    head.target = Target {
        form,
        path: Span::of(path, bytes),
        query: Span::of(&path_and_query[query_at..], bytes),
        path_and_query: Span::of(path_and_query, bytes),
        raw,
    };
    Ok(())
}

/// The one field `Host`; HTTP/1.0 may do without.
fn single_host(head: &RequestHead, bytes: &[u8]) -> Result<Option<Span>, ParseError> {
    let mut hosts = head.fields.iter().filter(|field| field.known == Known::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_valid_authority(&bytes[host.value]) => Ok(Some(host.value)),
        (None, _) if head.version == Version::Http10 => Ok(None),
        _ => Err(ParseError::Host),
    }
}

/// The target's form, its authority where it has one, and its path with the query.
fn split_target<'a>(target: &'a [u8], method: &str) -> Option<(TargetForm, Option<&'a [u8]>, &'a [u8])> {
    if method == "CONNECT" {
        return Some((TargetForm::Authority, Some(target), target));
    }
    if target.first() == Some(&b'/') {
        return Some((TargetForm::Origin, None, target));
    }
    if target == b"*" {
        return (method == "OPTIONS").then_some((TargetForm::Asterisk, None, target));
    }
    let scheme_end = memchr::memmem::find(target, b"://")?;
    let scheme = &target[..scheme_end];
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = &target[scheme_end + 3..];
    let authority_end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    Some((TargetForm::Absolute, Some(&rest[..authority_end]), &rest[authority_end..]))
}
