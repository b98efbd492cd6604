//! What the proxy serves and how it is now, for people: plain values, made when somebody asks, and their JSON.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::access_log::Stamp;
use crate::backend::{CheckOutcome, ServerStatus};
use crate::tls::{AuthoritiesStatus, CertificateStatus};

/// The whole proxy at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Version of this library.
    pub version: &'static str,
    /// How long the proxy has run.
    pub uptime: Duration,
    /// The configuration it came from; none if it was built by calls.
    pub config: Option<ConfigStatus>,
    /// Its frontends, in the order of the configuration.
    pub frontends: Vec<FrontendStatus>,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendStatus>,
}

/// A configuration file and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStatus {
    /// The file, or the directory.
    pub file: PathBuf,
    /// Hash of what is running, in hexadecimal digits: it tells two configurations apart.
    pub hash: String,
    /// The last attempt to reload; none if there was none since the start.
    pub last_reload: Option<ReloadStatus>,
}

/// An attempt to reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadStatus {
    /// When it ended.
    pub at: SystemTime,
    /// What changed; or why the configuration from before went on.
    pub result: Result<String, String>,
}

/// A frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendStatus {
    /// Its name.
    pub name: String,
    /// `http` or `tcp`.
    pub mode: &'static str,
    /// The addresses it listens on, with the ports the kernel chose.
    pub listen: Vec<String>,
    /// Connections of clients that are open.
    pub connections: u64,
    /// Connections of clients accepted so far.
    pub connections_total: u64,
    /// The certificates it shows; none in clear text.
    pub certificates: Vec<CertificateStatus>,
    /// Whose certificates clients show; none where they are not asked.
    pub client_authorities: Option<AuthoritiesStatus>,
}

/// A backend with its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Name of its policy.
    pub balance: String,
    /// The authorities that its servers' certificates are signed by; none without TLS, or where they are the system's.
    pub authorities: Option<AuthoritiesStatus>,
    /// The certificate that its servers are shown.
    pub certificate: Option<CertificateStatus>,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<ServerReport>,
}

/// A server: how its roster sees it, and what it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// How it is now.
    pub server: ServerStatus,
    /// Responses of it so far.
    pub requests: u64,
}

impl Status {
    /// As JSON. Keys are the names of the fields; durations are in the unit that their key names, times are as in
    /// RFC 3339; what there is nothing to say about is `null`.
    pub fn to_json(&self) -> String {
        let status = json!({
            "version": self.version,
            "uptime_seconds": self.uptime.as_secs(),
            "config": self.config.as_ref().map(config),
            "frontends": self.frontends.iter().map(frontend).collect::<Value>(),
            "backends": self.backends.iter().map(backend).collect::<Value>(),
        });
        format!("{status:#}\n")
    }
}

fn config(config: &ConfigStatus) -> Value {
    let reload = |reload: &ReloadStatus| {
        let (result, message) = match &reload.result {
            Ok(message) => ("success", message),
            Err(message) => ("error", message),
        };
        json!({ "result": result, "message": message, "time": time(reload.at) })
    };
    json!({
        "file": config.file.to_string_lossy(),
        "hash": config.hash,
        "last_reload": config.last_reload.as_ref().map(reload),
    })
}

fn frontend(frontend: &FrontendStatus) -> Value {
    json!({
        "name": frontend.name,
        "mode": frontend.mode,
        "listen": frontend.listen,
        "connections": frontend.connections,
        "connections_total": frontend.connections_total,
        "certificates": frontend.certificates.iter().map(certificate).collect::<Value>(),
        "client_ca": frontend.client_authorities.as_ref().map(authorities),
    })
}

fn authorities(authorities: &AuthoritiesStatus) -> Value {
    json!({ "file": authorities.file.to_string_lossy(), "error": authorities.error })
}

fn certificate(certificate: &CertificateStatus) -> Value {
    json!({
        "file": certificate.file.to_string_lossy(),
        "names": certificate.names,
        "not_after": time(certificate.not_after),
        "error": certificate.error,
    })
}

fn backend(backend: &BackendStatus) -> Value {
    json!({
        "name": backend.name,
        "balance": backend.balance,
        "ca": backend.authorities.as_ref().map(authorities),
        "certificate": backend.certificate.as_ref().map(certificate),
        "servers": backend.servers.iter().map(server).collect::<Value>(),
    })
}

fn server(ServerReport { server, requests }: &ServerReport) -> Value {
    let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_secs_f64();
    json!({
        "name": server.name,
        "address": server.address,
        "state": server.state.as_str(),
        "available": server.is_available,
        "weight": server.weight,
        "backup": server.backup,
        "in_flight": server.in_flight,
        "requests": requests,
        "failures": server.failures,
        // How long it is still left out; 0 while it is on trial.
        "ejected_seconds": server.ejected_until.map(left),
        "unresolved": server.unresolved,
        "last_check": server.last_check.as_ref().map(check),
    })
}

fn check(check: &CheckOutcome) -> Value {
    json!({
        "result": if check.passed { "passed" } else { "failed" },
        "message": check.detail,
        "time": time(check.at),
        "duration_ms": check.latency.as_secs_f64() * 1e3,
    })
}

fn time(at: SystemTime) -> String {
    let mut text = Vec::new();
    Stamp::new(at).write_iso(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ServerState;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn web1() -> ServerStatus {
        ServerStatus {
            name: "web1".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            state: ServerState::Down,
            is_available: false,
            weight: 2,
            backup: false,
            in_flight: 3,
            failures: 4,
            ejected_until: Some(Instant::now()),
            last_check: Some(CheckOutcome {
                passed: false,
                detail: "status 500".to_owned(),
                at: at(60),
                latency: Duration::from_micros(1500),
            }),
            unresolved: None,
        }
    }

    #[test]
    fn a_whole_status_as_json() {
        let status = Status {
            version: "0.1.0",
            uptime: Duration::from_millis(61_900),
            config: Some(ConfigStatus {
                file: "/etc/lb/lb.toml".into(),
                hash: "c0ffee".to_owned(),
                last_reload: Some(ReloadStatus { at: at(1), result: Err("lb.toml:1:2: \"x\"".to_owned()) }),
            }),
            frontends: vec![FrontendStatus {
                name: "web".to_owned(),
                mode: "http",
                listen: vec!["0.0.0.0:80".to_owned()],
                connections: 5,
                connections_total: 6,
                certificates: Vec::new(),
                client_authorities: Some(AuthoritiesStatus { file: "clients.pem".into(), error: None }),
            }],
            backends: vec![BackendStatus {
                name: "shop".to_owned(),
                balance: "round_robin".to_owned(),
                authorities: None,
                certificate: None,
                servers: vec![ServerReport { server: web1(), requests: 7 }],
            }],
        };
        let expected = json!({
            "version": "0.1.0",
            "uptime_seconds": 61,
            "config": {
                "file": "/etc/lb/lb.toml",
                "hash": "c0ffee",
                "last_reload": {
                    "result": "error", "message": "lb.toml:1:2: \"x\"", "time": "1970-01-01T00:00:01.000Z",
                },
            },
            "frontends": [{
                "name": "web", "mode": "http", "listen": ["0.0.0.0:80"], "connections": 5, "connections_total": 6,
                "certificates": [], "client_ca": { "file": "clients.pem", "error": null },
            }],
            "backends": [{
                "name": "shop",
                "balance": "round_robin",
                "ca": null,
                "certificate": null,
                "servers": [{
                    "name": "web1", "address": "10.0.0.1:80", "state": "down", "available": false, "weight": 2,
                    "backup": false, "in_flight": 3, "requests": 7, "failures": 4, "ejected_seconds": 0.0,
                    "unresolved": null,
                    "last_check": {
                        "result": "failed", "message": "status 500", "time": "1970-01-01T00:01:00.000Z",
                        "duration_ms": 1.5,
                    },
                }],
            }],
        });
        assert_eq!(serde_json::from_str::<Value>(&status.to_json()).unwrap(), expected);
    }

    #[test]
    fn a_proxy_built_by_calls_has_no_configuration() {
        let (frontends, backends) = (Vec::new(), Vec::new());
        let status = Status { version: "0.1.0", uptime: Duration::ZERO, config: None, frontends, backends };
        let read: Value = serde_json::from_str(&status.to_json()).unwrap();
        assert_eq!((&read["config"], &read["backends"]), (&Value::Null, &json!([])));
    }

    #[test]
    fn a_server_without_a_check_says_so() {
        let unchecked = ServerStatus { last_check: None, ejected_until: None, ..web1() };
        let read = server(&ServerReport { server: unchecked, requests: 0 });
        assert_eq!((&read["last_check"], &read["ejected_seconds"]), (&Value::Null, &Value::Null));
    }
}
