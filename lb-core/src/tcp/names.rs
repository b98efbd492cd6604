//! Which backend takes a connection, by what its ClientHello asks for.

use std::collections::HashMap;

/// A route of a frontend in mode `tcp`: what the ClientHello must ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: Option<NamePattern>,
    pub(crate) protocol: Option<Box<[u8]>>,
}

/// A name that a route asks for; in lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamePattern {
    Exact(Box<str>),
    /// `*.example`, held as `example`: one label or more stand before it.
    Under(Box<str>),
}

/// The routes of a frontend. Immutable; finding one costs a look for each label of the name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, Vec<Candidate>>,
    under: HashMap<Box<str>, Vec<Candidate>>,
    any: Vec<Candidate>,
}

/// Of those for one name the ones with a protocol come first.
#[derive(Debug)]
struct Candidate {
    protocol: Option<Box<[u8]>>,
    place: usize,
}

impl NamePattern {
    /// `None` where `text` is neither a host name nor one behind `*.`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_label_byte);
        if name.len() > LONGEST_NAME || !name.split('.').all(is_label) {
            return None;
        }
        Some(if name.len() < lower.len() { Self::Under(name.into()) } else { Self::Exact(name.into()) })
    }
}

/// RFC 1035 section 3.1, as text.
const LONGEST_NAME: usize = 253;

impl Names {
    /// Files routes with their places; of equal ones the first counts.
    pub(crate) fn new(routes: impl IntoIterator<Item = (Wanted, usize)>) -> Self {
        let mut names = Self::default();
        for (Wanted { name, protocol }, place) in routes {
            let list = match name {
                Some(NamePattern::Exact(name)) => names.exact.entry(name).or_default(),
                Some(NamePattern::Under(name)) => names.under.entry(name).or_default(),
                None => &mut names.any,
            };
            list.push(Candidate { protocol, place });
        }
        let lists = names.exact.values_mut().chain(names.under.values_mut()).chain([&mut names.any]);
        // Stable: among equals the order of the file.
        lists.for_each(|list| list.sort_by_key(|candidate| candidate.protocol.is_none()));
        names
    }

    /// Whether a ClientHello has to be read at all.
    pub(crate) fn ask_for_hello(&self) -> bool {
        !self.exact.is_empty()
            || !self.under.is_empty()
            || self.any.iter().any(|candidate| candidate.protocol.is_some())
    }

    /// The place of the route for who asks for `name` (in lower case) and offers `protocols`: by the exact name, by
    /// the longest name behind `*.`, then by no name; of those the first whose protocol is offered, or that asks for
    /// none.
    pub(crate) fn find(&self, name: Option<&str>, protocols: &[&[u8]]) -> Option<usize> {
        let takes = |candidate: &&Candidate| {
            candidate.protocol.as_deref().is_none_or(|protocol| protocols.contains(&protocol))
        };
        let first = |list: &Vec<Candidate>| list.iter().find(takes).map(|candidate| candidate.place);
        let by_exact = || first(self.exact.get(name?)?);
        let by_suffix = || {
            let name = name?;
            let suffixes = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
            suffixes.filter_map(|suffix| self.under.get(suffix)).find_map(first)
        };
        by_exact().or_else(by_suffix).or_else(|| first(&self.any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, protocol: &str) -> Wanted {
        let name = (!name.is_empty()).then(|| NamePattern::parse(name).unwrap());
        let protocol = (!protocol.is_empty()).then(|| protocol.as_bytes().into());
        Wanted { name, protocol }
    }

    #[test]
    fn the_most_specific_route_takes_a_connection() {
        let names = Names::new([
            (wanted("*.example", ""), 0),
            (wanted("Shop.Example.", ""), 1),
            (wanted("shop.example", "h2"), 2),
            (wanted("*.shop.example", ""), 3),
            (wanted("", "acme-tls/1"), 4),
            (wanted("only.h2", "h2"), 5),
        ]);
        assert!(names.ask_for_hello());
        for (name, protocols, expected) in [
            (Some("shop.example"), &[][..], Some(1)),
            (Some("shop.example"), &[&b"http/1.1"[..], b"h2"], Some(2)),
            (Some("a.example"), &[b"h2"], Some(0)),
            (Some("a.b.shop.example"), &[], Some(3)),
            (Some("example"), &[], None),
            (Some("example"), &[b"acme-tls/1"], Some(4)),
            (Some("only.h2"), &[b"http/1.1"], None),
            (Some("notshop.example"), &[], Some(0)),
            (None, &[b"acme-tls/1"], Some(4)),
            (None, &[], None),
        ] {
            assert_eq!(names.find(name, protocols), expected, "{name:?} {protocols:?}");
        }
        let one = Names::new([(Wanted::default(), 7)]);
        assert!(!one.ask_for_hello());
        assert_eq!(one.find(None, &[]), Some(7));
    }

    #[test]
    fn what_is_no_name_is_no_pattern() {
        for text in ["", "*", "*.", "a..b", "*.*.b", "a.*", "a b", "a:443", &"a".repeat(254)] {
            assert_eq!(NamePattern::parse(text), None, "{text}");
        }
    }
}
