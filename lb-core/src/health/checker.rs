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
use crate::metrics::{CheckResult, Metrics, ServerShard};
use crate::upstream::Dialer;

use super::checks::{Checks, Share};
use super::pace::{Pace, Phases};
use super::probe::{ProbeError, probe};

/// Checks the servers of one backend until `stop`, ends ejections when their time is over, and logs flips. To be
/// run for each roster, with a health check or without; all of a proxy share `checks`.
///
/// Must run within a tokio runtime with I/O and time; what it spawns ends with it.
pub async fn run(roster: Arc<Roster>, metrics: Metrics, checks: Checks, stop: CancellationToken) {
    let backend = roster.backend().clone();
    run_with(roster, metrics, checks, stop, move |check, server| {
        let dialer = Dialer::new(&server, &backend, &[]);
        async move { probe(&check, &dialer).await }
    })
    .await;
}

/// As [`run`], with the probe to use.
async fn run_with<P, F>(
    roster: Arc<Roster>,
    metrics: Metrics,
    checks: Checks,
    stop: CancellationToken,
    probe: P,
) where
    P: Fn(Arc<HealthCheck>, Arc<Server>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<String, ProbeError>> + Send + 'static,
{
    let changed = Arc::new(Notify::new());
    let wake = changed.clone();
    roster.observe(log);
    roster.subscribe(move |_| wake.notify_one());
    let check = roster.backend().health().cloned().map(Arc::new);
    let mut probes = Probes::new(&checks);
    loop {
        roster.expire(Instant::now().into_std());
        if let Some(check) = &check {
            // After a reload nothing is urgent: the probes go on spread over the whole interval.
            let is_urgent = !roster.all_checked();
            probes.keep(&roster.to_check(), |server, place| {
                let soon = if is_urgent { checks.spread() } else { check.interval };
                let pace = Pace::new(Instant::now(), place, check.interval, soon);
                let checking = Checking {
                    counters: metrics.server(server.backend(), server.name()).shard(0),
                    roster: Arc::clone(&roster),
                    check: Arc::clone(check),
                    server,
                    checks: checks.clone(),
                };
                checking.run(pace, probe.clone())
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
struct Probes {
    tasks: JoinSet<()>,
    running: HashMap<Arc<str>, (Arc<Server>, AbortHandle)>,
    phases: Phases,
    share: Share,
}

impl Probes {
    fn new(checks: &Checks) -> Self {
        let (tasks, running) = (JoinSet::new(), HashMap::new());
        Self { tasks, running, phases: Phases::new(), share: checks.share() }
    }

    /// Starts what is missing, each at its place in the interval, and ends what isn't wanted any more.
    fn keep<F>(&mut self, wanted: &[Arc<Server>], start: impl Fn(Arc<Server>, f64) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.share.set(wanted.len());
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
                let task = self.tasks.spawn(start(server.clone(), self.phases.next()));
                (server.clone(), task)
            });
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

/// One server's probes.
struct Checking {
    roster: Arc<Roster>,
    counters: ServerShard,
    check: Arc<HealthCheck>,
    server: Arc<Server>,
    checks: Checks,
}

impl Checking {
    /// Probes for ever.
    async fn run<P, F>(self, mut pace: Pace, probe: P)
    where
        P: Fn(Arc<HealthCheck>, Arc<Server>) -> F,
        F: Future<Output = Result<String, ProbeError>>,
    {
        let mut next = pace.first();
        loop {
            tokio::time::sleep_until(next).await;
            let turn = self.checks.turn().await;
            let start = Instant::now();
            let result = probe(self.check.clone(), self.server.clone()).await;
            drop(turn);
            match result {
                Err(error) if error.is_ours() => self.warn_of_want(&error),
                result => self.tell(result, start.elapsed()),
            }
            next = pace.after(start);
        }
    }

    fn tell(&self, result: Result<String, ProbeError>, latency: Duration) {
        let passed = result.is_ok();
        self.counters.check(if passed { CheckResult::Passed } else { CheckResult::Failed });
        let detail = result.unwrap_or_else(|error| error.to_string());
        let outcome = CheckOutcome { passed, detail, at: SystemTime::now(), latency };
        self.roster.checked(&self.server, outcome);
    }

    /// That this machine could not ask is no verdict on the server.
    fn warn_of_want(&self, error: &ProbeError) {
        if !self.checks.may_warn(Instant::now()) {
            return;
        }
        let (backend, server) = (&**self.server.backend(), &**self.server.name());
        warn!(backend, server, %error, "this machine can't check the server; raise its limit on open files or its ports");
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
    use crate::backend::{Backend, Initial, Operator};

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
            tokio::spawn(run_with(roster.clone(), Metrics::new(1), Checks::default(), stop.clone(), probe))
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
            // The second comes at the server's place in the interval, which it keeps.
            assert!((995..=3005).contains(&(times[1] - times[0]).as_millis()), "{times:?}");
            for pair in times[1..].windows(2) {
                let gap = pair[1] - pair[0];
                assert!((1995..=2005).contains(&gap.as_millis()), "{gap:?}");
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
        let checker = tokio::spawn(run_with(roster, metrics.clone(), Checks::default(), stop.clone(), probe));
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

    /// A backend of so many servers.
    fn crowd(count: u16) -> Arc<Roster> {
        let servers = (1..=count).map(|port| format!("10.0.0.1:{port}"));
        Roster::new(&Backend::builder("shop").servers(servers).health(HealthCheck::tcp()).build().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_probes_of_many_servers_stay_spread_over_the_interval() {
        let (servers, roster, stop) = (Servers::default(), crowd(2000), CancellationToken::new());
        let begun = Instant::now();
        servers.checked_by(&roster, &stop);
        pass(20.0).await;
        let mut tenths = vec![0; 201];
        for (_, at) in servers.probed.lock().unwrap().iter() {
            tenths[usize::try_from((*at - begun).as_millis() / 100).unwrap()] += 1;
        }
        // A tenth of a second is a twentieth of the interval; the second round moves each to its place.
        let most = tenths.iter().max().unwrap();
        assert!(*most <= 220, "{tenths:?}");
        assert!(tenths[30..200].iter().all(|count| (80..=120).contains(count)), "{tenths:?}");
        assert!(roster.all_checked());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_probes_run_at_a_time_than_a_machine_can_bear() {
        let (running, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (roster, stop) = (crowd(2000), CancellationToken::new());
        let probe = {
            let (running, most) = (running.clone(), most.clone());
            move |_, _| {
                let (running, most) = (running.clone(), most.clone());
                async move {
                    let now = {
                        let mut running = running.lock().unwrap();
                        *running += 1;
                        *running
                    };
                    let so_far = *most.lock().unwrap();
                    *most.lock().unwrap() = so_far.max(now);
                    pass(1.0).await;
                    *running.lock().unwrap() -= 1;
                    Err(ProbeError::Timeout(Duration::from_secs(1)))
                }
            }
        };
        tokio::spawn(run_with(roster.clone(), Metrics::new(1), Checks::default(), stop, probe));
        pass(30.0).await;
        assert_eq!(*most.lock().unwrap(), 256);
        assert!(roster.all_checked(), "each has its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_machine_lacks_is_no_verdict() {
        let metrics = Metrics::new(1);
        let (roster, stop) = (roster(HealthCheck::tcp().initial(Initial::Up)), CancellationToken::new());
        let probe = |_, _| async { Err(ProbeError::Connect(rustix::io::Errno::MFILE.into())) };
        tokio::spawn(run_with(roster.clone(), metrics.clone(), Checks::default(), stop, probe));
        pass(60.0).await;
        assert_eq!(members(&roster), [A, B]);
        assert!(roster.status().iter().all(|status| status.last_check.is_none()));
        let text = metrics.encode().unwrap();
        assert!(!text.contains("result=\"failed\"} 1"), "{text}");
    }
}
