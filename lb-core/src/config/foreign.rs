//! Files that are no TOML at all: another proxy's configuration, another format, another encoding.
//!
//! The parser would have something to say about each of their lines. One line that says what the file seems to be is
//! worth more. What is TOML to its end is never looked at here, and what has a table's header is taken for TOML that has
//! mistakes.

use toml::de::DeTable;

use super::diagnostics::{Place, Problems};
use super::source::Source;

/// What is looked at of a file's beginning.
const SAMPLE_BYTES: usize = 8 << 10;
/// And how many of its lines.
const SAMPLE_LINES: usize = 100;

const REWRITE: &str =
    "write it as TOML: [frontend.NAME] with `listen` and `backend`, [backend.NAME] with `servers`";
const ANOTHER: &str = "name a configuration file";
const ENCODING: &str = "save the file as UTF-8";

/// What a file seems to be, and what to do then.
type Kind = (&'static str, &'static str);

const HAPROXY: Kind = ("this seems to be a configuration of HAProxy, and lb reads TOML", REWRITE);
const NGINX: Kind = ("this seems to be a configuration of nginx, and lb reads TOML", REWRITE);
const BRACES: Kind = ("this seems to be a Caddyfile or HCL, and lb reads TOML", REWRITE);
const YAML: Kind = ("this seems to be YAML, and lb reads TOML", REWRITE);
const JSON: Kind = ("this seems to be JSON, and lb reads TOML", REWRITE);
const XML: Kind = ("this seems to be XML or HTML, and lb reads TOML", REWRITE);
const PEM: Kind = ("this seems to be a certificate or a key in PEM, and lb reads TOML", ANOTHER);
const UTF16: Kind = ("this seems to be UTF-16 text", ENCODING);
const BINARY: Kind = ("this seems to be binary data, no text", ANOTHER);

/// How other files begin that hold no text.
const MAGIC: &[(&[u8], Kind)] = &[
    (b"\x7fELF", ("this seems to be a program, no text", ANOTHER)),
    (b"\x1f\x8b", ("this seems to be compressed by gzip", "unpack it first")),
    (b"\x28\xb5\x2f\xfd", ("this seems to be compressed by zstd", "unpack it first")),
    (b"\xfd7zXZ", ("this seems to be compressed by xz", "unpack it first")),
    (b"PK\x03\x04", ("this seems to be a zip archive", "unpack it first")),
    (b"\xff\xfe", UTF16),
    (b"\xfe\xff", UTF16),
];

/// Sections of HAProxy's configuration (its manual, section 1.2 and on).
const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "userlist",
    "peers",
    "resolvers",
    "mailers",
    "program",
    "cache",
    "ring",
    "http-errors",
    "log-forward",
    "crt-store",
    "fcgi-app",
    "traces",
];

/// Notes each of `sources` that is no TOML, once, and empties it. What is text but not UTF-8 is noted at its place.
pub(super) fn note(sources: &mut [Source], problems: &Problems) {
    for (file, source) in sources.iter_mut().enumerate() {
        if let Some((what, remedy)) = kind(source) {
            problems.syntax(Place { file, offset: 0 }, what, remedy);
            source.text.clear();
        } else if let Err(error) = std::str::from_utf8(source.bytes()) {
            let place = Place { file, offset: error.valid_up_to() };
            problems.syntax(place, "not UTF-8 text", ENCODING);
        }
    }
}

fn kind(source: &Source) -> Option<Kind> {
    let bytes = source.bytes();
    kind_of_bytes(bytes.get(..SAMPLE_BYTES).unwrap_or(bytes)).or_else(|| {
        kind_of_text(&source.text).filter(|_| !DeTable::parse_recoverable(&source.text).1.is_empty())
    })
}

fn kind_of_bytes(sample: &[u8]) -> Option<Kind> {
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| sample.starts_with(magic)) {
        return Some(*kind);
    }
    // ASCII in UTF-16 is zero in each second byte.
    if let [a, b, c, d, ..] = *sample
        && (a == 0) != (b == 0)
        && (a == 0, b == 0) == (c == 0, d == 0)
    {
        return Some(UTF16);
    }
    let is_control = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    (sample.iter().filter(is_control).count() * 20 > sample.len()).then_some(BINARY)
}

fn kind_of_text(text: &str) -> Option<Kind> {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let lines: Vec<&str> = text.lines().map(str::trim).filter(is_told).take(SAMPLE_LINES).collect();
    let first = *lines.first()?;
    let start = text.trim_start();
    let inside = |open: char| start.strip_prefix(open).map(str::trim_start);
    if inside('{').is_some_and(|rest| rest.starts_with(['"', '}']))
        || inside('[').is_some_and(|rest| rest.starts_with('{'))
    {
        return Some(JSON);
    }
    if first.starts_with('<') {
        return Some(XML);
    }
    if first.starts_with("-----BEGIN ") {
        return Some(PEM);
    }
    if lines.iter().any(|line| is_header(line)) {
        return None;
    }
    let most = |is_theirs: fn(&str) -> bool| {
        lines.iter().filter(|line| is_theirs(line)).count() * 3 > lines.len() * 2
    };
    if most(is_braced) {
        return Some(if lines.iter().any(|line| line.ends_with(';')) { NGINX } else { BRACES });
    }
    let word = first.split_whitespace().next().unwrap_or_default();
    if SECTIONS.contains(&word) && !first.contains(['=', '{', ':']) {
        return Some(HAPROXY);
    }
    if first == "---" || first.starts_with("%YAML") || most(is_yaml) {
        return Some(YAML);
    }
    let opens = first.ends_with('{') && !first.contains('=');
    opens.then_some(BRACES)
}

/// `[frontend.web]`, `[[frontend.web.routes]]`
fn is_header(line: &str) -> bool {
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name);
    named.is_some_and(|name| !name.is_empty() && !name.contains([',', '{', ':', '=']))
}

/// `listen 80;`, `server {`, `}`
fn is_braced(line: &str) -> bool {
    let code = line.split(" #").next().unwrap_or_default().trim_end();
    code.ends_with([';', '{', '}']) && !code.contains('=') || code.ends_with(';')
}

/// `key:`, `key: value`, `- item`
fn is_yaml(line: &str) -> bool {
    let item = line.strip_prefix("- ");
    let key =
        item.unwrap_or(line).split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '));
    item.is_some() || line == "-" || key.is_some_and(|(key, _)| !key.contains(['=', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    /// What is said of a file with these bytes.
    fn said(bytes: &[u8]) -> Vec<String> {
        let mut sources = [Source::new("x".into(), bytes.to_vec())];
        let problems = Problems::default();
        note(&mut sources, &problems);
        problems.diagnostics(&sources).iter().map(ToString::to_string).collect()
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn another_kind_of_file_is_one_line() {
        for (bytes, (what, remedy)) in [
            (&b"# old\nglobal\n    daemon\n\nfrontend web\n    bind :80\n"[..], HAPROXY),
            (b"defaults\n  mode http\n  timeout client 30s\nlisten stats\n  bind *:8404\n", HAPROXY),
            (b"frontend web\n  bind :80\n  default_backend py\n", HAPROXY),
            (
                b"user nginx;\nevents {\n}\nhttp {\n  upstream py {\n    server py:80;\n  }\n  server {\n    listen 80;\n  }\n}\n",
                NGINX,
            ),
            (b"server {\n  listen 80;  # all\n  location / {\n    proxy_pass http://py;\n  }\n}\n", NGINX),
            (b":80 {\n  reverse_proxy py:80\n}\n", BRACES),
            (b"---\nfrontend:\n  web:\n    listen: :80\n", YAML),
            (b"services:\n  web:\n    image: nginx\n    ports:\n      - 80:80\n", YAML),
            (b"{\n  \"frontend\": {\"web\": {}}\n}\n", JSON),
            (b"[\n  {\"a\": 1}\n]\n", JSON),
            (b"<?xml version=\"1.0\"?>\n<a/>\n", XML),
            (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", PEM),
            (&[0; 64], BINARY),
            (b"\x7fELF\x02\x01\x01\0\0", MAGIC[0].1),
            (b"\x1f\x8b\x08\0\0\0", MAGIC[1].1),
        ] {
            assert_eq!(said(bytes), [format!("x:1:1: {what}; {remedy}")], "{}", String::from_utf8_lossy(bytes));
        }
        let text = "[frontend.web]\nlisten = \":80\"\n";
        for bytes in [
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
            utf16(&format!("\u{feff}{text}"), u16::to_le_bytes),
            utf16(&format!("\u{feff}{text}"), u16::to_be_bytes),
        ] {
            assert_eq!(said(&bytes), [format!("x:1:1: {}; {}", UTF16.0, UTF16.1)]);
        }
    }

    #[test]
    fn toml_with_mistakes_is_toml() {
        for text in [
            "",
            "# only a comment",
            "[frontend.web\nlisten = \":80\"\n[backend.py]\nservers = [\"py:80\"]\n",
            "global\n[frontend.web]\nlisten = \":80\"\n",
            "listen = 0.0.0.0:80\nbackend = shop\n",
            "servers = [\n  { address = \"a:1\" },\n  { address = \"b:1\" },\n",
        ] {
            assert_eq!(said(text.as_bytes()), [""; 0], "{text}");
        }
        assert_eq!(said(b"[log]\nlevel = \"\xe4\"\n"), ["x:2:10: not UTF-8 text; save the file as UTF-8"]);
    }

    #[test]
    fn nothing_else_is_said_of_it() {
        let refused = load_text("haproxy.cfg", "global\n  daemon\nfrontend a\n  bind :80\n", |_| None);
        assert_eq!(refused.unwrap_err().iter().count(), 1);
    }
}
