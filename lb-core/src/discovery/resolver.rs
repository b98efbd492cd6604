//! Names to addresses as glibc's resolver does it, since people compare with what `getent hosts` says: `/etc/hosts`
//! first, then DNS by `/etc/resolv.conf`, whichever they say at that moment.
//!
//! Bytes of DNS are hickory-proto's; whom to ask, in what order and how long to wait is decided here, for it decides
//! where traffic goes. Different from glibc, on purpose: silence ends the search list wherever it is met, a
//! family that was lost keeps its addresses, and names of RFC 6761 are asked of nobody.

mod answer;
mod dns;
mod hosts;
mod message;
mod name_servers;
mod replies;
mod resolv_conf;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::rr::Name;
use tracing::info;

use crate::sys;

pub use answer::{Answer, Found, Known, LookupError, Rest};

use answer::RouteTest;
use dns::Dns;
use hosts::Hosts;
use name_servers::QuestionLimit;
use resolv_conf::ResolvConf;

/// Looks names up by the system's configuration, which is read again whenever it changes. Clones share what was read.
///
/// To be used within one tokio runtime with I/O and time.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Sources>);

#[derive(Debug)]
struct Sources {
    hosts: Hosts,
    resolv_conf: PathBuf,
    /// Of the name servers; `resolv.conf` can't say.
    port: u16,
    has_route: RouteTest,
    limit: Arc<QuestionLimit>,
    loaded: Mutex<Option<Loaded>>,
}

/// What `resolv.conf` said when it was last read.
#[derive(Debug)]
struct Loaded {
    bytes: Vec<u8>,
    dns: Arc<Dns>,
}

/// What `/etc/hosts` says has no TTL; the file is looked at at each lookup anyway.
const HOSTS_TTL: Duration = Duration::from_secs(60);

impl Resolver {
    /// By `/etc/hosts` and `/etc/resolv.conf`. Nothing is read before the first lookup.
    pub fn system() -> Self {
        Self::by_files("/etc/hosts", "/etc/resolv.conf", 53, sys::has_route)
    }

    fn by_files(
        hosts: impl AsRef<Path>,
        resolv_conf: impl AsRef<Path>,
        port: u16,
        has_route: RouteTest,
    ) -> Self {
        Self(Arc::new(Sources {
            hosts: Hosts::new(hosts.as_ref().to_owned()),
            resolv_conf: resolv_conf.as_ref().to_owned(),
            port,
            has_route,
            limit: Arc::default(),
            loaded: Mutex::default(),
        }))
    }

    /// The IPv4 and IPv6 addresses of `host`, of which something may be known. Addresses of a family that can't be looked
    /// up stay; a family to which this machine has no way is left out beside one to which it has.
    pub async fn look_up(&self, host: &str, known: &Known) -> Result<Found, LookupError> {
        let name = Name::from_ascii(host).map_err(|error| LookupError::Failed(error.to_string()))?;
        if let Some(answer) = self.0.without_dns(host) {
            return answer.map(Found::from);
        }
        self.0.dns().look_up(&name, known).await
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl Sources {
    /// What the hosts file says, or RFC 6761 sections 6.3 and 6.4 of names that no name server is to be asked for.
    fn without_dns(&self, host: &str) -> Option<Result<Answer, LookupError>> {
        let mut addrs = self.hosts.addresses(host);
        if addrs.is_empty() {
            let top = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            match top.to_ascii_lowercase().as_str() {
                "localhost" => addrs = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                "invalid" => return Some(Err(LookupError::NotFound)),
                _ => return None,
            }
        }
        let mut seen = std::collections::HashSet::new();
        addrs.retain(|addr| seen.insert(*addr));
        let (v4, v6) = addrs.into_iter().partition(IpAddr::is_ipv4);
        let addrs = replies::with_a_way([v4, v6], self.has_route);
        Some(Ok(Answer { addrs, ttl: HOSTS_TTL, absolute_name: None }))
    }

    /// By what `resolv.conf` says now. It is small, and reading it at each lookup is how a change is seen whatever
    /// replaced the file. Without one, the name server is this machine.
    fn dns(&self) -> Arc<Dns> {
        let read = fs::read(&self.resolv_conf);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match (read, &*loaded) {
            (Ok(bytes), _) => bytes,
            // For want of descriptors, say: what was read last holds.
            (Err(error), Some(loaded)) if error.kind() != io::ErrorKind::NotFound => {
                return loaded.dns.clone();
            }
            (Err(_), _) => Vec::new(),
        };
        if let Some(loaded) = &*loaded {
            if loaded.bytes == bytes {
                return loaded.dns.clone();
            }
            info!(path = %self.resolv_conf.display(), "resolver configuration changed");
        }
        let conf = ResolvConf::parse(&bytes, self.port, &sys::host_name());
        let dns = Arc::new(Dns::new(conf, self.limit.clone(), self.has_route));
        *loaded = Some(Loaded { bytes, dns: dns.clone() });
        dns
    }
}

#[cfg(test)]
mod tests;
