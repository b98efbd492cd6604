//! What the file says, typed: one struct a table, one field a key, names as in the file.
//!
//! The structs are read by [`super::reader`], not by serde's `Deserialize`, because serde stops at the first error
//! and every problem of a file is wanted at once. They derive `Serialize`, from which `changes` compares two
//! configurations key by key. Nothing here reaches the data plane: `compile` turns it into the public builders.

mod backend;
mod frontend;
mod route;
mod tls;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::access_log::Format;
use crate::proxy::HostName;

use super::diagnostics::At;
use super::log::{LogFormat, LogLevel};
use super::reader::{Keys, Miss, Read, Record, Value};
use super::units::Period;
use super::values::{Named as ValueKind, Parsed, Several, choice};

pub(crate) use self::backend::{Backend, Balance, Health, SendProxy, Server, Timeouts as BackendTimeouts};
pub(crate) use self::frontend::{Frontend, Limits, ListenAddress, Mode, Timeouts as FrontendTimeouts};
pub(crate) use self::route::{Action, Edits, Expected, Path, Route};
pub(crate) use self::tls::{BackendTls, CertificateSource, ClientAuth, Files, FrontendTls, Version};

/// A whole configuration, of one file or of many.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Config {
    pub(crate) global: Global,
    pub(crate) log: Log,
    pub(crate) admin: Option<Admin>,
    pub(crate) frontend: BTreeMap<String, At<Frontend>>,
    pub(crate) backend: BTreeMap<String, At<Backend>>,
}

/// Collects the tables of several files. A name that a second file defines is reported there.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    global: Option<At<Global>>,
    log: Option<At<Log>>,
    admin: Option<At<Admin>>,
    frontend: BTreeMap<String, At<Frontend>>,
    backend: BTreeMap<String, At<Backend>>,
}

impl Draft {
    /// Reads every table of one file.
    pub(crate) fn add(&mut self, mut keys: Keys<'_>) {
        define(&mut self.global, "global", &mut keys);
        define(&mut self.log, "log", &mut keys);
        define(&mut self.admin, "admin", &mut keys);
        define_named(&mut self.frontend, "frontend", &mut keys);
        define_named(&mut self.backend, "backend", &mut keys);
        keys.finish();
    }

    pub(crate) fn finish(self) -> Config {
        let Self { global, log, admin, frontend, backend } = self;
        Config {
            global: global.map(|at| at.value).unwrap_or_default(),
            log: log.map(|at| at.value).unwrap_or_default(),
            admin: admin.map(|at| at.value),
            frontend,
            backend,
        }
    }
}

/// `[global]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Global {
    pub(crate) workers: Workers,
    pub(crate) drain_delay: Period,
    pub(crate) drain_timeout: Period,
    pub(crate) max_connections: usize,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            workers: Workers::Auto,
            drain_delay: Period(Duration::ZERO),
            drain_timeout: Period(Duration::from_secs(30)),
            max_connections: 0,
        }
    }
}

impl Record for Global {
    const KIND: &'static str = "global";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            workers: keys.or("workers", default.workers),
            drain_delay: keys.or("drain_delay", default.drain_delay),
            drain_timeout: keys.or("drain_timeout", default.drain_timeout),
            max_connections: keys.or("max_connections", default.max_connections),
        })
    }
}

/// How many workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// One for each CPU this process may use.
    Auto,
    Count(NonZeroUsize),
}

impl Read for Workers {
    const WANTED: (&'static str, &'static str) = ("\"auto\" or a number", "\"auto\" or 4");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        if let Ok(text) = value.text()
            && text == "auto"
        {
            return Ok(Self::Auto);
        }
        NonZeroUsize::new(usize::read(value)?)
            .map(Self::Count)
            .ok_or_else(|| value.wrong("no worker would serve", "write \"auto\" or at least 1"))
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Log {
    pub(crate) level: LogLevel,
    pub(crate) format: LogFormat,
    pub(crate) access: Access,
}

impl Record for Log {
    const KIND: &'static str = "log";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let default = Self::default();
        Ok(Self {
            level: keys.or("level", default.level),
            format: keys.or("format", default.format),
            access: keys.or("access", default.access),
        })
    }
}

impl Read for LogLevel {
    const WANTED: (&'static str, &'static str) = ("a log level", "\"info\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let all = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
        choice(value, "log level", &all.map(|level| (level.as_str(), level)))
    }
}

impl Read for LogFormat {
    const WANTED: (&'static str, &'static str) = ("a log format", "\"logfmt\" or \"json\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "log format", &[("logfmt", Self::Logfmt), ("json", Self::Json)])
    }
}

/// The form of the access log; `None`: off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Access(pub(crate) Option<Format>);

impl Access {
    const ALL: [(&'static str, Self); 4] = [
        ("off", Self(None)),
        ("json", Self(Some(Format::Json))),
        ("common", Self(Some(Format::Common))),
        ("combined", Self(Some(Format::Combined))),
    ];
}

impl Read for Access {
    const WANTED: (&'static str, &'static str) = ("an access log format", "\"json\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        choice(value, "access log format", &Self::ALL)
    }
}

impl Serialize for Access {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = Self::ALL.iter().find(|(_, access)| access == self).map_or("off", |(name, _)| name);
        serializer.serialize_str(name)
    }
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Admin {
    pub(crate) listen: At<Parsed<ListenAddress>>,
    pub(crate) hosts: Several<Parsed<HostName>>,
}

impl ValueKind for HostName {
    const NAMED: (&'static str, &'static str) = ("a host name", "\"lb.internal\"");
}

impl Record for Admin {
    const KIND: &'static str = "admin";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let hosts = keys.or("hosts", Several::default());
        Ok(Self { listen: keys.need("listen")?, hosts })
    }
}

fn define<T: Read>(slot: &mut Option<At<T>>, key: &'static str, keys: &mut Keys<'_>) {
    let Some(value) = keys.value(key) else { return };
    if slot.is_some() {
        value.wrong(format_args!("`{key}` is defined in another file too"), "keep one of them");
    }
    if let Some(read) = value.read() {
        slot.get_or_insert(read);
    }
}

fn define_named<T: Read + Default>(
    all: &mut BTreeMap<String, At<T>>,
    key: &'static str,
    keys: &mut Keys<'_>,
) {
    let Some(Named(entries)) = keys.take(key).map(|at| at.value) else { return };
    for (name, value) in entries {
        match all.entry(name.value) {
            Entry::Vacant(entry) => {
                // One that was no table is reported already; left out, each route to it would be reported too.
                entry.insert(At::new(value.unwrap_or_default(), name.place));
            }
            Entry::Occupied(entry) => {
                let what = format_args!("{key} {} is defined in another file too", entry.key());
                keys.problems().wrong(name.place, what, "rename or delete one of them");
            }
        }
    }
}

/// A table of tables by name: `[frontend.NAME]`. An entry that was wrong is `None`.
struct Named<T>(Vec<(At<String>, Option<T>)>);

impl<T: Read> Read for Named<T> {
    const WANTED: (&'static str, &'static str) = ("a table of named tables", "[backend.NAME]");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let entries = value.entries()?.map(|(name, value)| {
            if name.is_empty() {
                value.wrong("the name is empty", "give it one: it is the label in logs and metrics");
            }
            (name, value.read().map(|at| at.value))
        });
        Ok(Self(entries.collect()))
    }
}
