//! When to load the configuration again.
//!
//! What counts is content: a change is reported when the bytes of the watched files are others than those known,
//! whatever touched them, and have been so for a moment: a file that is truncated and written again is not seen
//! empty. Should a writer pause for longer, the load fails, the old configuration goes on, and the rest of the write
//! is the next change.
//!
//! Two things say when to look: events of the file system (`events`), which come at once, and the times at which the
//! files or their modes changed (ctime) every two seconds, for network file systems and bind mounts, where events don't
//! come.
//!
//! Files are read on tokio's blocking threads: a hanging network file system must not stop health checks.

mod events;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

use self::events::{FileEvents, Places};
use super::files::{files_of, read_bytes};
use super::source::hash_read;
use crate::sys::FileStamp;

/// Watches what a configuration was read from.
///
/// ```no_run
/// # async fn example() -> Result<(), lb_core::config::Diagnostics> {
/// use lb_core::config::{self, Watch};
/// let env = |name: &str| std::env::var(name).ok();
/// let loaded = config::load("lb.toml", env)?;
/// let mut watch = Watch::new("lb.toml", loaded.summary.hash());
/// loop {
///     watch.changed().await;
///     match config::load("lb.toml", env) {
///         Ok(loaded) => println!("now {}", loaded.summary.hash()),
///         Err(diagnostics) => println!("refused:\n{diagnostics}"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    source: PathBuf,
    /// Files that the configuration names.
    named: Vec<PathBuf>,
    /// The hash of the content that the caller knows.
    seen: String,
    events: FileEvents,
}

/// How often those times are looked at.
const POLL: Duration = Duration::from_secs(2);
/// How long a content must hold to be reported.
const QUIET: Duration = Duration::from_millis(50);

impl Watch {
    /// Watches `path`, a file or a directory as given to [`load`](super::load); `hash` is the
    /// [`hash`](super::Summary::hash) of what is loaded, so that nothing is missed in between.
    ///
    /// Looks at nothing before [`changed`](Self::changed) is awaited.
    pub fn new(path: impl Into<PathBuf>, hash: impl Into<String>) -> Self {
        Self { source: path.into(), named: Vec::new(), seen: hash.into(), events: FileEvents::default() }
    }

    /// Watches these files too, instead of those given before; `hash` covers them as well.
    pub fn follow(&mut self, named: Vec<PathBuf>, hash: impl Into<String>) {
        self.named = named;
        self.seen = hash.into();
    }

    /// The hash of the content that was reported last, or that the caller has told.
    pub fn hash(&self) -> &str {
        &self.seen
    }

    /// Waits until the content is another than the one known, and has been for 50 ms. A file that is gone is another
    /// content.
    ///
    /// Cancel safe: what was not reported is reported by the next call.
    pub async fn changed(&mut self) {
        let mut last = None;
        loop {
            // Events first, then the look: what changes in between is one.
            let (source, named) = (self.source.clone(), self.named.clone());
            let places = blocking(move || Places::of(&source, &named)).await;
            self.events.watch(places);
            let (source, named) = (self.source.clone(), self.named.clone());
            let (stamps, hash) = blocking(move || (stamps(&source, &named), hash_now(&source, &named))).await;
            if hash == self.seen {
                last = None;
                tokio::select! {
                    () = self.events.next() => {}
                    () = stamps_changed(&self.source, &self.named, stamps) => {}
                }
            } else if last.as_ref() == Some(&hash) {
                self.seen = hash;
                return;
            } else {
                last = Some(hash);
            }
            sleep(QUIET).await;
        }
    }
}

/// A file with its stamp; `None`: it is not there.
type Stamp = (PathBuf, Option<FileStamp>);

async fn stamps_changed(source: &Path, named: &[PathBuf], before: Vec<Stamp>) {
    loop {
        sleep(POLL).await;
        let (source, named) = (source.to_owned(), named.to_owned());
        if blocking(move || stamps(&source, &named)).await != before {
            return;
        }
    }
}

fn stamps(source: &Path, named: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let stamp = fs::metadata(&path).ok().as_ref().map(FileStamp::of);
        (path, stamp)
    };
    all_files(source, named).into_iter().map(stamp).collect()
}

/// The hash of the content now, as the loader's.
fn hash_now(source: &Path, named: &[PathBuf]) -> String {
    let contents: Vec<_> = all_files(source, named).iter().map(|path| read_bytes(path).ok()).collect();
    hash_read(contents.iter().map(Option::as_deref))
}

fn all_files(source: &Path, named: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = files_of(source).unwrap_or_else(|_| vec![source.to_owned()]);
    files.extend_from_slice(named);
    files
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody waits for an answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
