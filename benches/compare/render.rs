//! Fills in the configuration files of `compare/peers`: ports, workers, and the few lines in which
//! a variant differs.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cores::Cores;
use crate::error::Error;
use crate::peer::{Peer, Side, Subject, Variant};

/// Where Debian puts nginx's module for TCP.
pub(crate) const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// All that a configuration depends on.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) subject: Subject,
    pub(crate) side: Side,
    pub(crate) cores: Cores,
    pub(crate) workers: u32,
    pub(crate) ports: Ports,
    /// In the order of `origin::NAMES`.
    pub(crate) origins: [u16; 4],
    /// For the configuration and whatever it names; the peer's own.
    pub(crate) dir: PathBuf,
}

/// A subject's listeners, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) tcp: u16,
    pub(crate) tls: u16,
}

impl Ports {
    /// Three ports from `first`.
    pub(crate) fn from(first: u16) -> Self {
        Self { http: first, tcp: first + 1, tls: first + 2 }
    }

    pub(crate) fn of(&self, side: Side) -> u16 {
        match side {
            Side::Http => self.http,
            Side::Tcp => self.tcp,
            Side::Tls => self.tls,
        }
    }

    pub(crate) fn all(&self) -> [u16; 3] {
        [self.http, self.tcp, self.tls]
    }
}

impl Setting {
    pub(crate) fn address(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }

    /// Writes the configuration from a template in `compare/peers`, and what it names; its path.
    pub(crate) fn write(&self, template: &str) -> Result<PathBuf, Error> {
        self.write_certificate()?;
        if self.subject.peer == Peer::Haproxy {
            self.write_file("routes.map", &self.routes(|prefix| format!("{prefix} shop\n")))?;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/peers").join(template);
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        self.write_file(template, &self.fill(text))
    }

    fn write_file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(Error::file(&path))?;
        Ok(path)
    }

    fn fill(&self, template: String) -> String {
        // A line of a variant that is off becomes a comment: "#" is one in every peer's language.
        let only_if = |on: bool| if on { String::new() } else { "# ".to_owned() };
        let [shop1, shop2, admin1, admin2] = self.origins;
        let routes = self.routes(|prefix| match self.subject.peer {
            Peer::Lb => format!("  {{ path_prefix = \"{prefix}\", backend = \"shop\" }},\n"),
            Peer::Nginx => format!("location {prefix} {{ proxy_pass http://shop; }}\n"),
            Peer::Envoy => {
                format!("{:14}- {{ match: {{ prefix: \"{prefix}\" }}, route: {{ cluster: shop }} }}\n", "")
            }
            Peer::Haproxy | Peer::Pingora | Peer::Floor => String::new(),
        });
        let values = [
            ("workers", self.workers.to_string()),
            ("http", self.ports.http.to_string()),
            ("tcp", self.ports.tcp.to_string()),
            ("tls", self.ports.tls.to_string()),
            ("host", "127.0.0.1".to_owned()),
            ("shop1", self.address(shop1)),
            ("shop2", self.address(shop2)),
            ("admin1", self.address(admin1)),
            ("admin2", self.address(admin2)),
            ("shop1_port", shop1.to_string()),
            ("shop2_port", shop2.to_string()),
            ("admin1_port", admin1.to_string()),
            ("admin2_port", admin2.to_string()),
            ("dir", self.dir.display().to_string()),
            ("stream_module", NGINX_STREAM.to_owned()),
            ("routes", routes.trim_start().to_owned()),
            ("map", only_if(self.subject.routes > 2)),
            ("splice", only_if(matches!(self.subject.variant, Variant::Splice | Variant::SmallPipes))),
            ("large_pipes", only_if(self.subject.variant == Variant::Splice)),
            ("tuned", only_if(self.subject.variant == Variant::LargeBuffers)),
            ("log", only_if(self.subject.variant == Variant::Logging)),
            ("no_log", only_if(self.subject.variant != Variant::Logging)),
        ];
        values
            .into_iter()
            .fold(template, |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), &value))
    }

    /// The routes of a large table, a line each; none where there are only `/admin` and `/`.
    fn routes(&self, line: impl Fn(String) -> String) -> String {
        let many = if self.subject.routes > 2 { self.subject.routes } else { 0 };
        (0..many).fold(String::new(), |mut lines, number| {
            // Writing to a String can't fail.
            let _ = lines.write_str(&line(Subject::route(number)));
            lines
        })
    }

    /// A certificate of its own for each run: no key is worth keeping.
    fn write_certificate(&self) -> Result<(), Error> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| Error::Load(format!("certificate: {error}")))?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        self.write_file("site.both", &format!("{certificate}{key}"))?;
        self.write_file("site.pem", &certificate)?;
        self.write_file("site.key", &key)?;
        Ok(())
    }
}
