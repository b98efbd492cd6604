//! Events of the file system, by `notify`.
//!
//! An event reaches whoever watches the directory in which a name changes, so what is watched is the directory of
//! each file and of each symbolic link on the way to it (Kubernetes swaps `..data` beside the link that is named),
//! and the file itself, for writes through another name of it (a bind-mounted file). Events about other names are
//! dropped: the directory may be the one the access log is written to.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::config::files::files_of;

/// Links that lead to links; the kernel gives up at 40 (path_resolution(7)).
const DEEPEST: usize = 40;

/// The places watched now, and whether something happened there.
#[derive(Default)]
pub(super) struct FileEvents {
    places: Places,
    /// `None`: closed, or watching failed and the poll must do.
    watcher: Option<RecommendedWatcher>,
    happened: Arc<Notify>,
}

impl FileEvents {
    /// Watches `places` from now on. Costs nothing when they are those watched already.
    pub(super) fn watch(&mut self, places: Places) {
        if self.places == places {
            return;
        }
        match self.watcher_of(&places) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                self.watcher = None;
                tracing::warn!(%error, "no file system events for the configuration, changes are seen within 2s");
            }
        }
        self.places = places;
    }

    /// Waits for an event. One that came since the last call counts.
    pub(super) async fn next(&self) {
        self.happened.notified().await;
    }

    fn watcher_of(&self, places: &Places) -> notify::Result<RecommendedWatcher> {
        let (happened, names, any_toml) = (self.happened.clone(), places.names.clone(), places.any_toml);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error here is a lost event, so better look.
            if event.map_or(true, |event| matters(&event, &names, any_toml)) {
                happened.notify_one();
            }
        })?;
        for path in places.identities.keys() {
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                // Gone since it was found: that was an event of its directory.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(watcher)
    }
}

impl fmt::Debug for FileEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileEvents").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Where changes to some files show.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// What to watch, with its inode: a watch stays with the inode when the name goes to another.
    identities: BTreeMap<PathBuf, u64>,
    /// The names that matter in the watched directories.
    names: HashSet<OsString>,
    /// Whether any `*.toml` matters: the configuration is a directory.
    any_toml: bool,
}

impl Places {
    /// Those of a configuration at `source` and of the files it names.
    pub(super) fn of(source: &Path, named: &[PathBuf]) -> Self {
        let mut places = Self::default();
        places.add(source, 0);
        if source.is_dir() {
            places.any_toml = true;
            places.watch(source);
            for file in files_of(source).unwrap_or_default() {
                places.add(&file, 0);
            }
        }
        for file in named {
            places.add(file, 0);
        }
        places
    }

    /// Adds the file, its directory, and every link on the way to it.
    fn add(&mut self, path: &Path, depth: usize) {
        let Ok(path) = std::path::absolute(path) else { return };
        let mut way = PathBuf::new();
        for component in path.components() {
            let parent = way.clone();
            way.push(component);
            if let (Component::Normal(name), Ok(target)) = (component, fs::read_link(&way)) {
                self.watch(&parent);
                self.names.insert(name.to_owned());
                if depth < DEEPEST {
                    self.add(&parent.join(target), depth + 1);
                }
            }
        }
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.watch(parent);
            self.names.insert(name.to_owned());
        }
        if !path.is_dir() {
            self.watch(&path);
        }
    }

    fn watch(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path) {
            self.identities.insert(path.to_owned(), metadata.ino());
        }
    }
}

/// Whether an event may have changed a content. Reading is an event too, and looking reads.
fn matters(event: &Event, names: &HashSet<OsString>, any_toml: bool) -> bool {
    let is_reading = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    };
    let is_named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| names.contains(name))
            || any_toml && path.extension().is_some_and(|extension| extension == "toml")
    };
    event.need_rescan() || !is_reading && (event.paths.is_empty() || event.paths.iter().any(is_named))
}
