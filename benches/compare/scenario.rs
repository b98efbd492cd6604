//! The scenarios, as data: which load on which side of a proxy, and what its cost is counted by.

use crate::peer::{Peer, Side, Subject, Variant};
use crate::process::in_path;

/// One question: what does this kind of traffic cost?
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) side: Side,
    pub(crate) path: &'static str,
    pub(crate) work: Work,
    /// How many bytes of body a request has. If any, it is these that are counted, not the responses'.
    pub(crate) upload: u64,
    pub(crate) unit: Unit,
    pub(crate) field: Field,
}

/// What the load does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    OpenLoop { rate: u32, connections: usize },
    ClosedLoop { connections: u32, is_closing: bool },
    Streams { connections: u32, streams: u32 },
    Idle { connections: usize },
    Reloads { count: u32, rate: u32 },
}

/// What a figure is counted by. Smaller is better in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    CpuPerRequest,
    CpuPerConnection,
    CpuPerGigabyte,
    BytesPerConnection,
    MedianLatency,
    CpuPerReload,
}

/// Who takes part, and who is compared with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Every peer once, beside HAProxy and nginx.
    Peers,
    /// HAProxy and the floor without and with splice, nginx with its own and with larger buffers.
    Bodies,
    /// Every peer with 2, 1,000 and 100,000 routes, beside itself with 2.
    Routes,
    /// Every peer without and with its access log, beside itself without.
    Logs,
}

const SMALL: Scenario = Scenario {
    name: "s1r",
    what: "HTTP/1.1 kept alive, 64 connections, open loop at 40,000 a second",
    side: Side::Http,
    path: "/",
    work: Work::OpenLoop { rate: 40_000, connections: 64 },
    upload: 0,
    unit: Unit::CpuPerRequest,
    field: Field::Peers,
};

const BODIES: Scenario = Scenario {
    name: "s3",
    what: "HTTP/1.1, responses of 1 MiB, 16 connections",
    path: "/1m",
    work: Work::ClosedLoop { connections: 16, is_closing: false },
    unit: Unit::CpuPerGigabyte,
    field: Field::Bodies,
    ..SMALL
};

const RAW: Scenario = Scenario {
    name: "s4b",
    what: "TCP mode, small messages on 64 kept connections",
    side: Side::Tcp,
    work: Work::ClosedLoop { connections: 64, is_closing: false },
    ..SMALL
};

const SECURE: Scenario = Scenario {
    name: "s5",
    what: "TLS 1.3 (ECDSA P-256), kept alive, small responses",
    side: Side::Tls,
    work: Work::ClosedLoop { connections: 64, is_closing: false },
    ..SMALL
};

const SEALED: Scenario = Scenario {
    name: "s5bulk",
    what: "TLS 1.3, responses of 1 MiB, 16 connections",
    path: "/1m",
    work: Work::ClosedLoop { connections: 16, is_closing: false },
    unit: Unit::CpuPerGigabyte,
    ..SECURE
};

const STREAMED: Scenario = Scenario {
    name: "s6bulk",
    what: "HTTP/2 over TLS, responses of 1 MiB, 16 connections of 4 streams",
    path: "/1m",
    work: Work::Streams { connections: 16, streams: 4 },
    unit: Unit::CpuPerGigabyte,
    ..SECURE
};

/// All scenarios in the order in which they run.
pub(crate) const ALL: [Scenario; 26] = [
    SMALL,
    Scenario {
        name: "s1r-20k",
        what: "the same at 20,000 a second",
        work: Work::OpenLoop { rate: 20_000, connections: 64 },
        ..SMALL
    },
    Scenario {
        name: "s1",
        what: "the same as fast as it goes, 64 connections",
        work: Work::ClosedLoop { connections: 64, is_closing: false },
        ..SMALL
    },
    Scenario {
        name: "s1c",
        what: "the same as fast as it goes, 256 connections",
        work: Work::ClosedLoop { connections: 256, is_closing: false },
        ..SMALL
    },
    Scenario {
        name: "s2",
        what: "HTTP/1.1, a new client connection for each request",
        work: Work::ClosedLoop { connections: 64, is_closing: true },
        unit: Unit::CpuPerConnection,
        ..SMALL
    },
    Scenario {
        name: "s2o",
        what: "HTTP/1.1 kept alive, a new server connection for each request",
        path: "/close",
        work: Work::ClosedLoop { connections: 64, is_closing: false },
        ..SMALL
    },
    BODIES,
    Scenario { name: "s3b", what: "HTTP/1.1, responses of 64 KiB, 16 connections", path: "/64k", ..BODIES },
    Scenario {
        name: "s3c",
        what: "HTTP/1.1, responses of 1 MiB in chunks of 16 KiB, 16 connections",
        path: "/chunks",
        ..BODIES
    },
    Scenario {
        name: "s3u",
        what: "HTTP/1.1, uploads of 1 MiB, 16 connections",
        path: "/upload",
        upload: 1024 * 1024,
        ..BODIES
    },
    Scenario { name: "s4", what: "TCP mode, responses of 1 MiB, 16 connections", side: Side::Tcp, ..BODIES },
    Scenario {
        name: "s4-64k",
        what: "TCP mode, responses of 64 KiB, 16 connections",
        side: Side::Tcp,
        path: "/64k",
        ..BODIES
    },
    RAW,
    Scenario {
        name: "s4c",
        what: "TCP mode, a new connection for each message",
        work: Work::ClosedLoop { connections: 64, is_closing: true },
        unit: Unit::CpuPerConnection,
        ..RAW
    },
    SECURE,
    Scenario {
        name: "s5hs",
        what: "a TLS 1.3 handshake for each request",
        work: Work::ClosedLoop { connections: 64, is_closing: true },
        unit: Unit::CpuPerConnection,
        ..SECURE
    },
    SEALED,
    Scenario {
        name: "s5u",
        what: "TLS 1.3, uploads of 1 MiB, 16 connections",
        path: "/upload",
        upload: 1024 * 1024,
        ..SEALED
    },
    Scenario {
        name: "s6",
        what: "HTTP/2 over TLS to HTTP/1.1, 16 connections of 32 streams",
        work: Work::Streams { connections: 16, streams: 32 },
        ..SECURE
    },
    STREAMED,
    Scenario {
        name: "s6u",
        what: "HTTP/2 over TLS, uploads of 1 MiB, 16 connections of 4 streams",
        path: "/upload",
        upload: 1024 * 1024,
        ..STREAMED
    },
    Scenario {
        name: "s7",
        what: "user memory of an idle kept-alive connection, of 5,000, after a request each",
        work: Work::Idle { connections: 5000 },
        unit: Unit::BytesPerConnection,
        ..SMALL
    },
    Scenario {
        name: "s8",
        what: "the last of 2, 1,000 and 100,000 prefix routes, open loop at 20,000 a second",
        work: Work::OpenLoop { rate: 20_000, connections: 64 },
        field: Field::Routes,
        ..SMALL
    },
    Scenario { name: "log", what: "s1r with an access log, to nowhere", field: Field::Logs, ..SMALL },
    Scenario {
        name: "s9",
        what: "latency: open loop at 5,000 a second, 64 connections",
        work: Work::OpenLoop { rate: 5_000, connections: 64 },
        unit: Unit::MedianLatency,
        ..SMALL
    },
    Scenario {
        name: "s10",
        what: "20 reloads under 1,000 requests a second, a connection for each 10 requests",
        work: Work::Reloads { count: 20, rate: 1_000 },
        unit: Unit::CpuPerReload,
        ..SMALL
    },
];

impl Scenario {
    /// What is measured, in the order of a round.
    pub(crate) fn subjects(&self, peers: &[Peer]) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for &peer in peers {
            let plain = Subject::of(peer);
            subjects.push(plain);
            match (self.field, peer) {
                (Field::Bodies, Peer::Haproxy) => {
                    let variants = [Variant::Splice, Variant::SmallPipes];
                    subjects.extend(variants.map(|variant| Subject { variant, ..plain }));
                }
                (Field::Bodies, Peer::Floor) => {
                    subjects.push(Subject { variant: Variant::Splice, ..plain });
                }
                (Field::Bodies, Peer::Nginx) if self.side == Side::Http => {
                    subjects.push(Subject { variant: Variant::LargeBuffers, ..plain });
                }
                (Field::Logs, _) => subjects.push(Subject { variant: Variant::Logging, ..plain }),
                (Field::Routes, _) => {
                    subjects.extend([1_000, 100_000].map(|routes| Subject { routes, ..plain }));
                }
                _ => {}
            }
        }
        subjects
    }

    /// Whom a subject is compared with.
    pub(crate) fn references(&self, subject: Subject) -> Vec<Subject> {
        let haproxy = Subject::of(Peer::Haproxy);
        let nginx = Subject::of(Peer::Nginx);
        match self.field {
            Field::Peers => vec![haproxy, nginx],
            Field::Bodies => {
                let spliced = |variant| Subject { variant, ..haproxy };
                vec![spliced(Variant::Splice), spliced(Variant::SmallPipes), nginx]
            }
            Field::Routes | Field::Logs => vec![Subject::of(subject.peer)],
        }
    }

    /// The path asked for: with a table of routes, its last route.
    pub(crate) fn path_for(&self, subject: Subject) -> String {
        match self.field {
            // As long as the last of the many, so that two routes parse the same number of bytes.
            Field::Routes => format!("{}/x", Subject::route(subject.routes.max(1_000) - 1)),
            _ => self.path.to_owned(),
        }
    }
}

impl Scenario {
    /// What to install for this scenario's load, if it is not there.
    pub(crate) fn missing_tool(&self) -> Option<&'static str> {
        match self.work {
            Work::ClosedLoop { .. } if in_path("wrk").is_none() => {
                Some("skipped: wrk is not installed (apt-get install wrk)")
            }
            Work::Streams { .. } if in_path("h2load").is_none() => {
                Some("skipped: h2load is not installed (apt-get install nghttp2-client)")
            }
            _ => None,
        }
    }
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "µs CPU/request",
            Self::CpuPerConnection => "µs CPU/connection",
            Self::CpuPerGigabyte => "s CPU/GB",
            Self::BytesPerConnection => "bytes/connection",
            Self::MedianLatency => "µs p50",
            Self::CpuPerReload => "ms CPU/reload",
        }
    }

    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Self::CpuPerGigabyte => format!("{value:.3}"),
            Self::BytesPerConnection | Self::MedianLatency => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_reference_takes_part() {
        let peers = Peer::ALL;
        for (index, scenario) in ALL.iter().enumerate() {
            assert!(ALL[index + 1..].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
            let subjects = scenario.subjects(&peers);
            for subject in &subjects {
                assert!(scenario.references(*subject).iter().all(|reference| subjects.contains(reference)));
            }
        }
    }
}
