//! A second reading of HTTP/1.1, made to be obviously right rather than quick: what our parser accepts, this one has to
//! accept and to frame the same way. It knows nothing of the other: no httparse, no state, one line after another.

/// A head, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    /// The start line's three parts.
    pub(crate) start: [&'a [u8]; 3],
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
    /// The bytes of the head, its empty line included.
    pub(crate) length: usize,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A message with its body, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) body: Vec<u8>,
    /// Where it ends among the bytes that it was read from.
    pub(crate) end: usize,
    pub(crate) is_whole: bool,
    /// The head is right and the body is not; `body` is empty then.
    pub(crate) is_malformed: bool,
}

/// Reads a head to the letter of RFC 9112 sections 2 to 5, without what that lets a recipient forgive.
pub(crate) fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let length = find(bytes, b"\r\n\r\n")? + 4;
    let mut lines = Vec::new();
    let mut rest = &bytes[..length - 2];
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    let is_clean = |line: &&[u8]| !line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if !lines.iter().all(is_clean) {
        return None;
    }
    let (start, fields) = lines.split_first()?;
    let mut parts = start.splitn(3, |byte| *byte == b' ');
    let start = [parts.next()?, parts.next()?, parts.next().unwrap_or_default()];
    let fields = fields.iter().map(|line| field(line)).collect::<Option<Vec<_>>>()?;
    Some(Head { start, fields, length })
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let value = trim(value);
    let is_value = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    (is_token(name) && is_value).then_some((name, value))
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

impl Head<'_> {
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let of_name = |(field, _): &&(&[u8], &[u8])| field.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(of_name).map(|(_, value)| *value).collect()
    }

    /// RFC 9112 section 6.3; `None` where there are two readings.
    fn declared(&self) -> Option<Option<Body>> {
        match (&self.values("transfer-encoding")[..], &self.values("content-length")[..]) {
            ([], []) => Some(None),
            ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Some(Some(Body::Chunked)),
            ([], [length]) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok()?.parse().ok()?;
                Some(Some(Body::Length(length)))
            }
            _ => None,
        }
    }

    /// How this request's body is delimited.
    pub(crate) fn request_body(&self) -> Option<Body> {
        let is_request = is_token(self.start[0])
            && self.start[1].iter().all(u8::is_ascii_graphic)
            && !self.start[1].is_empty()
            && (self.start[2] == b"HTTP/1.1"
                || self.start[2] == b"HTTP/1.0" && self.values("transfer-encoding").is_empty());
        if !is_request || self.values("host").len() > 1 {
            return None;
        }
        Some(self.declared()?.unwrap_or(Body::Length(0)))
    }

    /// The status and how this response's body is delimited, if it answers a request of this method.
    pub(crate) fn response_body(&self, method: &[u8]) -> Option<(u16, Body)> {
        let is_version = matches!(self.start[0], b"HTTP/1.1" | b"HTTP/1.0");
        let status: u16 = std::str::from_utf8(self.start[1]).ok()?.parse().ok()?;
        if !is_version || self.start[1].len() != 3 {
            return None;
        }
        let declared = self.declared()?;
        if self.start[0] == b"HTTP/1.0" && declared == Some(Body::Chunked) {
            return None;
        }
        let is_bodiless = method == b"HEAD" || method == b"CONNECT" && status / 100 == 2;
        let has_none = is_bodiless || status < 200 || status == 204 || status == 304;
        Some((status, if has_none { Body::Length(0) } else { declared.unwrap_or(Body::UntilClose) }))
    }
}

/// The body at the front of `bytes`: decoded, its length on the wire, and whether it is whole. `None` where it breaks
/// the grammar.
pub(crate) fn body(framing: Body, bytes: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    match framing {
        Body::UntilClose => Some((bytes.to_vec(), bytes.len(), true)),
        Body::Length(length) => {
            let count = usize::try_from(length).map_or(bytes.len(), |length| length.min(bytes.len()));
            Some((bytes[..count].to_vec(), count, count as u64 == length))
        }
        Body::Chunked => chunked(bytes),
    }
}

/// RFC 9112 section 7.1, extensions and trailers read and forgotten.
fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize, bool)> {
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Some((payload, bytes.len(), false)) };
        let line = &bytes[at..at + end];
        let extension = line.iter().position(|byte| *byte == b';');
        // Blanks before an extension must be taken, others are none of the grammar.
        let digits = extension.map_or(line.len(), |at| {
            line[..at].iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1)
        });
        if digits == 0 || digits > 15 || !line[..digits].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        if !line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        at += end + 2;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        let Some(chunk) = bytes.get(at..at.saturating_add(size)) else {
            payload.extend_from_slice(&bytes[at..]);
            return Some((payload, bytes.len(), false));
        };
        payload.extend_from_slice(chunk);
        at += size;
        match bytes.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return None,
            None => return Some((payload, bytes.len(), false)),
        }
    }
    loop {
        let Some(end) = find(&bytes[at..], b"\r\n") else { return Some((payload, bytes.len(), false)) };
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            return Some((payload, at, true));
        }
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return None;
        }
        field(line)?;
    }
}

/// Requests from the front of `bytes`, one after another; only the last may be cut off or have a malformed body. With
/// the number of bytes that were read as requests.
pub(crate) fn requests(bytes: &[u8]) -> (Vec<Message<'_>>, usize) {
    let (mut messages, mut at) = (Vec::new(), 0);
    loop {
        // RFC 9112 section 2.2: empty lines before a request line are nothing.
        while bytes[at..].starts_with(b"\r\n") {
            at += 2;
        }
        let Some(head) = head(&bytes[at..]) else { return (messages, at) };
        let Some(framing) = head.request_body() else { return (messages, at) };
        let Some((body, length, is_whole)) = body(framing, &bytes[at + head.length..]) else {
            let end = at + head.length;
            messages.push(Message { head, body: Vec::new(), end, is_whole: false, is_malformed: true });
            return (messages, at);
        };
        at += head.length + length;
        messages.push(Message { head, body, end: at, is_whole, is_malformed: false });
        if !is_whole {
            return (messages, at);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
