//! `[backend.NAME]` and its tables.

use serde::{Serialize, Serializer};

use super::BackendTls;
use crate::backend::{self, Address, BackendTimeouts, HealthCheck, PoolLimits, StatusSet};
use crate::config::diagnostics::{At, Place};
use crate::config::reader::{Keys, Miss, Read, Record, Value};
use crate::config::units::Period;
use crate::config::values::{Named, Parsed, Positive, Share, Switch, choice};

/// `[backend.NAME]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Backend {
    pub(crate) balance: Balance,
    #[serde(rename = "server", serialize_with = "by_name")]
    pub(crate) servers: Vec<At<Server>>,
    pub(crate) forwarded: bool,
    pub(crate) real_ip: bool,
    pub(crate) http2: bool,
    pub(crate) send_proxy: SendProxy,
    pub(crate) retries: u32,
    pub(crate) retry_budget: Share,
    pub(crate) timeouts: Timeouts,
    pub(crate) pool: Pool,
    pub(crate) health: Option<At<Health>>,
    pub(crate) passive: Passive,
    pub(crate) tls: Option<At<BackendTls>>,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            balance: Balance::default(),
            servers: Vec::new(),
            forwarded: true,
            real_ip: false,
            http2: false,
            send_proxy: SendProxy::default(),
            retries: 2,
            retry_budget: Share(0.2),
            timeouts: Timeouts::default(),
            pool: Pool::default(),
            health: None,
            passive: Passive::default(),
            tls: None,
        }
    }
}

impl Record for Backend {
    const KIND: &'static str = "backend";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            balance: keys.or("balance", default.balance),
            servers: servers(keys),
            forwarded: keys.or("forwarded", default.forwarded),
            real_ip: keys.or("real_ip", default.real_ip),
            http2: keys.or("http2", default.http2),
            send_proxy: keys.or("send_proxy", default.send_proxy),
            retries: keys.or("retries", default.retries),
            retry_budget: keys.or("retry_budget", default.retry_budget),
            timeouts: keys.or("timeouts", default.timeouts),
            pool: keys.or("pool", default.pool),
            health: present(keys.take("health").map(|at: At<HealthForm>| At::new(at.value.0, at.place))),
            passive: keys.or("passive", default.passive),
            tls: present(keys.take("tls").map(|at: At<Switch<_>>| At::new(at.value.0, at.place))),
        })
    }
}

fn present<T>(at: Option<At<Option<T>>>) -> Option<At<T>> {
    at.and_then(|At { value, place }| Some(At::new(value?, place)))
}

fn by_name<S: Serializer>(servers: &[At<Server>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(servers.iter().map(|server| (&server.name.value, server)))
}

fn servers(keys: &mut Keys<'_>) -> Vec<At<Server>> {
    let Some(value) = keys.value("servers") else {
        keys.lacks("no servers", "add `servers = [\"host:port\"]`, or `servers = []` for none as yet");
        return Vec::new();
    };
    if value.is_empty_list() {
        let what = format_args!("backend {} has no servers: its requests get 503", keys.name());
        keys.problems().odd(value.place(), what, "add a \"host:port\" when there is one");
    }
    value.read().map(|at| at.value).unwrap_or_default()
}

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balance {
    #[default]
    RoundRobin,
    LeastConnections,
    Random,
    P2c,
}

impl Read for Balance {
    const WANTED: (&'static str, &'static str) = ("a balancing policy", "\"round_robin\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let choices = [
            ("round_robin", Self::RoundRobin),
            ("least_connections", Self::LeastConnections),
            ("random", Self::Random),
            ("p2c", Self::P2c),
        ];
        choice(value, "balance", &choices)
    }
}

/// Whether servers get a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SendProxy {
    #[default]
    Off,
    V1,
    V2,
}

impl Read for SendProxy {
    const WANTED: (&'static str, &'static str) =
        ("a version of the PROXY protocol", "\"off\", \"v1\" or \"v2\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(
            value,
            "version of the PROXY protocol",
            &[("off", Self::Off), ("v1", Self::V1), ("v2", Self::V2)],
        )
    }
}

impl Named for Address {
    const NAMED: (&'static str, &'static str) = ("an address", "\"web1:80\"");
}

impl Named for StatusSet {
    const NAMED: (&'static str, &'static str) = ("a list of statuses in quotes", "\"2xx,3xx\"");
}

/// One server: `"host:port"`, or a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Server {
    pub(crate) name: At<String>,
    pub(crate) address: At<Parsed<Address>>,
    pub(crate) weight: u32,
    pub(crate) max_connections: u32,
    pub(crate) backup: bool,
}

impl Read for Server {
    const WANTED: (&'static str, &'static str) =
        ("a server", "\"web1:80\" or { address = \"web1:80\", weight = 2 }");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        if value.is_table() {
            return ServerTable::read(value).map(|table| table.0);
        }
        let address = At::new(Parsed::read(value)?, value.place());
        let name = At::new(address.text.clone(), address.place);
        Ok(Self { name, address, weight: 1, max_connections: 0, backup: false })
    }
}

/// The table form of [`Server`].
struct ServerTable(Server);

impl Record for ServerTable {
    const KIND: &'static str = "server";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let name = keys.take("name");
        let address = keys.need::<Parsed<Address>>("address");
        let (weight, max_connections) = (keys.or("weight", 1), keys.or("max_connections", 0));
        let backup = keys.or("backup", false);
        let address = address?;
        let name = name.unwrap_or_else(|| At::new(address.text.clone(), address.place));
        Ok(Self(Server { name, address, weight, max_connections, backup }))
    }
}

/// `[backend.NAME.timeouts]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Timeouts {
    pub(crate) connect: Positive,
    pub(crate) response: Positive,
    pub(crate) body: Positive,
    pub(crate) tunnel: Positive,
    pub(crate) queue: Positive,
}

impl Default for Timeouts {
    fn default() -> Self {
        let BackendTimeouts { connect, response, body, tunnel, queue, .. } = BackendTimeouts::default();
        Self {
            connect: Positive::new(connect),
            response: Positive::new(response),
            body: Positive::new(body),
            tunnel: Positive::new(tunnel),
            queue: Positive::new(queue),
        }
    }
}

impl Record for Timeouts {
    const KIND: &'static str = "timeouts";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            connect: keys.or("connect", default.connect),
            response: keys.or("response", default.response),
            body: keys.or("body", default.body),
            tunnel: keys.or("tunnel", default.tunnel),
            queue: keys.or("queue", default.queue),
        })
    }
}

/// `[backend.NAME.pool]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Pool {
    pub(crate) idle_per_server: usize,
    pub(crate) idle_timeout: Positive,
}

impl Default for Pool {
    fn default() -> Self {
        let PoolLimits { idle_per_server, idle_timeout, .. } = PoolLimits::default();
        Self { idle_per_server, idle_timeout: Positive::new(idle_timeout) }
    }
}

impl Record for Pool {
    const KIND: &'static str = "pool";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            idle_per_server: keys.or("idle_per_server", default.idle_per_server),
            idle_timeout: keys.or("idle_timeout", default.idle_timeout),
        })
    }
}

/// `[backend.NAME.health]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Health {
    pub(crate) path: Option<At<String>>,
    pub(crate) interval: Positive,
    pub(crate) timeout: Positive,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
    pub(crate) expect: Option<At<Parsed<StatusSet>>>,
    pub(crate) initial: Initial,
    pub(crate) host: Option<At<String>>,
}

impl Default for Health {
    fn default() -> Self {
        let HealthCheck { interval, timeout, rise, fall, initial, .. } = HealthCheck::tcp();
        Self {
            path: None,
            interval: Positive::new(interval),
            timeout: Positive::new(timeout),
            rise,
            fall,
            expect: None,
            initial: Initial(initial),
            host: None,
        }
    }
}

impl Record for Health {
    const KIND: &'static str = "health";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            path: keys.take("path"),
            interval: keys.or("interval", default.interval),
            timeout: keys.or("timeout", default.timeout),
            rise: at_least_one(keys, "rise").unwrap_or(default.rise),
            fall: at_least_one(keys, "fall").unwrap_or(default.fall),
            expect: keys.take("expect"),
            initial: keys.or("initial", default.initial),
            host: keys.take("host"),
        })
    }
}

/// [`Health`] as it may be written: a table, its `path` alone, or `true` for a check that connects.
struct HealthForm(Option<Health>);

impl Read for HealthForm {
    const WANTED: (&'static str, &'static str) =
        ("a health check", "true, \"/health\" or { path = \"/health\" }");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        match Switch::read(value) {
            Ok(Switch(health)) => Ok(Self(health)),
            Err(Miss::Said) => Err(Miss::Said),
            Err(Miss::Type) => {
                let path = Some(At::new(value.text()?.into_owned(), value.place()));
                Ok(Self(Some(Health { path, ..Health::default() })))
            }
        }
    }
}

fn at_least_one(keys: &mut Keys<'_>, key: &'static str) -> Option<u32> {
    let count = keys.take::<u32>(key)?;
    if count.value == 0 {
        keys.problems().wrong(count.place, format_args!("`{key}` is 0"), "write at least 1");
        return None;
    }
    Some(count.value)
}

/// What a server counts as before its first health result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Initial(pub(crate) backend::Initial);

impl Initial {
    const ALL: [(&'static str, Self); 3] = [
        ("unknown", Self(backend::Initial::Unknown)),
        ("up", Self(backend::Initial::Up)),
        ("down", Self(backend::Initial::Down)),
    ];
}

impl Read for Initial {
    const WANTED: (&'static str, &'static str) = ("an initial state", "\"unknown\", \"up\" or \"down\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "initial state", &Self::ALL)
    }
}

impl Serialize for Initial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = Self::ALL.iter().find(|(_, initial)| initial == self).map_or("unknown", |(name, _)| name);
        serializer.serialize_str(name)
    }
}

/// `[backend.NAME.passive]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Passive {
    pub(crate) failures: u32,
    pub(crate) eject: At<Period>,
}

impl Default for Passive {
    fn default() -> Self {
        let passive = backend::Passive::default();
        Self { failures: passive.failures, eject: At::new(Period(passive.eject), Place::default()) }
    }
}

impl Record for Passive {
    const KIND: &'static str = "passive";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            failures: keys.or("failures", default.failures),
            eject: keys.take("eject").unwrap_or(default.eject),
        })
    }
}
