//! A running proxy and the configuration it follows.
//!
//! A reload is all or nothing: read, check, build, bind, swap. Whatever fails, what runs goes on, and the reason is
//! in the log, on the status page and in `lb_config_reloads_total`. One reload runs at a time; signals, `POST
//! /api/reload` and changes of the files all come through here.
//!
//! A text does not become right by being tried again. What it names may: a certificate that comes a second later, a port
//! that another process gives up. Such a refusal is tried again by and by, and told again when it is another one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Mutex, watch};
use tokio::time::{Duration, Instant};

use super::watch::blocking;
use super::{Diagnostics, Loaded, LogSettings, Summary, Watch, load};
use crate::proxy::status::{ConfigStatus, ReloadStatus};
use crate::proxy::{BindError, BuildError, Handle, ProxyBuilder};

/// Reloads a proxy's configuration. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    following: Arc<Following>,
    state: Arc<Mutex<State>>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] Diagnostics),
    /// What `finish` added can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A new address can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// What stays the same from reload to reload.
struct Following {
    path: PathBuf,
    handle: Handle,
    env: Box<Environment>,
    finish: Box<Finish>,
    attempt: watch::Sender<Attempt>,
}

type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;
type Finish = dyn Fn(ProxyBuilder, LogSettings) -> (ProxyBuilder, Box<Running>) + Send + Sync;
type Running = dyn FnOnce() + Send;

#[derive(Debug)]
struct State {
    /// What the proxy runs.
    running: Summary,
    /// Why the last attempt was refused, if it was.
    refusal: Option<String>,
}

/// What was tried last.
#[derive(Clone, Debug)]
struct Attempt {
    /// The hash of it.
    hash: String,
    /// When it is to be tried again, if it may pass then.
    again: Option<Instant>,
}

/// After so long a refusal that may pass is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A large configuration is tried less often: after so many times as long as trying it took, if that is longer.
const RETRY_AFTER_ATTEMPTS: u32 = 20;

/// How many changes of one reload are logged one by one; those beyond are counted.
const LOGGED: usize = 50;

impl Reloader {
    /// For the proxy behind `handle`, which runs what `running` says, loaded from `path`.
    ///
    /// `env` is as for [`load`]. `finish` adds what a file can't say, an access log above all, to each new builder,
    /// and learns what should be logged. What it returns beside the builder is called once that runs, and never where
    /// the reload is refused: the place to change what the whole process does.
    ///
    /// The status page names the configuration from now on, and `POST /api/reload` reloads it.
    pub fn new<R: FnOnce() + Send + 'static>(
        handle: Handle,
        path: impl Into<PathBuf>,
        running: Summary,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        finish: impl Fn(ProxyBuilder, LogSettings) -> (ProxyBuilder, R) + Send + Sync + 'static,
    ) -> Self {
        let attempt = watch::Sender::new(Attempt { hash: running.hash().to_owned(), again: None });
        let finish = move |builder, log| {
            let (builder, runs) = finish(builder, log);
            (builder, Box::new(runs) as Box<Running>)
        };
        let following =
            Following { path: path.into(), handle, env: Box::new(env), finish: Box::new(finish), attempt };
        following.show(&running, None);
        let state = State { running, refusal: None };
        let reloader = Self { following: Arc::new(following), state: Arc::new(Mutex::new(state)) };
        reloader.answer_admin();
        reloader
    }

    /// Loads the configuration again and makes it what the proxy runs: what changed, a line each; empty: nothing.
    ///
    /// Must be called on the runtime that [`Proxy::run`](crate::proxy::Proxy::run) runs on.
    ///
    /// # Errors
    /// When the new configuration can't run; the one from before goes on.
    pub async fn reload(&self) -> Result<Vec<String>, ReloadError> {
        let mut state = self.state.lock().await;
        let result = self.attempt(&mut state).await;
        self.tell(&mut state, &result);
        result
    }

    /// Reloads whenever the files change, for as long as it is awaited, and where a refusal may have passed. What comes
    /// of it is logged.
    pub async fn watch(&self) {
        let mut attempts = self.following.attempt.subscribe();
        let mut watch = Watch::new(&self.following.path, attempts.borrow().hash.clone());
        loop {
            // Others reload too: what is known is what was tried last, whoever did.
            let Attempt { hash, again } = attempts.borrow_and_update().clone();
            watch.follow(Vec::new(), hash);
            tokio::select! {
                () = watch.changed() => {
                    // A signal may have been faster, or be at it.
                    drop(self.state.lock().await);
                    if self.following.attempt.borrow().hash != watch.hash() {
                        // Logged, counted and shown already.
                        let _ = self.reload().await;
                    }
                }
                _ = attempts.changed() => {}
                () = due(again) => self.try_again().await,
            }
        }
    }

    /// Tries what was refused once more, and tells what came of it if that is another thing.
    async fn try_again(&self) {
        let mut state = self.state.lock().await;
        let again = self.following.attempt.borrow().again;
        // A signal may have been faster.
        if again.is_none_or(|again| again > Instant::now()) {
            return;
        }
        let result = self.attempt(&mut state).await;
        let refusal = result.as_ref().err().map(ToString::to_string);
        if refusal.is_none() || refusal != state.refusal {
            self.tell(&mut state, &result);
        }
    }

    async fn attempt(&self, state: &mut State) -> Result<Vec<String>, ReloadError> {
        let started = Instant::now();
        let (hash, result) = self.apply(state).await;
        let may_pass = result.as_ref().is_err_and(ReloadError::may_pass);
        let again =
            may_pass.then(|| Instant::now() + RETRY_AFTER.max(started.elapsed() * RETRY_AFTER_ATTEMPTS));
        self.following.attempt.send_replace(Attempt { hash, again });
        result
    }

    /// Logs, counts and shows what came of a reload.
    fn tell(&self, state: &mut State, result: &Result<Vec<String>, ReloadError>) {
        let following = &self.following;
        let now = SystemTime::now();
        match result {
            Ok(changes) => {
                log_changes(changes);
                following.handle.metrics().reload_succeeded(now);
            }
            Err(error) => {
                log_error(error);
                following.handle.metrics().reload_failed();
            }
        }
        let shown = result.as_ref().map(|changes| sentence(changes)).map_err(ToString::to_string);
        state.refusal = shown.as_ref().err().cloned();
        following.show(&state.running, Some(ReloadStatus { at: now, result: shown }));
    }

    /// The hash of what was read, and what came of it.
    async fn apply(&self, state: &mut State) -> (String, Result<Vec<String>, ReloadError>) {
        let following = Arc::clone(&self.following);
        // Ten thousand routes are some tens of milliseconds, and names to listen on are looked up.
        match blocking(move || load(&following.path, &following.env)).await {
            Ok(loaded) => (loaded.summary.hash().to_owned(), self.run(loaded, state).await),
            Err(problems) => (problems.hash().to_owned(), Err(problems.into())),
        }
    }

    async fn run(&self, loaded: Loaded, state: &mut State) -> Result<Vec<String>, ReloadError> {
        let Loaded { builder, log, summary, warnings, .. } = loaded;
        if summary.hash() != state.running.hash() {
            let (builder, runs) = (self.following.finish)(builder, log);
            self.following.handle.apply(builder.snapshot()?).await?;
            runs();
        }
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        let (old, new) = (state.running.clone(), summary.clone());
        let changes = blocking(move || new.changes_since(&old)).await;
        if summary.workers_differ(&state.running) {
            tracing::warn!("the number of workers changes only when the proxy is started again");
        }
        state.running = summary;
        Ok(changes)
    }

    fn answer_admin(&self) {
        // The proxy holds this answer, and it the proxy's handle: weakly one way, or neither ends.
        let (following, state) = (Arc::downgrade(&self.following), Arc::clone(&self.state));
        self.following.handle.on_reload(move || {
            let reloader = following.upgrade().map(|following| Self { following, state: Arc::clone(&state) });
            async move {
                let reloader =
                    reloader.ok_or_else(|| "the configuration is not followed any more".to_owned())?;
                let changes = reloader.reload().await.map_err(|error| error.to_string())?;
                Ok(sentence(&changes))
            }
        });
    }
}

impl ReloadError {
    /// Whether a cause lies outside the configuration's text, and may pass without it changing.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Config(problems) => problems.may_pass(),
            Self::Bind(_) => true,
            Self::Build(_) => false,
        }
    }
}

/// Waits until then; for ever, if that is never.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Following {
    fn show(&self, running: &Summary, last_reload: Option<ReloadStatus>) {
        let (file, hash) = (self.path.clone(), running.hash().to_owned());
        self.handle.set_config(ConfigStatus { file, hash, last_reload });
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("path", &self.following.path).finish_non_exhaustive()
    }
}

fn sentence(changes: &[String]) -> String {
    if changes.is_empty() { "nothing changed".to_owned() } else { changes.join("\n") }
}

fn log_changes(changes: &[String]) {
    if changes.is_empty() {
        tracing::info!("configuration reloaded, nothing changed");
    }
    for change in changes.iter().take(LOGGED) {
        tracing::info!(%change, "configuration reloaded");
    }
    if let Some(more) = changes.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        tracing::info!(more, "configuration reloaded, with more changes");
    }
}

fn log_error(error: &ReloadError) {
    const REFUSED: &str = "configuration refused, the one from before goes on";
    match error {
        ReloadError::Config(diagnostics) => {
            for problem in diagnostics.iter() {
                tracing::error!(%problem, "{REFUSED}");
            }
        }
        ReloadError::Build(_) | ReloadError::Bind(_) => tracing::error!(problem = %error, "{REFUSED}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::proxy::{Proxy, Workers};

    const FAR: Duration = Duration::from_secs(20);

    struct Running {
        dir: tempfile::TempDir,
        proxy: Proxy,
        reloader: Reloader,
        /// How many new builders run.
        runs: Arc<AtomicUsize>,
    }

    fn text(servers: &str, extra: &str) -> String {
        format!(
            "[frontend.web]\nlisten = \"127.0.0.1:0\"\nbackend = \"shop\"\n[backend.shop]\nservers = [{servers}]\n{extra}"
        )
    }

    fn write(path: &Path, text: &str) {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    async fn run(text: &str) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.toml");
        fs::write(&path, text).unwrap();
        let loaded = load(&path, |_| None).unwrap();
        let runs = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&runs);
        let finish = move |builder: ProxyBuilder, _| {
            let counted = Arc::clone(&counted);
            let runs = move || {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            (builder.workers(Workers::Runtime), runs)
        };
        let proxy = finish(loaded.builder, loaded.log).0.build().unwrap();
        proxy.start().await.unwrap();
        let reloader = Reloader::new(proxy.handle(), &path, loaded.summary, |_| None, finish);
        Running { dir, proxy, reloader, runs }
    }

    impl Running {
        fn path(&self) -> PathBuf {
            self.dir.path().join("lb.toml")
        }

        fn servers(&self) -> Vec<String> {
            let status = self.proxy.handle().status();
            status
                .backends
                .iter()
                .flat_map(|backend| &backend.servers)
                .map(|s| s.server.name.to_string())
                .collect()
        }

        fn last(&self) -> Option<Result<String, String>> {
            self.proxy.handle().status().config.unwrap().last_reload.map(|reload| reload.result)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reload_says_what_changed_and_applies_it() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        assert_eq!((running.last(), running.servers()), (None, vec!["127.0.0.1:1".to_owned()]));
        let hash = running.proxy.handle().status().config.unwrap().hash;

        assert_eq!(running.reloader.reload().await.unwrap(), [""; 0]);
        assert_eq!(running.last(), Some(Ok("nothing changed".to_owned())));

        write(&running.path(), &text("\"127.0.0.1:1\", \"127.0.0.1:2\"", ""));
        assert_eq!(running.reloader.reload().await.unwrap(), ["backend shop: server 127.0.0.1:2 added"]);
        assert_eq!(running.servers(), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_ne!(running.proxy.handle().status().config.unwrap().hash, hash);
        assert_eq!(running.runs.load(Ordering::Relaxed), 1, "the one that changed something");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_changes_nothing() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        let before = running.proxy.handle().status();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere =
            format!("[frontend.more]\nlisten = \"{}\"\nbackend = \"shop\"\n", taken.local_addr().unwrap());
        for wrong in
            ["", "[frontend", &text("\"127.0.0.1:2\"", "retries = -1"), &text("\"127.0.0.1:2\"", &elsewhere)]
        {
            write(&running.path(), wrong);
            let error = running.reloader.reload().await.unwrap_err().to_string();
            assert_eq!(running.last(), Some(Err(error)), "{wrong}");
            let now = running.proxy.handle().status();
            assert_eq!((&now.backends, &now.frontends), (&before.backends, &before.frontends), "{wrong}");
        }
        let metrics = running.proxy.handle().encode_metrics().unwrap();
        assert!(metrics.contains("lb_config_reloads_total{result=\"error\"} 4"), "{metrics}");
        assert_eq!(running.runs.load(Ordering::Relaxed), 0);
    }

    /// Follows the files until what is to come has come.
    async fn follow_until(running: &Running, what: &str, has_come: impl Fn() -> bool) {
        let reloader = running.reloader.clone();
        let following = tokio::spawn(async move { reloader.watch().await });
        let seen = async {
            while !has_come() {
                tokio::task::yield_now().await;
            }
        };
        timeout(FAR, seen).await.expect(what);
        following.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_port_that_is_given_up_is_taken_without_a_change_of_the_text() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let more = format!("[frontend.more]\nlisten = \"{address}\"\nbackend = \"shop\"\n");
        write(&running.path(), &text("\"127.0.0.1:2\"", &more));
        running.reloader.reload().await.unwrap_err();
        let refusals = || running.proxy.handle().encode_metrics().unwrap();
        assert!(refusals().contains("lb_config_reloads_total{result=\"error\"} 1"));
        drop(taken);
        follow_until(&running, "the port is taken", || running.servers() == ["127.0.0.1:2"]).await;
        assert!(refusals().contains("lb_config_reloads_total{result=\"error\"} 1"), "told once");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_certificate_that_comes_later_is_taken_without_a_change_of_the_text() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        let key = rcgen::KeyPair::generate().unwrap();
        let site =
            rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let at = |name: &str| running.dir.path().join(name);
        let tls = "[frontend.web.tls]\ncertificates = [{ cert = \"a.pem\", key = \"a.key\" }]\n";
        write(&running.path(), &text("\"127.0.0.1:2\"", tls));
        fs::write(at("a.key"), key.serialize_pem()).unwrap();
        assert!(running.reloader.reload().await.unwrap_err().may_pass());
        fs::write(at("a.pem"), site.pem()).unwrap();
        follow_until(&running, "the certificate is taken", || running.servers() == ["127.0.0.1:2"]).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_in_the_text_itself_is_not_tried_again() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        for wrong in ["[frontend", &text("\"127.0.0.1:2\"", "retries = -1")] {
            write(&running.path(), wrong);
            assert!(!running.reloader.reload().await.unwrap_err().may_pass(), "{wrong}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_text_that_is_written_back_behind_a_signal_runs_again() {
        let (a, b) = (text("\"127.0.0.1:1\"", ""), text("\"127.0.0.1:2\"", ""));
        let running = run(&a).await;
        let reloader = running.reloader.clone();
        let following = tokio::spawn(async move { reloader.watch().await });
        write(&running.path(), &b);
        running.reloader.reload().await.unwrap();
        write(&running.path(), &a);
        let seen = async {
            while running.servers() != ["127.0.0.1:1"] {
                tokio::task::yield_now().await;
            }
        };
        timeout(FAR, seen).await.expect("the first text runs");
        following.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_are_followed_and_a_mistake_waits_for_its_repair() {
        let running = run(&text("\"127.0.0.1:1\"", "")).await;
        let reloader = running.reloader.clone();
        let following = tokio::spawn(async move { reloader.watch().await });
        for (servers, expected) in
            [("\"127.0.0.1:2\"", true), ("\"127.0.0.1\"", false), ("\"127.0.0.1:3\"", true)]
        {
            write(&running.path(), &text(servers, ""));
            let seen = async {
                while !running.last().is_some_and(|last| {
                    last.is_ok() == expected
                        && (!expected || format!("{:?}", running.servers()).contains(servers))
                }) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(FAR, seen).await.expect(servers);
        }
        following.abort();
    }
}
