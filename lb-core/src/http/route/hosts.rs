//! Hosts as routes ask for them, and the routes of one path filed under their hosts.
//!
//! Each path of a router has its own [`Candidates`], in which a request finds the routes for its host by hash:
//! ten thousand hosts on one path cost what ten do. The
//! hash need not withstand chosen keys: requests look up, only the configuration files.

use rustc_hash::FxHashMap;

/// A host that a route asks for; in lower case, without port and trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(Box<[u8]>),
    /// `*.example`, held as `example`: one label or more stand before it.
    Under(Box<[u8]>),
}

impl HostPattern {
    /// None when `text` is no host, has a port, or a `*` that is not its first label.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let lower = lower.strip_suffix('.').unwrap_or(&lower);
        let (name, wildcard) = match lower.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (lower, false),
        };
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let valid = match address {
            Some(address) => !wildcard && address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_label_byte)),
        };
        let host = name.as_bytes().into();
        (valid && name.len() <= HOST_BYTES).then_some(if wildcard {
            Self::Under(host)
        } else {
            Self::Exact(host)
        })
    }
}

/// The host of a request in the form of [`HostPattern`], written to the caller's stack. A host longer than a
/// name can be is empty, which no route asks for.
pub(super) fn canonical<'a>(host: &[u8], room: &'a mut [u8; HOST_BYTES]) -> &'a [u8] {
    let ends = if host.starts_with(b"[") { |byte: &u8| *byte == b']' } else { |byte: &u8| *byte == b':' };
    let name = match host.iter().position(ends) {
        Some(at) if host[at] == b']' => &host[..=at],
        Some(at) => &host[..at],
        None => host,
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let Some(room) = room.get_mut(..name.len()) else { return &[] };
    room.copy_from_slice(name);
    room.make_ascii_lowercase();
    room
}

/// Room for the longest host: a DNS name has at most 253 characters (RFC 1035 section 3.1, as text).
pub(super) const HOST_BYTES: usize = 253;

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The routes of one path. A route is its rank: of two that match, the lower one wins.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Invariant: this and every list below ascends.
    any_host: Vec<usize>,
    hosts: Option<Box<Hosts>>,
}

#[derive(Debug, Default)]
struct Hosts {
    exact: FxHashMap<Box<[u8]>, Vec<usize>>,
    under: FxHashMap<Box<[u8]>, Vec<usize>>,
    /// Length of the longest key of `under`, beyond which a suffix need not be looked up.
    longest_under: usize,
}

impl Candidates {
    /// Files the next route. Ranks come in ascending order. No hosts: it takes every host.
    pub(super) fn push(&mut self, rank: usize, patterns: &[HostPattern]) {
        if patterns.is_empty() {
            return self.any_host.push(rank);
        }
        let hosts = self.hosts.get_or_insert_default();
        for pattern in patterns {
            match pattern {
                HostPattern::Exact(host) => hosts.exact.entry(host.clone()).or_default().push(rank),
                HostPattern::Under(host) => {
                    hosts.longest_under = hosts.longest_under.max(host.len());
                    hosts.under.entry(host.clone()).or_default().push(rank);
                }
            }
        }
    }

    /// The lowest rank among those filed for `host` whose other conditions hold.
    pub(super) fn first(&self, host: &[u8], mut holds: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut consider = |ranks: &[usize]| {
            let better = ranks.iter().copied().take_while(|&rank| best.is_none_or(|best| rank < best));
            if let Some(rank) = { better }.find(|&rank| holds(rank)) {
                best = Some(rank);
            }
        };
        if let Some(hosts) = &self.hosts {
            hosts.filed_for(host, &mut consider);
        }
        consider(&self.any_host);
        best
    }
}

impl Hosts {
    fn filed_for(&self, host: &[u8], consider: &mut impl FnMut(&[usize])) {
        if let Some(ranks) = self.exact.get(host) {
            consider(ranks);
        }
        // From the right, so that a long host stops the walk as soon as its suffixes are longer than any key.
        let dots = (1..host.len()).rev().filter(|&at| host[at] == b'.');
        let suffixes = dots.map(|at| &host[at + 1..]).take_while(|suffix| suffix.len() <= self.longest_under);
        for ranks in suffixes.filter_map(|suffix| self.under.get(suffix)) {
            consider(ranks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_case_port_and_trailing_dot() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"Shop.Example", b"shop.example"),
            (b"shop.example.", b"shop.example"),
            (b"shop.example:80", b"shop.example"),
            (b"SHOP.example.:8080", b"shop.example"),
            (b"[2001:DB8::1]:80", b"[2001:db8::1]"),
            (b"[::1]", b"[::1]"),
            (b"10.0.0.1:80", b"10.0.0.1"),
            (b"", b""),
        ];
        for (host, want) in cases {
            assert_eq!(canonical(host, &mut [0; HOST_BYTES]), *want, "{}", host.escape_ascii());
        }
        let longest = vec![b'a'; HOST_BYTES];
        assert_eq!(canonical(&longest, &mut [0; HOST_BYTES]), longest);
        assert_eq!(canonical(&[&longest[..], b"a"].concat(), &mut [0; HOST_BYTES]), b"");
    }

    #[test]
    fn patterns_are_hosts_or_a_wildcard_before_one() {
        let exact = |host: &str| Some(HostPattern::Exact(host.as_bytes().into()));
        assert_eq!(HostPattern::parse("Shop.example."), exact("shop.example"));
        assert_eq!(HostPattern::parse("a_b"), exact("a_b"));
        assert_eq!(HostPattern::parse("10.0.0.1"), exact("10.0.0.1"));
        assert_eq!(HostPattern::parse("[2001:DB8::1]"), exact("[2001:db8::1]"));
        assert_eq!(HostPattern::parse("*.Example"), Some(HostPattern::Under(b"example"[..].into())));
        for text in [
            "",
            "*",
            "*.",
            ".",
            "a..b",
            "*.*.a",
            "a.*",
            "*a",
            "shop.example:80",
            "bücher.example",
            "[x]",
            "a/b",
        ] {
            assert_eq!(HostPattern::parse(text), None, "{text}");
        }
        assert_eq!(HostPattern::parse(&"a".repeat(HOST_BYTES + 1)), None);
    }

    #[test]
    fn the_lowest_rank_wins_over_all_lists_of_a_host() {
        let mut candidates = Candidates::default();
        let filed = [(0, "*.b.example"), (1, "*.example"), (2, ""), (3, "a.b.example"), (4, "*.b.example")];
        for (rank, host) in filed {
            let patterns: Vec<_> = HostPattern::parse(host).into_iter().collect();
            candidates.push(rank, &patterns);
        }
        let all = |host: &str| {
            let mut out = Vec::new();
            while let Some(rank) = candidates.first(host.as_bytes(), |rank| !out.contains(&rank)) {
                out.push(rank);
            }
            out
        };
        assert_eq!(all("a.b.example"), [0, 1, 2, 3, 4]);
        assert_eq!(all("x.y.b.example"), [0, 1, 2, 4]);
        assert_eq!(all("b.example"), [1, 2]);
        assert_eq!(all("example"), [2]);
        assert_eq!(all(".example"), [2]);
        assert_eq!(all("xexample"), [2]);
        assert_eq!(all(""), [2]);
    }
}
