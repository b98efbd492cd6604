//! How an entry looks as a line.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::AccessEntry;
use super::escape;
use super::stamp::Stamp;

/// The look of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// An object per line, with the entry's fields under their names. What there is nothing to say about is left
    /// out; durations are in milliseconds; bytes that are not UTF-8 show as U+FFFD.
    Json,
    /// `client - - [time] "request" status bytes`, as Apache and nginx write it, and tools read it. The bytes
    /// are all that were sent to the client, head included.
    Common,
    /// The common format and then `"referer" "user agent"`.
    Combined,
}

impl Format {
    /// Appends `entry` as a line, its end included. Allocates only what `out` lacks.
    pub(super) fn render(self, entry: &AccessEntry<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
        stamp.set(entry.time);
        match self {
            Self::Json => json(entry, stamp, out),
            Self::Common => common(entry, stamp, out),
            Self::Combined => {
                common(entry, stamp, out);
                out.push(b' ');
                quoted(entry.request.and_then(|request| request.referer), out);
                out.push(b' ');
                quoted(entry.request.and_then(|request| request.user_agent), out);
            }
        }
        out.push(b'\n');
    }
}

fn json(entry: &AccessEntry<'_>, stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"time":""#);
    stamp.write_iso(out);
    out.push(b'"');
    if let Some(client) = entry.client {
        key("client", out);
        out.push(b'"');
        socket_address(client, out);
        out.push(b'"');
    }
    text("frontend", Some(entry.frontend.as_bytes()), out);
    text("backend", entry.backend.map(str::as_bytes), out);
    text("server", entry.server.map(str::as_bytes), out);
    if let Some(request) = entry.request {
        text("method", Some(request.method), out);
        text("host", request.host, out);
        text("target", Some(request.target), out);
        text("version", Some(request.version.as_bytes()), out);
    }
    if let Some(status) = entry.status {
        number("status", status, out);
    }
    text("reason", entry.reason.map(|reason| reason.as_str().as_bytes()), out);
    number("received_bytes", entry.received_bytes, out);
    number("sent_bytes", entry.sent_bytes, out);
    millis("duration_ms", Some(entry.duration), out);
    millis("connect_ms", entry.connect, out);
    millis("first_byte_ms", entry.first_byte, out);
    number("retries", entry.retries, out);
    if let Some(request) = entry.request {
        text("referer", request.referer, out);
        text("user_agent", request.user_agent, out);
    }
    out.push(b'}');
}

/// A key behind a first field: `name` is ours, so nothing in it needs escaping.
fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    key(name, out);
    out.push(b'"');
    escape::json(value, out);
    out.push(b'"');
}

fn number(name: &str, value: impl itoa::Integer, out: &mut Vec<u8>) {
    key(name, out);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// In milliseconds with the microseconds behind the point.
fn millis(name: &str, value: Option<Duration>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    // Not by `as_micros`: its 128 bits made a quarter of what a line costs.
    let millis = value.as_secs().saturating_mul(1000).saturating_add(value.subsec_millis().into());
    number(name, millis, out);
    out.push(b'.');
    // 1042 has the three digits behind its first.
    out.extend_from_slice(&itoa::Buffer::new().format(1000 + value.subsec_micros() % 1000).as_bytes()[1..]);
}

fn common(entry: &AccessEntry<'_>, stamp: &Stamp, out: &mut Vec<u8>) {
    match entry.client {
        Some(client) => ip(client.ip(), out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    stamp.write_clf(out);
    out.extend_from_slice(b"] ");
    match entry.request {
        Some(request) => {
            out.push(b'"');
            escape::quoted(request.method, out);
            out.push(b' ');
            escape::quoted(request.target, out);
            out.push(b' ');
            escape::quoted(request.version.as_bytes(), out);
            out.push(b'"');
        }
        None => quoted(None, out),
    }
    out.push(b' ');
    match entry.status {
        Some(status) => out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes()),
        None => out.push(b'-'),
    }
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(entry.sent_bytes).as_bytes());
}

fn quoted(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(b'"');
    escape::quoted(value.unwrap_or(b"-"), out);
    out.push(b'"');
}

/// The address and its port, IPv4 addresses as such even where an IPv6 socket accepted them.
fn socket_address(address: SocketAddr, out: &mut Vec<u8>) {
    let shown = address.ip().to_canonical();
    if shown.is_ipv6() {
        out.push(b'[');
        ip(shown, out);
        out.push(b']');
    } else {
        ip(shown, out);
    }
    out.push(b':');
    out.extend_from_slice(itoa::Buffer::new().format(address.port()).as_bytes());
}

fn ip(address: IpAddr, out: &mut Vec<u8>) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{}", address.to_canonical());
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::access_log::AccessRequest;
    use crate::metrics::Reason;

    fn line(format: Format, entry: &AccessEntry<'_>) -> String {
        let mut out = Vec::new();
        format.render(entry, &mut Stamp::new(SystemTime::UNIX_EPOCH), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn whole() -> AccessEntry<'static> {
        AccessEntry {
            worker: 0,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_226_463_042),
            client: Some("10.0.0.1:51234".parse().unwrap()),
            frontend: "web",
            backend: Some("shop"),
            server: Some("web1"),
            request: Some(AccessRequest {
                method: b"GET",
                target: b"/cart?id=1",
                version: "HTTP/1.1",
                host: Some(b"shop.example"),
                referer: Some(b"http://shop.example/"),
                user_agent: Some(b"curl/8.5.0"),
            }),
            status: Some(502),
            reason: Some(Reason::ConnectFailed),
            received_bytes: 78,
            sent_bytes: 1234,
            duration: Duration::from_micros(1_005_007),
            connect: Some(Duration::from_micros(300)),
            first_byte: Some(Duration::from_millis(2)),
            retries: 2,
        }
    }

    #[test]
    fn a_whole_entry_in_each_format() {
        let json = concat!(
            r#"{"time":"2026-11-21T02:01:03.042Z","client":"10.0.0.1:51234","frontend":"web","backend":"shop","#,
            r#""server":"web1","method":"GET","host":"shop.example","target":"/cart?id=1","version":"HTTP/1.1","#,
            r#""status":502,"reason":"connect_failed","received_bytes":78,"sent_bytes":1234,"#,
            r#""duration_ms":1005.007,"connect_ms":0.300,"first_byte_ms":2.000,"retries":2,"#,
            r#""referer":"http://shop.example/","user_agent":"curl/8.5.0"}"#,
            "\n"
        );
        let common = r#"10.0.0.1 - - [21/Nov/2026:02:01:03 +0000] "GET /cart?id=1 HTTP/1.1" 502 1234"#;
        assert_eq!(line(Format::Json, &whole()), json);
        assert_eq!(line(Format::Common, &whole()), format!("{common}\n"));
        let combined = format!("{common} \"http://shop.example/\" \"curl/8.5.0\"\n");
        assert_eq!(line(Format::Combined, &whole()), combined);
    }

    #[test]
    fn a_tunnel_leaves_out_or_blank_what_it_has_not() {
        let entry = AccessEntry {
            frontend: "db",
            received_bytes: 5,
            client: Some("[::1]:7".parse().unwrap()),
            ..AccessEntry::default()
        };
        let json = concat!(
            r#"{"time":"1970-01-01T00:00:00.000Z","client":"[::1]:7","frontend":"db","received_bytes":5,"#,
            r#""sent_bytes":0,"duration_ms":0.000,"retries":0}"#,
            "\n"
        );
        assert_eq!(line(Format::Json, &entry), json);
        let combined = "::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0 \"-\" \"-\"\n";
        assert_eq!(line(Format::Combined, &entry), combined);
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_shown_as_such() {
        let client = Some("[::ffff:10.0.0.1]:80".parse().unwrap());
        let entry = AccessEntry { client, ..AccessEntry::default() };
        assert!(line(Format::Json, &entry).contains(r#""client":"10.0.0.1:80""#));
        assert!(line(Format::Common, &entry).starts_with("10.0.0.1 "));
    }

    #[test]
    fn no_client_forges_a_line_or_a_field() {
        let hostile: &[u8] = b"x\" 200 1\n10.0.0.9 - - \",\"status\":200}\r\xff\x1b[2J\\";
        let mut entry = whole();
        entry.request = Some(AccessRequest {
            method: hostile,
            target: hostile,
            version: "HTTP/1.1",
            host: Some(hostile),
            referer: Some(hostile),
            user_agent: Some(hostile),
        });
        for format in [Format::Json, Format::Common, Format::Combined] {
            let line = line(format, &entry);
            assert_eq!(line.matches(['\n', '\r', '\x1b']).count(), 1, "{line}");
            assert!(line.ends_with('\n'));
        }
        let read: serde_json::Value = serde_json::from_str(&line(Format::Json, &entry)).unwrap();
        assert_eq!(read["status"], 502);
        for field in ["method", "target", "host", "referer", "user_agent"] {
            assert_eq!(read[field], *String::from_utf8_lossy(hostile), "{field}");
        }
        // Method, target and version, referer, agent: three quoted strings, so six bare quotes.
        let combined = line(Format::Combined, &entry).replace(r"\\", "").replace(r#"\""#, "");
        assert_eq!(combined.matches('"').count(), 6, "{combined}");
    }

    #[test]
    fn a_second_line_needs_no_more_room_to_be_made() {
        let (mut stamp, mut out) = (Stamp::new(SystemTime::UNIX_EPOCH), Vec::new());
        Format::Json.render(&whole(), &mut stamp, &mut out);
        let (capacity, first) = (out.capacity(), out.clone());
        out.clear();
        Format::Json.render(&whole(), &mut stamp, &mut out);
        assert_eq!((out.capacity(), out), (capacity, first));
    }
}
