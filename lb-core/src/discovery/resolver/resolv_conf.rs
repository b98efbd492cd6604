//! `/etc/resolv.conf` (resolv.conf(5)), read as glibc's `res_init.c` does: what it doesn't know or can't use is passed
//! over, and a file that names no server, or that isn't there, means the one on this machine.
//!
//! Left out on purpose: the environment (`LOCALDOMAIN`, `RES_OPTIONS`), `sortlist`, and options that change only how a
//! question travels (`edns0`, `single-request`: each address family is asked for by a socket of its own).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use hickory_proto::rr::Name;

use crate::sys;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// In their order; at least one.
    pub(super) servers: Vec<SocketAddr>,
    /// What names are completed with, in this order; absolute.
    pub(super) search: Vec<Name>,
    pub(super) options: Options,
}

/// `options`, where they change what a name resolves to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// A name of as many dots is first tried as it is.
    pub(super) ndots: usize,
    /// How long a name server may think.
    pub(super) timeout: Duration,
    /// How often the servers are asked before the name counts as silent. At least 1.
    pub(super) attempts: u32,
    /// Each question begins with another server.
    pub(super) rotate: bool,
    /// Every question goes by TCP.
    pub(super) use_tcp: bool,
    /// IPv6 addresses aren't asked for.
    pub(super) no_ipv6: bool,
    /// A name without a dot isn't tried as it is.
    pub(super) no_top_level: bool,
}

/// `MAXNS` of glibc: those behind are not asked.
const SERVERS: usize = 3;

impl Default for Options {
    fn default() -> Self {
        Self {
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_tcp: false,
            no_ipv6: false,
            no_top_level: false,
        }
    }
}

impl ResolvConf {
    /// Of the file's bytes; `port` is the name servers', `host_name` this machine's own: what follows its first dot is
    /// the domain to search if the file says none.
    pub(super) fn parse(bytes: &[u8], port: u16, host_name: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), options: Options::default() };
        let mut search = None;
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            // A keyword begins its line: one that is indented is none.
            let Some((keyword, rest)) = line.split_once([' ', '\t']) else { continue };
            let words = rest.split_ascii_whitespace();
            match keyword {
                "nameserver" => conf.add_server(rest, port),
                // Whichever comes last counts.
                "domain" => search = Some(words.take(1).filter_map(absolute).collect()),
                "search" => search = Some(words.filter_map(absolute).collect()),
                "options" => words.for_each(|option| conf.options.set(option)),
                _ => {}
            }
        }
        if conf.servers.is_empty() {
            conf.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let own_domain = || host_name.split_once('.').and_then(|(_, domain)| absolute(domain));
        conf.search = search.unwrap_or_else(|| own_domain().into_iter().collect());
        conf
    }

    fn add_server(&mut self, rest: &str, port: u16) {
        let addr = rest.split([';', '#']).next().unwrap_or_default().trim();
        if let Some(addr) = server(addr, port)
            && self.servers.len() < SERVERS
        {
            self.servers.push(addr);
        }
    }
}

impl Options {
    /// Numbers are held to glibc's greatest ones.
    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = |most: u32| value.parse::<u32>().ok().map(|number| number.min(most));
        match name {
            "ndots" => self.ndots = number(15).map_or(self.ndots, |dots| dots as usize),
            "timeout" => {
                self.timeout =
                    number(30).map_or(self.timeout, |secs| Duration::from_secs(secs.max(1).into()));
            }
            "attempts" => self.attempts = number(5).map_or(self.attempts, |attempts| attempts.max(1)),
            "rotate" => self.rotate = true,
            "use-vc" | "usevc" => self.use_tcp = true,
            "no-aaaa" => self.no_ipv6 = true,
            "no-tld-query" => self.no_top_level = true,
            _ => {}
        }
    }
}

/// An address, of a link (`fe80::1%eth0`) too.
fn server(text: &str, port: u16) -> Option<SocketAddr> {
    if let Some((addr, interface)) = text.split_once('%') {
        let scope = interface.parse().ok().or_else(|| sys::interface_number(interface))?;
        return Some(SocketAddrV6::new(addr.parse::<Ipv6Addr>().ok()?, port, 0, scope).into());
    }
    Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, port))
}

fn absolute(domain: &str) -> Option<Name> {
    let mut name = Name::from_ascii(domain).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text.as_bytes(), 53, "box")
    }

    fn servers(text: &str) -> Vec<String> {
        parse(text).servers.iter().map(SocketAddr::to_string).collect()
    }

    fn search(conf: &ResolvConf) -> Vec<String> {
        conf.search.iter().map(Name::to_string).collect()
    }

    #[test]
    fn the_first_three_servers_count_in_their_order() {
        let cases: [(&str, &[&str]); 9] = [
            ("nameserver 10.0.0.3\nnameserver\t10.0.0.1\n", &["10.0.0.3:53", "10.0.0.1:53"]),
            ("nameserver 10.0.0.1 # ours\nnameserver 10.0.0.2;old\n", &["10.0.0.1:53", "10.0.0.2:53"]),
            ("nameserver fd00::1\r\nnameserver fe80::1%3\n", &["[fd00::1]:53", "[fe80::1%3]:53"]),
            (
                "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
                &["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"],
            ),
            ("nameserver nonsense\nnameserver 10.0.0.1", &["10.0.0.1:53"]),
            (" nameserver 10.0.0.1\n", &["127.0.0.1:53"]),
            ("", &["127.0.0.1:53"]),
            ("# nameserver 10.0.0.1\n;nameserver 10.0.0.1\n", &["127.0.0.1:53"]),
            ("nameserver\nnameserver \n", &["127.0.0.1:53"]),
        ];
        for (text, expected) in cases {
            assert_eq!(servers(text), expected, "{text:?}");
        }
        assert_eq!(ResolvConf::parse(b"# caf\xe9\nnameserver 10.0.0.1\n", 53, "").servers.len(), 1);
    }

    #[test]
    fn an_interface_is_known_by_its_name() {
        assert_eq!(servers("nameserver fe80::1%lo\n"), ["[fe80::1%1]:53"]);
        assert_eq!(servers("nameserver fe80::1%nowhere\n"), ["127.0.0.1:53"]);
    }

    #[test]
    fn the_last_word_on_the_search_list_counts() {
        let cases: [(&str, &[&str]); 6] = [
            ("search a.example b.example\n", &["a.example.", "b.example."]),
            ("domain a.example ignored\n", &["a.example."]),
            ("search a.example\ndomain b.example\n", &["b.example."]),
            ("domain b.example\nsearch a.example.\n", &["a.example."]),
            ("search .\n", &["."]),
            ("nameserver 10.0.0.1\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(search(&parse(text)), expected, "{text:?}");
        }
        let of_host = |text: &[u8]| search(&ResolvConf::parse(text, 53, "box.shop.example"));
        assert_eq!(of_host(b""), ["shop.example."]);
        assert_eq!(of_host(b"search a.example\n"), ["a.example."]);
    }

    #[test]
    fn options_are_held_to_what_glibc_takes() {
        let options = |text: &str| parse(&format!("options {text}\n")).options;
        assert_eq!(options("debug edns0 trust-ad ndots:x attempts:"), Options::default());
        let set = options("ndots:5 timeout:2 attempts:3 rotate use-vc no-aaaa no-tld-query");
        let expected = Options {
            ndots: 5,
            timeout: Duration::from_secs(2),
            attempts: 3,
            rotate: true,
            use_tcp: true,
            no_ipv6: true,
            no_top_level: true,
        };
        assert_eq!(set, expected);
        let most = options("ndots:99 timeout:99 attempts:99");
        assert_eq!((most.ndots, most.timeout, most.attempts), (15, Duration::from_secs(30), 5));
        let least = options("ndots:0 timeout:0 attempts:0");
        assert_eq!((least.ndots, least.timeout, least.attempts), (0, Duration::from_secs(1), 1));
        let twice = parse("options ndots:2\noptions attempts:1\n").options;
        assert_eq!((twice.ndots, twice.attempts), (2, 1));
    }
}
