//! A name's addresses by DNS: which absolute names it may stand for, and both address families of the first that has any.
//!
//! Both come from the same name: a wildcard in an outer domain must not add IPv6 addresses to an IPv4 service of an
//! inner one. Neither waits long for the other: there are name servers that never answer for IPv6.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;

use super::answer::{Found, Known, LookupError, RouteTest};
use super::message::{Family, Question, Reply};
use super::name_servers::{Failure, NameServers, QuestionLimit};
use super::replies::Replies;
use super::resolv_conf::ResolvConf;

/// DNS as one `resolv.conf` says.
#[derive(Debug)]
pub(super) struct Dns {
    conf: ResolvConf,
    servers: NameServers,
    has_route: RouteTest,
}

/// One family that is being asked for.
type Asking = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// How long a family that has answered waits for the other one (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

impl Dns {
    pub(super) fn new(conf: ResolvConf, limit: Arc<QuestionLimit>, has_route: RouteTest) -> Self {
        Self { servers: NameServers::new(&conf, limit), conf, has_route }
    }

    /// The addresses of the first absolute name that has any. A name for which no server can say anything ends the
    /// search if they are silent, or if it is the one whose addresses are known: the same name in another
    /// domain is another service.
    pub(super) async fn look_up(self: &Arc<Self>, host: &Name, known: &Known) -> Result<Found, LookupError> {
        let mut error = LookupError::NotFound;
        for name in self.candidates(host) {
            let text = name.to_ascii();
            let is_known =
                known.absolute_name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(&text));
            let kept = if is_known { known.addrs.clone() } else { Vec::new() };
            match self.both_families(&name, Replies::new(text, kept, self.has_route)).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(failure) => {
                    error = LookupError::Failed(failure.reason);
                    if failure.is_silence || is_known {
                        break;
                    }
                }
            }
        }
        Err(error)
    }

    /// The absolute names to try, in the order of resolv.conf(5): as it is where it has `ndots` dots or more, else last.
    fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        if name.is_fqdn() {
            return vec![absolute];
        }
        let options = self.conf.options;
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let completed = self.conf.search.iter().filter_map(|domain| name.clone().append_domain(domain).ok());
        let mut names: Vec<_> = completed.collect();
        let is_tried = dots > 0 || !options.no_top_level;
        if is_tried && !names.contains(&absolute) {
            let place = if dots >= options.ndots { 0 } else { names.len() };
            names.insert(place, absolute);
        }
        names
    }

    /// Nothing if the name doesn't exist or has no address.
    async fn both_families(
        self: &Arc<Self>,
        name: &Name,
        mut replies: Replies,
    ) -> Result<Option<Found>, Failure> {
        let (mut v4, mut v6) = (self.family(name, Family::V4), self.family(name, Family::V6));
        let (mut other, other_family) = tokio::select! {
            biased;
            reply = &mut v4 => {
                replies.v4 = Some(reply);
                (v6, Family::V6)
            }
            reply = &mut v6 => {
                replies.v6 = Some(reply);
                (v4, Family::V4)
            }
        };
        if !replies.is_enough() {
            replies.put(other_family, other.await);
        } else if let Ok(reply) = tokio::time::timeout(RESOLUTION_DELAY, &mut other).await {
            replies.put(other_family, reply);
        } else if let Some(answer) = replies.answer()? {
            let rest = async move {
                replies.put(other_family, other.await);
                replies.answer().ok().flatten()
            };
            return Ok(Some(Found { answer, rest: Some(Box::pin(rest)) }));
        }
        Ok(replies.answer()?.map(Found::from))
    }

    fn family(self: &Arc<Self>, name: &Name, family: Family) -> Asking {
        let (dns, name) = (self.clone(), name.clone());
        Box::pin(async move {
            if family == Family::V6 && dns.conf.options.no_ipv6 {
                return Ok(Reply::NoAddrs);
            }
            let unusable = |error: hickory_proto::ProtoError| Failure {
                is_silence: false,
                reason: format!("{name} is no name to ask for: {error}"),
            };
            let question = Question::new(name.clone(), family).map_err(unusable)?;
            dns.servers.ask(&question).await
        })
    }
}
