//! Discovery: follows the names of a backend's servers to their addresses, for as long as it serves.
//!
//! [`run`] looks every name up at once and again for ever, and tells the [`Roster`] what it found. A name that
//! doesn't resolve never stops anything: where there was an answer it stays in place, where there never was one the
//! server is unresolved until there is. Names are looked up by [`Resolver`], which follows the system's
//! configuration.
//!
//! Left out on purpose: SRV records and other sources of servers.

mod pace;
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backend::{Address, Roster};

pub use resolver::{Answer, LookupError, Resolver};

/// Follows the names of one backend until `stop`; returns at once if it has none. To be run for each roster.
///
/// Must run within a tokio runtime with I/O and time; what it spawns ends with it.
pub async fn run(roster: Arc<Roster>, resolver: Resolver, stop: CancellationToken) {
    let look_up = move |host: String, before: Vec<IpAddr>| {
        let resolver = resolver.clone();
        async move { resolver.look_up(&host, &before).await }
    };
    run_with(&roster, &stop, look_up).await;
}

/// Looks every name of these backends up once, all at the same time, for at most `within`: before they first serve,
/// so that they do so with what there is. What takes longer is looked up again by [`run`].
pub async fn first_answers(
    rosters: impl Iterator<Item = &Arc<Roster>>,
    resolver: &Resolver,
    within: Duration,
) {
    let mut lookups = JoinSet::new();
    for roster in rosters {
        for name in names(roster) {
            let (roster, resolver) = (roster.clone(), resolver.clone());
            lookups.spawn(async move {
                let result = resolver.look_up(&name.host, &name.before(&roster)).await;
                name.tell(&roster, &result);
            });
        }
    }
    let _ = tokio::time::timeout(within, lookups.join_all()).await;
}

/// As [`run`], with the lookup to use: of a host, whose last answer is given.
async fn run_with<L, F>(roster: &Arc<Roster>, stop: &CancellationToken, look_up: L)
where
    L: Fn(String, Vec<IpAddr>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Answer, LookupError>> + Send + 'static,
{
    let mut names: JoinSet<()> =
        names(roster).map(|name| follow(name, roster.clone(), look_up.clone())).collect();
    if !names.is_empty() {
        stop.cancelled().await;
        names.shutdown().await;
    }
}

/// Looks one name up for ever.
async fn follow<L, F>(name: Name, roster: Arc<Roster>, look_up: L)
where
    L: Fn(String, Vec<IpAddr>) -> F,
    F: Future<Output = Result<Answer, LookupError>>,
{
    let mut failures = 0u32;
    loop {
        let result = look_up(name.host.clone(), name.before(&roster)).await;
        name.tell(&roster, &result);
        let (backend, server) = (&**roster.backend().name(), name.spec.as_str());
        let pause = match result {
            Ok(answer) => {
                if failures > 0 {
                    info!(backend, server, "name resolves again");
                }
                failures = 0;
                pace::after_answer(answer.ttl, fastrand::f64())
            }
            Err(error) => {
                if failures == 0 {
                    warn!(backend, server, reason = %error, "name doesn't resolve; its last addresses stay");
                }
                failures = failures.saturating_add(1);
                pace::after_failure(failures, fastrand::f64())
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// A server spec whose address is a name.
struct Name {
    spec: String,
    host: String,
    port: u16,
}

fn names(roster: &Roster) -> impl Iterator<Item = Name> {
    roster.backend().servers().iter().filter_map(|spec| match &spec.address {
        Address::Name { host, port } => {
            Some(Name { spec: spec.name.clone(), host: host.clone(), port: *port })
        }
        Address::Socket(_) | Address::Unix(_) => None,
    })
}

impl Name {
    /// The addresses it has by its last answer.
    fn before(&self, roster: &Roster) -> Vec<IpAddr> {
        roster.addresses(&self.spec).iter().map(SocketAddr::ip).collect()
    }

    fn tell(&self, roster: &Roster, result: &Result<Answer, LookupError>) {
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return roster.unresolved(&self.spec, &error.to_string()),
        };
        let addrs: Vec<_> = answer.addrs.iter().map(|addr| SocketAddr::new(*addr, self.port)).collect();
        let resolved = roster.resolved(&self.spec, &addrs);
        for server in &resolved.added {
            info!(backend = &**server.backend(), server = &**server.name(), "server found by its name");
        }
        for server in &resolved.gone {
            info!(
                backend = &**server.backend(),
                server = &**server.name(),
                "server drains: its address left its name"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::backend::{Backend, ServerState};

    /// What the next lookups answer, and when there were any.
    #[derive(Clone)]
    struct Dns {
        answer: Arc<Mutex<Result<Answer, LookupError>>>,
        asked: Arc<Mutex<Vec<Instant>>>,
    }

    impl Dns {
        fn new(answer: Result<Answer, LookupError>) -> Self {
            Self { answer: Arc::new(Mutex::new(answer)), asked: Arc::default() }
        }

        fn answers(&self, answer: Result<Answer, LookupError>) {
            *self.answer.lock().unwrap() = answer;
        }

        fn followed_by(&self, roster: &Arc<Roster>, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
            let (dns, roster, stop) = (self.clone(), roster.clone(), stop.clone());
            let look_up = move |_, _| {
                dns.asked.lock().unwrap().push(Instant::now());
                std::future::ready(dns.answer.lock().unwrap().clone())
            };
            tokio::spawn(async move { run_with(&roster, &stop, look_up).await })
        }
    }

    fn addrs(texts: &[&str], seconds: u64) -> Result<Answer, LookupError> {
        let addrs = texts.iter().map(|text| text.parse().unwrap()).collect();
        Ok(Answer { addrs, ttl: Duration::from_secs(seconds) })
    }

    fn roster() -> Arc<Roster> {
        Roster::new(&Backend::builder("shop").server("web:80").server("10.0.0.9:80").build().unwrap())
    }

    fn members(roster: &Roster) -> Vec<String> {
        roster.view().members().iter().map(|member| member.server.name().to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_followed_for_ever() {
        let (roster, stop) = (roster(), CancellationToken::new());
        let dns = Dns::new(addrs(&["10.0.0.1", "fd00::1"], 600));
        let running = dns.followed_by(&roster, &stop);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(members(&roster), ["web:80/10.0.0.1:80", "web:80/[fd00::1]:80", "10.0.0.9:80"]);
        dns.answers(addrs(&["10.0.0.2"], 600));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(members(&roster), ["web:80/10.0.0.2:80", "10.0.0.9:80"]);
        tokio::time::sleep(Duration::from_secs(95)).await;
        assert!((20..=26).contains(&dns.asked.lock().unwrap().len()));
        stop.cancel();
        running.await.unwrap();
        let asked = dns.asked.lock().unwrap().len();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(dns.asked.lock().unwrap().len(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_resolver_leaves_the_last_answer() {
        let (roster, stop) = (roster(), CancellationToken::new());
        let dns = Dns::new(Err(LookupError::NotFound));
        dns.followed_by(&roster, &stop);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(roster.status()[0].state, ServerState::Unresolved);
        assert!(roster.status()[0].unresolved.is_some());
        dns.answers(addrs(&["10.0.0.1"], 1));
        tokio::time::sleep(Duration::from_secs(5)).await;
        let found = ["web:80/10.0.0.1:80", "10.0.0.9:80"];
        assert_eq!(members(&roster), found);
        for error in [LookupError::NotFound, LookupError::Failed("timed out".into())] {
            dns.answers(Err(error));
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!(members(&roster), found);
        }
        assert_eq!(roster.status()[0].unresolved.as_deref(), Some("lookup failed: timed out"));
        dns.answers(addrs(&["10.0.0.1"], 1));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(roster.status()[0].unresolved, None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_names_there_is_nothing_to_follow() {
        let roster = Roster::new(&Backend::builder("shop").server("10.0.0.9:80").build().unwrap());
        let dns = Dns::new(Err(LookupError::NotFound));
        dns.followed_by(&roster, &CancellationToken::new()).await.unwrap();
        assert!(dns.asked.lock().unwrap().is_empty());
    }
}
