//! A running proxy and the configuration it follows.
//!
//! A reload is all or nothing: read, check, build, bind, swap. Whatever fails, what runs goes on, and the reason is
//! in the log, on the status page and in `lb_config_reloads_total`. One reload runs at a time; signals, `POST
//! /api/reload` and changes of the files all come through here.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Mutex;

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
}

type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;
type Finish = dyn Fn(ProxyBuilder, LogSettings) -> ProxyBuilder + Send + Sync;

#[derive(Debug)]
struct State {
    /// What the proxy runs.
    running: Summary,
    /// The hash of what was tried last: it does not become right by being tried again.
    tried: String,
}

/// How many changes of one reload are logged one by one; those beyond are counted.
const LOGGED: usize = 50;

impl Reloader {
    /// For the proxy behind `handle`, which runs what `running` says, loaded from `path`.
    ///
    /// `env` is as for [`load`]. `finish` adds what a file can't say, an access log above all, to each new builder,
    /// and learns what should be logged from now on.
    ///
    /// The status page names the configuration from now on, and `POST /api/reload` reloads it.
    pub fn new(
        handle: Handle,
        path: impl Into<PathBuf>,
        running: Summary,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        finish: impl Fn(ProxyBuilder, LogSettings) -> ProxyBuilder + Send + Sync + 'static,
    ) -> Self {
        let following = Following { path: path.into(), handle, env: Box::new(env), finish: Box::new(finish) };
        following.show(&running, None);
        let state = State { tried: running.hash().to_owned(), running };
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
        let following = &self.following;
        let result = self.apply(&mut state).await;
        let now = SystemTime::now();
        match &result {
            Ok(changes) => {
                log_changes(changes);
                following.handle.metrics().reload_succeeded(now);
            }
            Err(error) => {
                log_error(error);
                following.handle.metrics().reload_failed();
            }
        }
        let result_shown = result.as_ref().map(|changes| sentence(changes)).map_err(ToString::to_string);
        following.show(&state.running, Some(ReloadStatus { at: now, result: result_shown }));
        result
    }

    /// Reloads whenever the files change, for as long as it is awaited. What comes of it is logged.
    pub async fn watch(&self) {
        let mut watch = Watch::new(&self.following.path, self.state.lock().await.tried.clone());
        loop {
            watch.changed().await;
            // A signal may have been faster.
            if self.state.lock().await.tried != watch.hash() {
                // Logged, counted and shown already.
                let _ = self.reload().await;
            }
        }
    }

    async fn apply(&self, state: &mut State) -> Result<Vec<String>, ReloadError> {
        let following = Arc::clone(&self.following);
        // Ten thousand routes are some tens of milliseconds, and names to listen on are looked up.
        let loaded = blocking(move || load(&following.path, &following.env)).await;
        let tried = loaded.as_ref().map_or_else(Diagnostics::hash, |loaded| loaded.summary.hash());
        state.tried = tried.to_owned();
        let Loaded { builder, log, summary, warnings, .. } = loaded?;
        for warning in warnings {
            tracing::warn!(%warning, "configuration");
        }
        if summary.hash() != state.running.hash() {
            let snapshot = (self.following.finish)(builder, log).snapshot()?;
            self.following.handle.apply(snapshot).await?;
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
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::proxy::{Proxy, Workers};

    const FAR: Duration = Duration::from_secs(20);

    struct Running {
        dir: tempfile::TempDir,
        proxy: Proxy,
        reloader: Reloader,
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
        let finish = |builder: ProxyBuilder, _| builder.workers(Workers::Runtime);
        let proxy = finish(loaded.builder, loaded.log).build().unwrap();
        proxy.start().await.unwrap();
        let reloader = Reloader::new(proxy.handle(), &path, loaded.summary, |_| None, finish);
        Running { dir, proxy, reloader }
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
