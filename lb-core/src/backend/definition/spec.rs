//! One server of a backend as somebody defined it, and the forms that it may be given in.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::backend::{Address, AddressError};

/// One server as defined: a name, an address and how much it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSpec {
    /// Unique in its backend; the label in logs and metrics.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Its share among the servers. Default 1; 0: takes no traffic.
    pub weight: u32,
    /// How many exchanges may be in flight to it at once, over all workers. Default: no limit.
    pub max_connections: Option<NonZeroU32>,
    /// Takes traffic only when no server that isn't a backup can. Default false.
    pub backup: bool,
}

impl ServerSpec {
    /// A server of weight 1 without a limit.
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        Self { name: name.into(), address, weight: 1, max_connections: None, backup: false }
    }

    /// Sets [`weight`](Self::weight).
    pub fn weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Sets [`max_connections`](Self::max_connections); 0: no limit.
    pub fn max_connections(self, max_connections: u32) -> Self {
        Self { max_connections: NonZeroU32::new(max_connections), ..self }
    }

    /// Makes it a [`backup`](Self::backup).
    pub fn backup(self) -> Self {
        Self { backup: true, ..self }
    }

    /// The host in its address; `None` for a unix socket.
    pub(super) fn host(&self) -> Option<String> {
        match &self.address {
            Address::Socket(addr) => Some(addr.ip().to_string()),
            Address::Name { host, .. } => Some(host.clone()),
            Address::Unix(_) => None,
        }
    }
}

impl From<Address> for ServerSpec {
    fn from(address: Address) -> Self {
        Self::new(address.to_string(), address)
    }
}

impl From<SocketAddr> for ServerSpec {
    fn from(addr: SocketAddr) -> Self {
        Address::from(addr).into()
    }
}

impl FromStr for ServerSpec {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Ok(Self::new(text, text.parse()?))
    }
}

impl TryFrom<&str> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<String> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl TryFrom<&String> for ServerSpec {
    type Error = AddressError;

    fn try_from(text: &String) -> Result<Self, AddressError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;

    #[test]
    fn servers_come_from_texts_addresses_and_specs() {
        let addr: SocketAddr = "10.0.0.2:80".parse().unwrap();
        let backend = Backend::builder("shop")
            .server("web1:80")
            .server(addr)
            .server(ServerSpec::new("third", addr.into()).weight(3).max_connections(9).backup())
            .servers(vec![String::from("unix:/run/a.sock")])
            .build()
            .unwrap();
        let names: Vec<_> = backend.servers().iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["web1:80", "10.0.0.2:80", "third", "unix:/run/a.sock"]);
        assert_eq!(backend.servers()[2].max_connections, NonZeroU32::new(9));
        assert_eq!(ServerSpec::from(addr).max_connections(0).max_connections, None);
    }
}
