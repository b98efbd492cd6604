//! What both address families of one absolute name come to together.

use std::net::IpAddr;

use super::answer::{Answer, RouteTest};
use super::message::{Family, Reply};
use super::name_servers::Failure;

/// The replies for one absolute name, as far as they have come.
pub(super) struct Replies {
    name: String,
    /// The addresses that the name is known to have from before.
    kept: Vec<IpAddr>,
    has_route: RouteTest,
    pub(super) v4: Option<Result<Reply, Failure>>,
    pub(super) v6: Option<Result<Reply, Failure>>,
}

impl Replies {
    pub(super) fn new(name: String, kept: Vec<IpAddr>, has_route: RouteTest) -> Self {
        Self { name, kept, has_route, v4: None, v6: None }
    }

    pub(super) fn put(&mut self, family: Family, reply: Result<Reply, Failure>) {
        match family {
            Family::V4 => self.v4 = Some(reply),
            Family::V6 => self.v6 = Some(reply),
        }
    }

    /// Whether one family's reply will do without the other's: addresses that can be reached, or that there is no such
    /// name, which goes for all types (RFC 8020). The latter is believed of IPv4 only: there are servers that say so
    /// of a name that merely has no IPv6 address (RFC 4074 section 4.2).
    pub(super) fn is_enough(&self) -> bool {
        let can_be_reached = |reply: &Option<Result<Reply, Failure>>| match reply {
            Some(Ok(Reply::Addrs(addrs, _))) => addrs.iter().any(|addr| (self.has_route)(*addr)),
            _ => false,
        };
        matches!(self.v4, Some(Ok(Reply::NoName))) || can_be_reached(&self.v4) || can_be_reached(&self.v6)
    }

    /// The addresses; nothing if the name doesn't exist or has none. A family that failed, or of which nothing is known
    /// yet, keeps those that it had; one to which this machine has no way is left out beside one to which it has.
    pub(super) fn answer(&self) -> Result<Option<Answer>, Failure> {
        let replies = [(Family::V4, &self.v4), (Family::V6, &self.v6)];
        let ttl = replies.iter().filter_map(|(_, reply)| match reply {
            Some(Ok(Reply::Addrs(_, ttl))) => Some(*ttl),
            _ => None,
        });
        let Some(ttl) = ttl.min() else {
            let is_no_name = matches!(self.v4, Some(Ok(Reply::NoName)));
            let failure = replies.into_iter().find_map(|(_, reply)| reply.clone()?.err());
            return failure.filter(|_| !is_no_name).map_or(Ok(None), Err);
        };
        let addrs = replies.map(|(family, reply)| match reply {
            Some(Ok(Reply::Addrs(addrs, _))) => addrs.clone(),
            Some(Ok(Reply::NoAddrs | Reply::NoName)) => Vec::new(),
            Some(Err(_)) | None => {
                self.kept.iter().copied().filter(|addr| Family::of(*addr) == family).collect()
            }
        });
        Ok(Some(Answer {
            addrs: with_a_way(addrs, self.has_route),
            ttl,
            absolute_name: Some(self.name.clone()),
        }))
    }
}

/// Both families, or the one to which there is a way.
pub(super) fn with_a_way([v4, v6]: [Vec<IpAddr>; 2], has_route: RouteTest) -> Vec<IpAddr> {
    let has_way = |addrs: &[IpAddr]| addrs.iter().any(|addr| has_route(*addr));
    if v4.is_empty() || v6.is_empty() {
        return [v4, v6].concat();
    }
    match (has_way(&v4), has_way(&v6)) {
        (true, false) => v4,
        (false, true) => v6,
        _ => [v4, v6].concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn addrs(texts: &[&str], seconds: u64) -> Option<Result<Reply, Failure>> {
        Some(Ok(Reply::Addrs(parse(texts), Duration::from_secs(seconds))))
    }

    fn failed() -> Option<Result<Reply, Failure>> {
        Some(Err(Failure { is_silence: true, reason: String::from("timed out") }))
    }

    const NO_ADDRS: Option<Result<Reply, Failure>> = Some(Ok(Reply::NoAddrs));
    const NO_NAME: Option<Result<Reply, Failure>> = Some(Ok(Reply::NoName));

    fn replies(v4: Option<Result<Reply, Failure>>, v6: Option<Result<Reply, Failure>>) -> Replies {
        let kept = parse(&["10.0.0.9", "fd00::9"]);
        Replies { v4, v6, ..Replies::new(String::from("web."), kept, |_| true) }
    }

    #[test]
    fn families_that_are_not_known_keep_their_addresses() {
        let v4 = || addrs(&["10.0.0.1"], 60);
        let v6 = || addrs(&["fd00::1"], 7);
        let cases: [(_, _, Option<(&[&str], u64)>); 9] = [
            (v4(), v6(), Some((&["10.0.0.1", "fd00::1"], 7))),
            (v4(), NO_ADDRS, Some((&["10.0.0.1"], 60))),
            (v4(), NO_NAME, Some((&["10.0.0.1"], 60))),
            (v4(), failed(), Some((&["10.0.0.1", "fd00::9"], 60))),
            (v4(), None, Some((&["10.0.0.1", "fd00::9"], 60))),
            (failed(), v6(), Some((&["10.0.0.9", "fd00::1"], 7))),
            (None, v6(), Some((&["10.0.0.9", "fd00::1"], 7))),
            (NO_ADDRS, NO_ADDRS, None),
            (NO_NAME, failed(), None),
        ];
        for (v4, v6, expected) in cases {
            let case = format!("{v4:?}, {v6:?}");
            let answer = replies(v4, v6).answer().unwrap();
            let answer = answer.map(|answer| (answer.addrs, answer.ttl));
            let expected = expected.map(|(addrs, ttl)| (parse(addrs), Duration::from_secs(ttl)));
            assert_eq!(answer, expected, "{case}");
        }
        for (v4, v6) in
            [(failed(), failed()), (failed(), NO_ADDRS), (NO_ADDRS, failed()), (failed(), NO_NAME)]
        {
            let case = format!("{v4:?}, {v6:?}");
            assert!(replies(v4, v6).answer().is_err(), "{case}");
        }
    }

    #[test]
    fn one_reply_is_enough_if_the_other_can_change_little() {
        let cases = [
            (addrs(&["10.0.0.1"], 1), None, true),
            (None, addrs(&["fd00::1"], 1), true),
            (NO_NAME, None, true),
            (None, NO_NAME, false),
            (NO_ADDRS, None, false),
            (None, NO_ADDRS, false),
            (failed(), None, false),
        ];
        for (v4, v6, expected) in cases {
            let case = format!("{v4:?}, {v6:?}");
            assert_eq!(replies(v4, v6).is_enough(), expected, "{case}");
        }
        let unreachable =
            Replies { has_route: |addr| addr.is_ipv4(), ..replies(None, addrs(&["fd00::1"], 1)) };
        assert!(!unreachable.is_enough());
    }

    #[test]
    fn a_family_without_a_way_is_left_out_beside_one_with() {
        let tests: [(RouteTest, &[&str]); 4] = [
            (|_| true, &["10.0.0.1", "fd00::1"]),
            (|addr| addr.is_ipv4(), &["10.0.0.1"]),
            (|addr| addr.is_ipv6(), &["fd00::1"]),
            (|_| false, &["10.0.0.1", "fd00::1"]),
        ];
        for (has_route, expected) in tests {
            let both = Replies { has_route, ..replies(addrs(&["10.0.0.1"], 1), addrs(&["fd00::1"], 1)) };
            assert_eq!(both.answer().unwrap().unwrap().addrs, parse(expected));
        }
        let alone = Replies { has_route: |_| false, ..replies(addrs(&["10.0.0.1"], 1), NO_ADDRS) };
        assert_eq!(alone.answer().unwrap().unwrap().addrs, parse(&["10.0.0.1"]), "a network may yet come up");
    }
}
