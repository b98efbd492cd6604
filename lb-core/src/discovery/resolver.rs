//! Names to addresses as the system does it: `/etc/hosts` first, then DNS by `/etc/resolv.conf`, whichever they say
//! at that moment.
//!
//! The search list is walked here and not by hickory, because both address families must come from the same name: a
//! wildcard in an outer domain must not add IPv6 addresses to an IPv4 service of an inner one.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use thiserror::Error;
use tracing::info;

/// Looks names up by the system's configuration, which is read again whenever it changes. Clones share what was read.
///
/// To be used within one tokio runtime with I/O and time.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Sources>);

#[derive(Debug)]
struct Sources {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// Of the name servers; `resolv.conf` can't say.
    port: u16,
    loaded: Mutex<Loaded>,
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// At least one; each once.
    pub addrs: Vec<IpAddr>,
    /// How long they hold: the shortest of the records; what `/etc/hosts` says counts as for a minute.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LookupError {
    /// There is no such name, or it has no addresses.
    #[error("no such name, or it has no addresses; is it spelled right, and is the service running?")]
    NotFound,
    /// No name server gave an answer that can be used.
    #[error("lookup failed: {0}")]
    Failed(String),
    /// There is no name server to ask.
    #[error("no name server: {0}")]
    NoResolver(String),
}

/// What `/etc/hosts` says has no TTL; the file is read at each lookup anyway.
const HOSTS_TTL: Duration = Duration::from_secs(60);

impl Resolver {
    /// By `/etc/hosts` and `/etc/resolv.conf`. Nothing is read before the first lookup.
    pub fn system() -> Self {
        Self::by_files("/etc/hosts", "/etc/resolv.conf", 53)
    }

    fn by_files(hosts: impl AsRef<Path>, resolv_conf: impl AsRef<Path>, port: u16) -> Self {
        let (hosts, resolv_conf) = (hosts.as_ref().to_owned(), resolv_conf.as_ref().to_owned());
        Self(Arc::new(Sources { hosts, resolv_conf, port, loaded: Mutex::default() }))
    }

    /// The IPv4 and IPv6 addresses of `host`. Where only one family could be looked up, those of the other one in
    /// `before`, the last answer, stay.
    pub async fn look_up(&self, host: &str, before: &[IpAddr]) -> Result<Answer, LookupError> {
        let name = Name::from_ascii(host).map_err(|error| LookupError::Failed(error.to_string()))?;
        let system = self.0.system_now();
        if let Some(addrs) = system.in_hosts(&name) {
            return Ok(Answer { addrs, ttl: HOSTS_TTL });
        }
        let dns = system.dns.as_ref().map_err(|error| LookupError::NoResolver(error.clone()))?;
        let mut error = LookupError::NotFound;
        for name in candidates(&name, dns.ndots, &dns.search) {
            match dns.look_up(name, before).await {
                Ok(answer) => return Ok(answer),
                Err(LookupError::NotFound) => {}
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl Sources {
    /// What the files say now. They are small, and reading them is no more than a stat or two; it is how a
    /// change is seen whatever replaced the file.
    fn system_now(&self) -> Arc<System> {
        let files = Files { hosts: read(&self.hosts), resolv_conf: read(&self.resolv_conf) };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, system)) = &*loaded {
            if *before == files {
                return system.clone();
            }
            info!(hosts = %self.hosts.display(), resolver = %self.resolv_conf.display(), "resolver configuration changed");
        }
        let system = Arc::new(System::new(&files, self.port));
        *loaded = Some((files, system.clone()));
        system
    }
}

type Loaded = Option<(Files, Arc<System>)>;

/// The bytes of the files, or why there are none.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    hosts: Result<Vec<u8>, String>,
    resolv_conf: Result<Vec<u8>, String>,
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What the files mean.
#[derive(Debug)]
struct System {
    hosts: Hosts,
    dns: Result<Dns, String>,
}

impl System {
    fn new(files: &Files, port: u16) -> Self {
        let mut hosts = Hosts::default();
        if let Ok(bytes) = &files.hosts {
            // Reading from memory can't fail but for text that isn't UTF-8: the lines before it count.
            let _ = hosts.read_hosts_conf(io::Cursor::new(bytes));
        }
        let dns = files.resolv_conf.clone().and_then(|bytes| Dns::new(&bytes, port));
        Self { hosts, dns }
    }

    fn in_hosts(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let of_family = |family| {
            let found = self.hosts.lookup_static_host(&Query::query(name.to_lowercase(), family));
            found.map(|lookup| lookup.answers().iter().filter_map(address).collect::<Vec<_>>())
        };
        let addrs = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of_family).flatten();
        Some(distinct(addrs)).filter(|addrs| !addrs.is_empty())
    }
}

/// The name servers and how names are completed.
struct Dns {
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

/// What one address family of a name came to.
enum Family {
    Found(Vec<IpAddr>, Duration),
    Nothing,
    Failed(NetError),
}

impl Dns {
    fn new(resolv_conf: &[u8], port: u16) -> Result<Self, String> {
        let text = |error: NetError| error.to_string();
        let (config, mut options) = system_conf::parse_resolv_conf(resolv_conf).map_err(text)?;
        let search = match (config.search(), config.domain()) {
            ([], domain) => domain.into_iter().cloned().collect(),
            (search, _) => search.to_vec(),
        };
        let mut servers = config.name_servers().to_vec();
        for connection in servers.iter_mut().flat_map(|server| &mut server.connections) {
            connection.port = port;
        }
        let ndots = options.ndots;
        // Each lookup asks anew: caching is the pace of discovery. The hosts file and the search list are read here.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().map_err(text)?;
        Ok(Self { resolver, search, ndots })
    }

    /// Both families of one absolute name.
    async fn look_up(&self, name: Name, before: &[IpAddr]) -> Result<Answer, LookupError> {
        let (v4, v6) =
            tokio::join!(self.family(name.clone(), RecordType::A), self.family(name, RecordType::AAAA));
        let (addrs, ttl) = match (v4, v6) {
            (Family::Found(v4, ttl), Family::Found(v6, other)) => ([v4, v6].concat(), ttl.min(other)),
            (Family::Found(found, ttl), Family::Nothing) | (Family::Nothing, Family::Found(found, ttl)) => {
                (found, ttl)
            }
            (Family::Found(v4, ttl), Family::Failed(_)) => {
                (v4.into_iter().chain(before.iter().copied().filter(IpAddr::is_ipv6)).collect(), ttl)
            }
            (Family::Failed(_), Family::Found(v6, ttl)) => {
                (before.iter().copied().filter(IpAddr::is_ipv4).chain(v6).collect(), ttl)
            }
            (Family::Nothing, Family::Nothing) => return Err(LookupError::NotFound),
            (Family::Failed(error), _) | (_, Family::Failed(error)) => {
                return Err(LookupError::Failed(error.to_string()));
            }
        };
        Ok(Answer { addrs: distinct(addrs), ttl })
    }

    async fn family(&self, name: Name, family: RecordType) -> Family {
        let lookup = match self.resolver.lookup(name, family).await {
            Ok(lookup) => lookup,
            Err(error) if error.is_no_records_found() => return Family::Nothing,
            Err(error) => return Family::Failed(error),
        };
        let records = || lookup.answers().iter().filter(|record| record.record_type() == family);
        let addrs: Vec<_> = records().filter_map(address).collect();
        match records().map(|record| record.ttl).min() {
            Some(ttl) if !addrs.is_empty() => Family::Found(addrs, Duration::from_secs(ttl.into())),
            _ => Family::Nothing,
        }
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns")
            .field("search", &self.search)
            .field("ndots", &self.ndots)
            .finish_non_exhaustive()
    }
}

/// The absolute names to try, in the order of resolv.conf(5): as it is where it has `ndots` dots or more, else last.
fn candidates(name: &Name, ndots: usize, search: &[Name]) -> Vec<Name> {
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    if name.is_fqdn() {
        return vec![absolute];
    }
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let completed = search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
    let mut names: Vec<_> = completed.collect();
    let place = if dots >= ndots { 0 } else { names.len() };
    names.insert(place, absolute);
    names
}

fn address(record: &Record) -> Option<IpAddr> {
    record.data.ip_addr()
}

fn distinct(addrs: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut seen = std::collections::HashSet::new();
    addrs.into_iter().filter(|addr| seen.insert(*addr)).collect()
}

#[cfg(test)]
mod tests;
