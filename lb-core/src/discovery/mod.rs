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

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backend::{Address, Roster};

pub use resolver::{Answer, Found, Known, LookupError, Resolver, Rest};

/// Follows the names of one backend until `stop`; returns at once if it has none. To be run for each roster.
/// `first` is dropped as soon as each name has been looked up once, for who waits for that.
///
/// Must run within a tokio runtime with I/O and time; what it spawns ends with it.
pub async fn run(
    roster: Arc<Roster>,
    resolver: Resolver,
    stop: CancellationToken,
    first: impl Clone + Send + 'static,
) {
    let look_up = move |host: String, known: Known| {
        let resolver = resolver.clone();
        async move { resolver.look_up(&host, &known).await }
    };
    run_with(&roster, &stop, first, look_up).await;
}

/// As [`run`], with the lookup to use: of a host, of which something is known.
async fn run_with<W, L, F>(roster: &Arc<Roster>, stop: &CancellationToken, first: W, look_up: L)
where
    W: Clone + Send + 'static,
    L: Fn(String, Known) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Found, LookupError>> + Send + 'static,
{
    let mut names: JoinSet<()> =
        names(roster).map(|name| follow(name, roster.clone(), first.clone(), look_up.clone())).collect();
    drop(first);
    if !names.is_empty() {
        stop.cancelled().await;
        names.shutdown().await;
    }
}

/// Looks one name up for ever; `first` is dropped when that has been done once.
async fn follow<W, L, F>(name: Name, roster: Arc<Roster>, first: W, look_up: L)
where
    L: Fn(String, Known) -> F,
    F: Future<Output = Result<Found, LookupError>>,
{
    let mut failures = 0u32;
    let mut first = Some(first);
    loop {
        let result = look_up(name.host.clone(), name.known(&roster)).await;
        let (backend, server) = (&**roster.backend().name(), name.spec.as_str());
        match result {
            Ok(found) => {
                name.found(&roster, &found.answer);
                drop(first.take());
                if failures > 0 {
                    info!(backend, server, "name resolves again");
                }
                failures = 0;
                let next = Instant::now() + pace::after_answer(found.answer.ttl, fastrand::f64());
                // What is known already is asked for again in time, however long the rest takes.
                if let Some(rest) = found.rest
                    && let Ok(Some(answer)) = tokio::time::timeout(pace::LATEST, rest).await
                {
                    name.found(&roster, &answer);
                }
                tokio::time::sleep_until(next).await;
            }
            Err(error) => {
                roster.unresolved(server, &error.to_string());
                drop(first.take());
                if failures == 0 {
                    warn!(backend, server, reason = %error, "name doesn't resolve; its last addresses stay");
                }
                failures = failures.saturating_add(1);
                tokio::time::sleep(pace::after_failure(failures, fastrand::f64())).await;
            }
        }
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
    /// Its last answer.
    fn known(&self, roster: &Roster) -> Known {
        Known {
            addrs: roster.addresses(&self.spec).iter().map(SocketAddr::ip).collect(),
            absolute_name: roster.absolute_name(&self.spec),
        }
    }

    fn found(&self, roster: &Roster, answer: &Answer) {
        let addrs: Vec<_> = answer.addrs.iter().map(|addr| SocketAddr::new(*addr, self.port)).collect();
        let resolved = roster.resolved_as(&self.spec, answer.absolute_name.as_deref(), &addrs);
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
    use std::time::Duration;

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
                std::future::ready(dns.answer.lock().unwrap().clone().map(Found::from))
            };
            tokio::spawn(async move { run_with(&roster, &stop, (), look_up).await })
        }
    }

    fn addrs(texts: &[&str], seconds: u64) -> Result<Answer, LookupError> {
        let addrs = texts.iter().map(|text| text.parse().unwrap()).collect();
        Ok(Answer { addrs, ttl: Duration::from_secs(seconds), absolute_name: None })
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
    async fn who_waits_for_the_first_lookups_hears_when_all_are_done() {
        let backend = Backend::builder("shop").server("quick:80").server("slow:80").server("gone:80");
        let roster = Roster::new(&backend.build().unwrap());
        let look_up = |host: String, _| async move {
            if host == "slow" {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            if host == "gone" {
                Err(LookupError::NotFound)
            } else {
                addrs(&["10.0.0.1"], 60).map(Found::from)
            }
        };
        let (first, mut all_done) = tokio::sync::mpsc::channel::<()>(1);
        let (of, began) = (roster.clone(), Instant::now());
        tokio::spawn(async move { run_with(&of, &CancellationToken::new(), first, look_up).await });
        assert_eq!(all_done.recv().await, None);
        assert_eq!(began.elapsed().as_secs(), 3);
        assert_eq!(members(&roster), ["quick:80/10.0.0.1:80", "slow:80/10.0.0.1:80"]);
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

    /// Follows a name whose first family is there at once, and whose other one comes after `delay`, if ever.
    async fn found_in_two(delay: Duration) -> (Arc<Roster>, Arc<Mutex<Vec<Instant>>>) {
        let (roster, asked) = (roster(), Arc::<Mutex<Vec<_>>>::default());
        let (of, counted) = (roster.clone(), asked.clone());
        let look_up = move |_, _| {
            counted.lock().unwrap().push(Instant::now());
            let both = addrs(&["10.0.0.1", "fd00::1"], 60).unwrap();
            let rest: Rest = Box::pin(async move {
                tokio::time::sleep(delay).await;
                Some(both)
            });
            std::future::ready(addrs(&["10.0.0.1"], 60).map(|answer| Found { answer, rest: Some(rest) }))
        };
        tokio::spawn(async move { run_with(&of, &CancellationToken::new(), (), look_up).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        (roster, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_comes_later_joins_the_one_that_serves() {
        let (roster, _) = found_in_two(Duration::from_secs(2)).await;
        assert_eq!(members(&roster), ["web:80/10.0.0.1:80", "10.0.0.9:80"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(members(&roster), ["web:80/10.0.0.1:80", "web:80/[fd00::1]:80", "10.0.0.9:80"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_never_comes_stops_no_following() {
        let (_roster, asked) = found_in_two(Duration::from_secs(3600)).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = asked.lock().unwrap();
        let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            pauses.len() >= 11 && pauses.iter().all(|pause| *pause <= Duration::from_millis(5001)),
            "{pauses:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_told_to_the_next_lookup() {
        let (roster, told) = (roster(), Arc::<Mutex<Vec<Known>>>::default());
        let (of, by) = (roster.clone(), told.clone());
        let look_up = move |_, known| {
            by.lock().unwrap().push(known);
            let answer = addrs(&["10.0.0.1"], 1).unwrap();
            let answer = Answer { absolute_name: Some(String::from("web.lan.")), ..answer };
            std::future::ready(Ok(Found::from(answer)))
        };
        tokio::spawn(async move { run_with(&of, &CancellationToken::new(), (), look_up).await });
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = told.lock().unwrap();
        assert_eq!(told[0], Known::default());
        let known =
            Known { addrs: vec!["10.0.0.1".parse().unwrap()], absolute_name: Some("web.lan.".into()) };
        assert_eq!(told[1], known);
    }

    #[tokio::test(start_paused = true)]
    async fn without_names_there_is_nothing_to_follow() {
        let roster = Roster::new(&Backend::builder("shop").server("10.0.0.9:80").build().unwrap());
        let dns = Dns::new(Err(LookupError::NotFound));
        dns.followed_by(&roster, &CancellationToken::new()).await.unwrap();
        assert!(dns.asked.lock().unwrap().is_empty());
    }
}
