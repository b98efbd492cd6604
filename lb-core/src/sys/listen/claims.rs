//! Finding two listeners that can't be at a time, among many.

use std::collections::HashMap;

use super::ListenAddress;

/// Addresses and who has them. An address of ten thousand is compared with three.
#[derive(Debug)]
pub(crate) struct Claims<T> {
    owners: HashMap<ListenAddress, T>,
    /// Of a TCP port of IPv4 or IPv6: an address that stands for all, and one that has it at all.
    everywhere: HashMap<Port, ListenAddress>,
    somewhere: HashMap<Port, ListenAddress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Port {
    is_ipv4: bool,
    number: u16,
}

impl<T> Default for Claims<T> {
    fn default() -> Self {
        Self { owners: HashMap::new(), everywhere: HashMap::new(), somewhere: HashMap::new() }
    }
}

impl<T> Claims<T> {
    /// Gives an address to `owner`, unless one that [overlaps](ListenAddress::overlaps) with it is taken: that, and who
    /// has it.
    pub(crate) fn claim(&mut self, address: &ListenAddress, owner: T) -> Result<(), (&ListenAddress, &T)> {
        let tcp = match address {
            ListenAddress::Tcp(addr) if addr.port() == 0 => return Ok(()),
            ListenAddress::Tcp(addr) => Some(*addr),
            ListenAddress::Unix(_) | ListenAddress::Abstract(_) => None,
        };
        let port = tcp.map(|addr| Port { is_ipv4: addr.is_ipv4(), number: addr.port() });
        let is_everywhere = tcp.is_some_and(|addr| addr.ip().is_unspecified());
        let others = if is_everywhere { &self.somewhere } else { &self.everywhere };
        let other = port.and_then(|port| others.get(&port)).unwrap_or(address);
        if self.owners.contains_key(other) {
            let found = self.owners.get_key_value(other);
            return found.map_or(Ok(()), Err);
        }
        if let Some(port) = port {
            self.somewhere.entry(port).or_insert_with(|| address.clone());
            if is_everywhere {
                self.everywhere.insert(port, address.clone());
            }
        }
        self.owners.insert(address.clone(), owner);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_refused_where_it_overlaps_with_one_from_before() {
        let addresses = [
            "0.0.0.0:80",
            "127.0.0.1:80",
            "127.0.0.2:80",
            "[::]:80",
            "[::1]:80",
            "127.0.0.1:81",
            "127.0.0.1:0",
        ]
        .map(|text| ListenAddress::Tcp(text.parse().unwrap()));
        let all: Vec<_> = addresses.into_iter().chain([ListenAddress::Unix("/run/a".into())]).collect();
        for first in &all {
            for second in &all {
                for third in &all {
                    let mut claims = Claims::default();
                    let mut granted: Vec<&ListenAddress> = Vec::new();
                    for address in [first, second, third] {
                        let is_free = granted.iter().all(|other| !other.overlaps(address));
                        match claims.claim(address, ()) {
                            Ok(()) => {
                                assert!(is_free, "{address} beside {granted:?}");
                                granted.push(address);
                            }
                            Err((other, ())) => {
                                assert!(!is_free && other.overlaps(address), "{address} {other}")
                            }
                        }
                    }
                }
            }
        }
    }
}
