//! Every metric of the proxy: its name, its labels, its help text.
//!
//! Names have the prefix `lb_` and base units; counters end in `_total`. Label values come from names in the
//! configuration and from closed sets in this crate, never from clients, so that no client can make series.
//! `process_*` are named as all of Prometheus' clients name them.

/// What kind of value a metric has, as the exposition format says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric as operators know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// Declares the constants, and `ALL` of them, so that none can be forgotten in the collector's descriptions.
macro_rules! names {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: Name =
            Name { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        pub(super) const ALL: &[Name] = &[$($constant),*];
    };
}

names! {
    FRONTEND_CONNECTIONS = Gauge "lb_frontend_connections" ["frontend"]
        "Connections of clients that are open now.";
    FRONTEND_CONNECTIONS_TOTAL = Counter "lb_frontend_connections_total" ["frontend"]
        "Connections of clients accepted.";
    FRONTEND_BYTES_TOTAL = Counter "lb_frontend_bytes_total" ["frontend", "direction"]
        "Bytes received from clients (in) and sent to them (out), heads included, TLS not.";
    ACCEPT_ERRORS_TOTAL = Counter "lb_accept_errors_total" ["frontend"]
        "Calls of accept that failed, and clients that waited for want of file descriptors.";
    REQUESTS_TOTAL = Counter "lb_requests_total" ["frontend", "backend", "code"]
        "Requests answered, by class of status; no backend where the proxy itself answered before choosing one.";
    REQUEST_ERRORS_TOTAL = Counter "lb_request_errors_total" ["frontend", "reason"]
        "Requests and connections that went wrong, by what went wrong.";
    TLS_HANDSHAKES_TOTAL = Counter "lb_tls_handshakes_total" ["frontend", "result"]
        "TLS handshakes with clients: full, resumed by a ticket, or failed, by cause.";
    TLS_CERTIFICATE_RENEWALS_TOTAL = Counter "lb_tls_certificate_renewals_total" ["frontend", "result"]
        "Certificates and authorities of clients whose files changed: success, or error where the old ones went on.";
    BACKEND_CERTIFICATE_RENEWALS_TOTAL = Counter "lb_backend_certificate_renewals_total" ["backend", "result"]
        "Certificates and authorities for servers whose files changed: success, or error where the old ones went on.";
    TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS = Gauge "lb_tls_certificate_expiry_timestamp_seconds" ["certificate"]
        "When a certificate's time is over, in seconds since 1970.";
    REQUEST_DURATION_SECONDS = Histogram "lb_request_duration_seconds" ["backend"]
        "Time from the last byte of a request's head to the last byte of its response.";
    CONNECT_DURATION_SECONDS = Histogram "lb_connect_duration_seconds" ["backend"]
        "Time to open a connection to a server.";
    RETRIES_TOTAL = Counter "lb_retries_total" ["backend"]
        "Requests and connections tried again, on another server or on a fresh connection.";
    SERVER_UP = Gauge "lb_server_up" ["backend", "server"]
        "Whether the server may be picked: 1 if it serves or stands by as a backup, or 0.";
    SERVER_STATE = Gauge "lb_server_state" ["backend", "server", "state"]
        "1 for the state that the server is in (unknown, unresolved, up, down, drain, maintenance), 0 for the others.";
    SERVER_INFLIGHT = Gauge "lb_server_inflight" ["backend", "server"]
        "Requests and tunnels the server is serving now.";
    SERVER_REQUESTS_TOTAL = Counter "lb_server_requests_total" ["backend", "server", "code"]
        "Responses of the server, by class of status.";
    SERVER_CONNECTIONS_TOTAL = Counter "lb_server_connections_total" ["backend", "server", "result"]
        "Connections to the server: opened, reused from the pool, or failed to open.";
    SERVER_CHECKS_TOTAL = Counter "lb_server_checks_total" ["backend", "server", "result"]
        "Health checks of the server: passed or failed.";
    CONFIG_RELOADS_TOTAL = Counter "lb_config_reloads_total" ["result"]
        "Reloads of the configuration: success, or error where the old one went on.";
    CONFIG_LAST_SUCCESS_TIMESTAMP_SECONDS = Gauge "lb_config_last_success_timestamp_seconds" []
        "When the running configuration was loaded, in seconds since 1970.";
    ACCESS_LOG_LOST_TOTAL = Counter "lb_access_log_lost_total" []
        "Lines of the access log dropped because its reader is slower than the traffic.";
    BUILD_INFO = Gauge "lb_build_info" ["version"]
        "Always 1; the version is in the label.";
    PROCESS_CPU_SECONDS_TOTAL = Counter "process_cpu_seconds_total" []
        "User and system CPU time of the process.";
    PROCESS_RESIDENT_MEMORY_BYTES = Gauge "process_resident_memory_bytes" []
        "Memory of the process that is in RAM.";
    PROCESS_VIRTUAL_MEMORY_BYTES = Gauge "process_virtual_memory_bytes" []
        "Addresses that the process has reserved.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "Open files: sockets, pipes and others.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "How many files may be open.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads of the process.";
    PROCESS_START_TIME_SECONDS = Gauge "process_start_time_seconds" []
        "When the process started, in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_scheme() {
        for name in ALL {
            assert!(name.name.starts_with("lb_") || name.name.starts_with("process_"), "{}", name.name);
            assert_eq!(name.name.ends_with("_total"), name.kind == Kind::Counter, "{}", name.name);
            assert!(name.kind != Kind::Histogram || name.name.ends_with("_seconds"), "{}", name.name);
            assert!(name.help.ends_with('.'), "{}", name.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let distinct: std::collections::BTreeSet<_> = ALL.iter().map(|name| name.name).collect();
        assert_eq!(distinct.len(), ALL.len());
    }
}
