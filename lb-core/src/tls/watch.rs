//! Renewed certificates and authorities are taken while the proxy runs.
//!
//! Names, times and sizes of the files are looked at, every second by default: that works on network file systems and bind
//! mounts too, and for the symlink swaps of Kubernetes. What has changed is read once it has stayed the same for one
//! more look, and again with the next change; a certificate and a key that don't belong together are most likely
//! half of a renewal.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::certificate::Certificate;
use super::error::{TlsPart, TlsProblem};
use crate::sys::FileStamp;

/// How often the files are looked at, if nothing else is said.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How often certificates near their end are warned of.
const WARN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is made of files that may be renewed. Cheap to clone; all clones are the same.
pub(crate) trait Watched: Clone + Send + 'static {
    /// Reads the files again. What can't be taken leaves what is in use in its place.
    fn renew(&self) -> Renewal;

    /// How often the files are looked at.
    fn every(&self) -> Duration;

    /// The files to look at for changes, directories included.
    fn paths(&self) -> Vec<PathBuf>;

    /// When something of what was read is over, and the files are to be read again whether they changed or not.
    fn end(&self) -> Option<SystemTime>;

    /// Certificates whose time is over, nearly over (21 days) or has not begun, and OCSP responses that are no good.
    fn warnings(&self, now: SystemTime) -> Vec<(TlsPart, TlsProblem)>;

    /// Whether the configuration's reader has told of the warnings that there were when it was read.
    fn are_warnings_told(&self) -> bool;
}

/// What looking at the files again came to.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    pub(super) renewed: Vec<PathBuf>,
    pub(super) refused: Vec<(PathBuf, TlsProblem)>,
    /// Whether there is another thing to warn of than before.
    pub(super) has_new_warning: bool,
}

impl Renewal {
    /// Notes what is new about `fresh`, read from the files of `known`; returns what is to be used.
    pub(super) fn take(&mut self, fresh: Certificate, known: &Certificate, now: SystemTime) -> Certificate {
        let fresh = fresh.keep_staple(known, now);
        if fresh.is_renewal_of(known) {
            self.renewed.push(fresh.files.certificate.clone());
        }
        self.has_new_warning |= fresh.is_refused_otherwise(known);
        fresh
    }

    /// Goes on with `known`, whose files can't be read now; returns what is left of it.
    pub(super) fn keep(&mut self, known: &Certificate, now: SystemTime) -> Certificate {
        let same = known.as_of(now);
        self.has_new_warning |= same.is_refused_otherwise(known);
        same
    }
}

/// Whose files are watched, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    Frontend(&'a str),
    Backend(&'a str),
}

/// Follows the files of `watched` for as long as it is awaited. `counted` is told of each certificate or file of
/// authorities that was taken or refused.
pub(crate) async fn watch(owner: Owner<'_>, watched: &impl Watched, mut counted: impl FnMut(bool)) {
    // The first look reads once more: something may have changed since the configuration was read.
    let mut taken = Vec::new();
    let mut last = stamps(watched).await;
    let mut warned = watched.are_warnings_told().then(tokio::time::Instant::now);
    loop {
        if warned.is_none_or(|at| at.elapsed() >= WARN) {
            warned = Some(tokio::time::Instant::now());
            for (_, problem) in watched.warnings(SystemTime::now()) {
                owner.warn(&problem);
            }
        }
        sleep(watched.every()).await;
        let now = stamps(watched).await;
        let is_quiet = std::mem::replace(&mut last, now.clone()) == now;
        let is_over = watched.end().is_some_and(|end| end <= SystemTime::now());
        if !is_over && (!is_quiet || now == taken) {
            continue;
        }
        taken = now;
        let Some(renewal) = blocking(watched, Watched::renew).await else { return };
        if renewal.has_new_warning {
            warned = None;
        }
        for file in renewal.renewed {
            owner.renewed(&file);
            counted(true);
            warned = None;
        }
        for (file, problem) in renewal.refused {
            owner.refused(&file, &problem);
            counted(false);
        }
    }
}

impl Owner<'_> {
    fn names(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Frontend(name) => (Some(name), None),
            Self::Backend(name) => (None, Some(name)),
        }
    }

    fn warn(&self, problem: &TlsProblem) {
        let (frontend, backend) = self.names();
        tracing::warn!(frontend, backend, %problem, "certificate");
    }

    fn renewed(&self, file: &Path) {
        let (frontend, backend) = self.names();
        tracing::info!(frontend, backend, file = %file.display(), "certificate renewed");
    }

    fn refused(&self, file: &Path, problem: &TlsProblem) {
        let (frontend, backend) = self.names();
        let file = file.display();
        tracing::error!(frontend, backend, %file, %problem, "certificate refused, the one from before goes on");
    }
}

/// Each file with its stamp; `None`: it is not there.
async fn stamps(watched: &impl Watched) -> Vec<(PathBuf, Option<FileStamp>)> {
    let stamp = |path: PathBuf| {
        let stamp = fs::metadata(&path).ok().as_ref().map(FileStamp::of);
        (path, stamp)
    };
    blocking(watched, move |watched| watched.paths().into_iter().map(stamp).collect())
        .await
        .unwrap_or_default()
}

/// A network file system that hangs must not stop the control plane.
async fn blocking<W: Watched, T: Send + 'static>(
    watched: &W,
    work: impl FnOnce(&W) -> T + Send + 'static,
) -> Option<T> {
    let watched = watched.clone();
    tokio::task::spawn_blocking(move || work(&watched)).await.ok()
}
