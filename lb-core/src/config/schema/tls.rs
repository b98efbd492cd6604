//! `[frontend.NAME.tls]` and `[backend.NAME.tls]`.

use http::HeaderName;
use serde::Serialize;

use crate::config::diagnostics::At;
use crate::config::reader::{Keys, Miss, Read, Record, Value};
use crate::config::values::{Named, Parsed, Several, choice};

/// `[frontend.NAME.tls]`: TLS from clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FrontendTls {
    pub(crate) certificates: Several<CertificateSource>,
    pub(crate) min_version: Version,
    pub(crate) client_ca: Option<At<String>>,
    pub(crate) client_auth: Option<At<ClientAuth>>,
    pub(crate) client_subject_header: Option<At<Parsed<HeaderName>>>,
}

impl Record for FrontendTls {
    const KIND: &'static str = "tls";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let certificates = keys.need::<Several<_>>("certificates");
        if let Some(value) = keys.value("certificates").filter(|value| value.is_empty_list()) {
            value.wrong("`certificates` is empty", "add `{ cert = \"site.pem\", key = \"site.key\" }`");
        }
        let tls = Self {
            certificates: certificates.map(|at| at.value).unwrap_or_default(),
            min_version: keys.or("min_version", Version::default()),
            client_ca: keys.take("client_ca"),
            client_auth: keys.take("client_auth"),
            client_subject_header: keys.take("client_subject_header"),
        };
        if tls.client_ca.is_none() {
            let auth = tls.client_auth.as_ref().map(|at| ("client_auth", at.place));
            let header = tls.client_subject_header.as_ref().map(|at| ("client_subject_header", at.place));
            for (key, place) in auth.into_iter().chain(header) {
                let what = format_args!("`{key}` without `client_ca`: no client is asked for a certificate");
                keys.problems().wrong(place, what, "add `client_ca = \"clients.pem\"`, or remove this");
            }
        }
        Ok(tls)
    }
}

impl Named for HeaderName {
    const NAMED: (&'static str, &'static str) = ("the name of a header field", "\"x-client-subject\"");
}

/// `[backend.NAME.tls]`: TLS to servers.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct BackendTls {
    pub(crate) ca: Option<At<String>>,
    pub(crate) server_name: Option<At<String>>,
    pub(crate) insecure_skip_verify: bool,
    pub(crate) client: Option<At<Files>>,
}

impl Record for BackendTls {
    const KIND: &'static str = "tls";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let tls = Self {
            ca: keys.take("ca"),
            server_name: keys.take("server_name"),
            insecure_skip_verify: keys.or("insecure_skip_verify", false),
            client: keys.take::<ClientFiles>("client").map(|at| At::new(at.value.0, at.place)),
        };
        if let Some(ca) = tls.ca.as_ref().filter(|_| tls.insecure_skip_verify) {
            let what = "`ca` with `insecure_skip_verify`: no certificate is verified";
            keys.problems().wrong(ca.place, what, "remove one of them");
        }
        Ok(tls)
    }
}

/// Where certificates come from: `{ cert = "site.pem", key = "site.key" }`, or a directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum CertificateSource {
    Files(Files),
    Directory(String),
}

impl Read for CertificateSource {
    const WANTED: (&'static str, &'static str) =
        ("a certificate", "{ cert = \"site.pem\", key = \"site.key\" } or a directory \"certs\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        if value.is_table() {
            Files::read(value).map(Self::Files)
        } else {
            String::read(value).map(Self::Directory)
        }
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Files {
    pub(crate) cert: At<String>,
    pub(crate) key: At<String>,
    pub(crate) ocsp: Option<At<String>>,
}

impl Record for Files {
    const KIND: &'static str = "certificate";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let (cert, key, ocsp) = (keys.need("cert"), keys.need("key"), keys.take("ocsp"));
        Ok(Self { cert: cert?, key: key?, ocsp })
    }
}

/// The table form of a certificate that servers ask for: nothing is stapled to that one.
struct ClientFiles(Files);

impl Record for ClientFiles {
    const KIND: &'static str = "certificate";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let (cert, key) = (keys.need("cert"), keys.need("key"));
        Ok(Self(Files { cert: cert?, key: key?, ocsp: None }))
    }
}

/// The oldest version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) enum Version {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl Read for Version {
    const WANTED: (&'static str, &'static str) = ("a version of TLS", "\"1.2\" or \"1.3\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "version of TLS", &[("1.2", Self::Tls12), ("1.3", Self::Tls13)])
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    #[default]
    Required,
    Optional,
}

impl Read for ClientAuth {
    const WANTED: (&'static str, &'static str) = ("a choice", "\"required\" or \"optional\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "client_auth", &[("required", Self::Required), ("optional", Self::Optional)])
    }
}
