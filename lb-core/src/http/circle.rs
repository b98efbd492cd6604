//! Requests that go round in a circle of proxies: a server that is lb again, or a proxy that sends back to it. Each round
//! holds two more connections, so that one such request would take them all.
//!
//! Rounds are counted by the field that content delivery networks have for this (CDN-Loop, RFC 8586), since servers that
//! see `Via` answer differently (nginx doesn't compress). A request that shows no proxy in front has not passed lb before:
//! it is not marked and costs nothing.

use super::head::{Field, Known, RequestHead};

/// How often a request may have passed lb, this process or another. A chain of five is long.
const MOST_MARKS: usize = 16;

/// What lb is called in the field.
pub(crate) const NAME: &str = "lb";

/// Whether the request has passed lb more often than on any way to a server.
pub(crate) fn goes_round(head: &RequestHead, bytes: &[u8]) -> bool {
    let marked = head.fields.iter().filter(|field| field.known == Known::CdnLoop);
    marked.map(|field| marks(&bytes[field.value])).sum::<usize>() >= MOST_MARKS
}

/// Whether a proxy has had the request before, so that it is to be marked.
pub(crate) fn has_passed_proxy(fields: &[Field]) -> bool {
    let shows_proxy =
        |known| matches!(known, Known::CdnLoop | Known::Forwarded | Known::Via | Known::XForwardedFor);
    fields.iter().any(|field| shows_proxy(field.known))
}

/// How often lb is among the members, each a name with parameters (RFC 8586 section 2).
fn marks(value: &[u8]) -> usize {
    let is_ours = |member: &&[u8]| {
        let name = member.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii);
        name.is_some_and(|name| name.eq_ignore_ascii_case(NAME.as_bytes()))
    };
    value.split(|byte| *byte == b',').filter(is_ours).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_members_of_our_name() {
        for (value, expected) in [
            ("", 0),
            ("cloudflare", 0),
            ("lb", 1),
            ("lb, LB;a=b ,lb ; c", 3),
            ("lbs, a.lb, lb.example", 0),
            ("fastly; lb, lb", 1),
        ] {
            assert_eq!(marks(value.as_bytes()), expected, "{value}");
        }
    }
}
