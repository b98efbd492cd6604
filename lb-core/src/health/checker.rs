//! The checker of one backend: a task for each server, kept in step with the roster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backend::{CheckOutcome, Flip, FlipKind, HealthCheck, Roster, Server};
use crate::metrics::{CheckResult, Metrics};
use crate::upstream::Dialer;

use super::probe::{ProbeError, probe};

/// Checks the servers of one backend until `stop`, ends ejections when their time is over, and logs flips. To be
/// run for each roster, with a health check or without.
///
/// Must run within a tokio runtime with I/O and time; what it spawns ends with it.
pub async fn run(roster: Arc<Roster>, metrics: Metrics, stop: CancellationToken) {
    let backend = roster.backend().clone();
    run_with(roster, metrics, stop, move |check, server| {
        let dialer = Dialer::new(&server, &backend, &[]);
        async move { probe(&check, &dialer).await }
    })
    .await;
}

/// New servers get their first probe spread over this: soon, for the proxy isn't ready before, and not all at once.
const FIRST_PROBES: Duration = Duration::from_millis(200);

/// As [`run`], with the probe to use.
async fn run_with<P, F>(roster: Arc<Roster>, metrics: Metrics, stop: CancellationToken, probe: P)
where
    P: Fn(Arc<HealthCheck>, Arc<Server>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<String, ProbeError>> + Send + 'static,
{
    let changed = Arc::new(Notify::new());
    let wake = changed.clone();
    roster.observe(log);
    roster.subscribe(move |_| wake.notify_one());
    let check = roster.backend().health().cloned().map(Arc::new);
    let mut probes = Probes::default();
    loop {
        roster.expire(Instant::now().into_std());
        if let Some(check) = &check {
            probes.keep(&roster.to_check(), |server| {
                check_one(roster.clone(), metrics.clone(), check.clone(), server, probe.clone())
            });
        }
        let expiry = roster.next_expiry();
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
            () = tokio::time::sleep_until(expiry.map_or_else(Instant::now, Instant::from_std)), if expiry.is_some() => {}
        }
    }
}

/// The tasks, by the name of the server they check; aborted when dropped.
#[derive(Default)]
struct Probes {
    tasks: JoinSet<()>,
    running: HashMap<Arc<str>, (Arc<Server>, AbortHandle)>,
}

impl Probes {
    /// Starts what is missing and ends what isn't wanted any more.
    fn keep<F>(&mut self, wanted: &[Arc<Server>], start: impl Fn(Arc<Server>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let by_name: HashMap<_, _> = wanted.iter().map(|server| (server.name(), server)).collect();
        self.running.retain(|name, (server, task)| {
            // A server that drained and came back is another one of the same name.
            let stays = by_name.get(name).is_some_and(|wanted| Arc::ptr_eq(wanted, server));
            if !stays {
                task.abort();
            }
            stays
        });
        for server in wanted {
            self.running.entry(server.name().clone()).or_insert_with(|| {
                let task = self.tasks.spawn(start(server.clone()));
                (server.clone(), task)
            });
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

/// Probes one server for ever.
async fn check_one<P, F>(
    roster: Arc<Roster>,
    metrics: Metrics,
    check: Arc<HealthCheck>,
    server: Arc<Server>,
    probe: P,
) where
    P: Fn(Arc<HealthCheck>, Arc<Server>) -> F,
    F: Future<Output = Result<String, ProbeError>>,
{
    let counters = metrics.server(server.backend(), server.name()).shard(0);
    // After a reload nothing is urgent: the probes go on spread over the whole interval.
    let spread = if roster.all_checked() { check.interval } else { check.interval.min(FIRST_PROBES) };
    let mut next = Instant::now() + spread.mul_f64(fastrand::f64());
    loop {
        tokio::time::sleep_until(next).await;
        let start = Instant::now();
        let result = probe(check.clone(), server.clone()).await;
        counters.check(if result.is_ok() { CheckResult::Passed } else { CheckResult::Failed });
        let passed = result.is_ok();
        let detail = result.unwrap_or_else(|error| error.to_string());
        roster.checked(
            &server,
            CheckOutcome { passed, detail, at: SystemTime::now(), latency: start.elapsed() },
        );
        // A tenth more or less, so that the probes of many proxies and servers don't march in step.
        next = start + check.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
    }
}

fn log(flip: &Flip) {
    let (backend, server, reason) = (&**flip.server.backend(), &**flip.server.name(), flip.reason.as_str());
    match flip.kind {
        FlipKind::Up => info!(backend, server, reason, "server is up"),
        FlipKind::Down => warn!(backend, server, reason, "server is down"),
        FlipKind::Ejected(time) => warn!(backend, server, reason, ?time, "server is ejected"),
        FlipKind::Trial => info!(backend, server, reason, "server is on trial"),
        FlipKind::Returned => info!(backend, server, reason, "server is back"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::backend::{Backend, Operator};

    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    /// Which servers are broken, and who was probed when.
    #[derive(Clone, Default)]
    struct Servers {
        broken: Arc<Mutex<Vec<&'static str>>>,
        probed: Arc<Mutex<Vec<(String, Instant)>>>,
    }

    impl Servers {
        /// A checker of these servers under a paused clock.
        fn checked_by(&self, roster: &Arc<Roster>, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
            let servers = self.clone();
            let probe = move |_: Arc<HealthCheck>, server: Arc<Server>| {
                let servers = servers.clone();
                async move {
                    servers.probed.lock().unwrap().push((server.name().to_string(), Instant::now()));
                    let is_broken = servers.broken.lock().unwrap().contains(&&**server.name());
                    if is_broken { Err(ProbeError::Status(503)) } else { Ok(String::from("status 200")) }
                }
            };
            tokio::spawn(run_with(roster.clone(), Metrics::new(1), stop.clone(), probe))
        }

        fn times(&self, name: &str) -> Vec<Instant> {
            let probed = self.probed.lock().unwrap();
            probed.iter().filter(|(probed, _)| probed == name).map(|(_, at)| *at).collect()
        }
    }

    fn roster(check: HealthCheck) -> Arc<Roster> {
        Roster::new(&Backend::builder("shop").server(A).server(B).health(check).build().unwrap())
    }

    fn members(roster: &Roster) -> Vec<String> {
        roster.view().members().iter().map(|member| member.server.name().to_string()).collect()
    }

    async fn pass(seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn servers_are_probed_soon_and_then_every_interval() {
        let (servers, roster, stop) =
            (Servers::default(), roster(HealthCheck::tcp()), CancellationToken::new());
        servers.checked_by(&roster, &stop);
        pass(0.2).await;
        assert!(roster.all_checked(), "all have a result within the first moment");
        pass(20.0).await;
        for name in [A, B] {
            let times = servers.times(name);
            assert!((9..=12).contains(&times.len()), "{}", times.len());
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                assert!((1795..=2205).contains(&gap.as_millis()), "{gap:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_goes_down_after_fall_and_comes_back_after_rise() {
        let (servers, roster, stop) =
            (Servers::default(), roster(HealthCheck::tcp()), CancellationToken::new());
        servers.checked_by(&roster, &stop);
        pass(1.0).await;
        assert_eq!(members(&roster), [A, B]);
        let before = servers.times(A).len();
        servers.broken.lock().unwrap().push(A);
        while members(&roster).len() == 2 {
            pass(0.1).await;
        }
        assert_eq!(servers.times(A).len() - before, 3);
        assert_eq!(roster.status()[0].last_check.as_ref().unwrap().detail, "status 503 is not expected");
        servers.broken.lock().unwrap().clear();
        let before = servers.times(A).len();
        while members(&roster).len() == 1 {
            pass(0.1).await;
        }
        assert_eq!(servers.times(A).len() - before, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn probes_follow_the_roster_and_end_with_the_checker() {
        let (servers, roster, stop) =
            (Servers::default(), roster(HealthCheck::tcp()), CancellationToken::new());
        let checker = servers.checked_by(&roster, &stop);
        pass(1.0).await;
        roster.set_state(A, Operator::Maintenance);
        pass(0.001).await;
        let before = servers.times(A).len();
        pass(20.0).await;
        assert_eq!(servers.times(A).len(), before, "a server in maintenance is left alone");
        roster.set_state(A, Operator::Ready);
        pass(5.0).await;
        assert!(servers.times(A).len() > before);
        stop.cancel();
        checker.await.unwrap();
        let before = servers.probed.lock().unwrap().len();
        pass(20.0).await;
        assert_eq!(servers.probed.lock().unwrap().len(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn ejections_end_when_their_time_is_over() {
        let backend = Backend::builder("shop").server(A).server(B).build().unwrap();
        let (servers, roster, stop) = (Servers::default(), Roster::new(&backend), CancellationToken::new());
        servers.checked_by(&roster, &stop);
        pass(1.0).await;
        let ejected = roster.view().members()[0].server.clone();
        (0..3).for_each(|_| roster.connect_failed(&ejected, Instant::now().into_std()));
        pass(0.99).await;
        assert_eq!(members(&roster), [B]);
        pass(0.02).await;
        assert_eq!(members(&roster), [A, B]);
        assert!(servers.probed.lock().unwrap().is_empty(), "without a check nothing is probed");
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_counted() {
        let metrics = Metrics::new(1);
        let (roster, stop) = (roster(HealthCheck::tcp()), CancellationToken::new());
        let probe = |_, server: Arc<Server>| async move {
            if &**server.name() == A { Ok(String::new()) } else { Err(ProbeError::Status(500)) }
        };
        let checker = tokio::spawn(run_with(roster, metrics.clone(), stop.clone(), probe));
        pass(1.0).await;
        let text = metrics.encode().unwrap();
        for (server, result) in [(A, "passed"), (B, "failed")] {
            let line = format!(
                "lb_server_checks_total{{backend=\"shop\",server=\"{server}\",result=\"{result}\"}} 1"
            );
            assert!(text.contains(&line), "{line} in {text}");
        }
        stop.cancel();
        checker.await.unwrap();
    }
}
