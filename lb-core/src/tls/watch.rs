//! Renewed certificates are taken while the proxy runs.
//!
//! Names, times and sizes of the files are looked at every second: that works on network file systems and bind
//! mounts too, and for the symlink swaps of Kubernetes. What has changed is read once it has stayed the same for one
//! more look, and again with the next change; a certificate and a key that don't belong together are most likely
//! half of a renewal.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::Termination;
use super::error::TlsProblem;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often certificates near their end are warned of.
const WARN: Duration = Duration::from_secs(24 * 60 * 60);

/// Follows the files of `termination` for as long as it is awaited. `counted` is told of each certificate that was
/// taken or refused.
pub(crate) async fn watch(frontend: &str, termination: &Termination, mut counted: impl FnMut(bool)) {
    // The first look reads once more: something may have changed since the configuration was read.
    let mut taken = Vec::new();
    let mut last = stamps(termination).await;
    let mut warned: Option<tokio::time::Instant> = None;
    loop {
        if warned.is_none_or(|at| at.elapsed() >= WARN) {
            warned = Some(tokio::time::Instant::now());
            for (_, problem) in termination.warnings(SystemTime::now()) {
                tracing::warn!(frontend, %problem, "certificate");
            }
        }
        sleep(LOOK).await;
        let now = stamps(termination).await;
        let is_quiet = std::mem::replace(&mut last, now.clone()) == now;
        if !is_quiet || now == taken {
            continue;
        }
        taken = now;
        let Some(renewal) = blocking(termination, Termination::renew).await else { return };
        for file in renewal.renewed {
            tracing::info!(frontend, file = %file.display(), "certificate renewed");
            counted(true);
            warned = None;
        }
        for (file, problem) in renewal.refused {
            refuse(frontend, &file, &problem);
            counted(false);
        }
    }
}

fn refuse(frontend: &str, file: &std::path::Path, problem: &TlsProblem) {
    tracing::error!(frontend, file = %file.display(), %problem, "certificate refused, the one from before goes on");
}

/// What `stat` says of a file: when, how long and which it is. `None`: it is not there.
type Stamp = (PathBuf, Option<(SystemTime, u64, u64)>);

async fn stamps(termination: &Termination) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let stamp = metadata.and_then(|found| Some((found.modified().ok()?, found.len(), found.ino())));
        (path, stamp)
    };
    let stamps = move |termination: &Termination| termination.paths().into_iter().map(stamp).collect();
    blocking(termination, stamps).await.unwrap_or_default()
}

/// A network file system that hangs must not stop the control plane.
async fn blocking<T: Send + 'static>(
    termination: &Termination,
    work: impl FnOnce(&Termination) -> T + Send + 'static,
) -> Option<T> {
    let termination = termination.clone();
    tokio::task::spawn_blocking(move || work(&termination)).await.ok()
}
