//! What a configuration said, for as long as it runs.
//!
//! It is needed once, to tell what the next one changes, and so kept as it was read: a route is some 60 bytes of text,
//! and 700 when it is parsed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::changes::changes;
use super::diagnostics::Problems;
use super::parse::parse;
use super::schema::{Config, Workers};
use super::source::Source;

/// What a configuration says, to be compared with another. Cheap to clone.
#[derive(Clone)]
pub struct Summary {
    read: Arc<Read>,
    workers: Workers,
}

/// What a configuration is parsed from.
struct Read {
    texts: Vec<String>,
    variables: BTreeMap<String, Option<String>>,
    hash: String,
}

/// What the environment's variables were that a configuration asked for.
#[derive(Debug, Default)]
pub(super) struct Variables(RefCell<BTreeMap<String, Option<String>>>);

impl Variables {
    pub(super) fn note(&self, name: &str, value: Option<String>) -> Option<String> {
        self.0.borrow_mut().insert(name.to_owned(), value.clone());
        value
    }
}

impl Summary {
    /// Of `config`, which `sources` say where the environment is as `variables`.
    pub(super) fn new(sources: Vec<Source>, variables: Variables, config: &Config, hash: String) -> Self {
        let texts = sources.into_iter().map(|source| source.text).collect();
        let read = Read { texts, variables: variables.0.into_inner(), hash };
        Self { read: Arc::new(read), workers: config.global.workers }
    }

    /// What differs from `old`, a line each, in the words of the configuration; empty: nothing.
    ///
    /// Parses both again: ten thousand routes are some tens of milliseconds.
    ///
    /// ```
    /// let config = |workers: &str| {
    ///     let text = format!(
    ///         "[global]\nworkers = {workers}\n[frontend.web]\nlisten = \"127.0.0.1:0\"\nbackend = \"shop\"\n\
    ///          [backend.shop]\nservers = [\"10.0.0.1:80\"]\n"
    ///     );
    ///     lb_core::config::load_text("lb.toml", &text, |_| None)
    /// };
    /// let (old, new) = (config("2")?, config("3")?);
    /// assert_eq!(new.summary.changes_since(&old.summary), ["global workers 2 -> 3"]);
    /// # Ok::<(), lb_core::config::Diagnostics>(())
    /// ```
    pub fn changes_since(&self, old: &Self) -> Vec<String> {
        if self.read.says_the_same(&old.read) {
            return Vec::new();
        }
        changes(&old.config(), &self.config())
    }

    /// A short hash of everything that was read, in hexadecimal digits: it tells two configurations apart, and is
    /// the same on every machine.
    pub fn hash(&self) -> &str {
        &self.read.hash
    }

    pub(super) fn workers_differ(&self, old: &Self) -> bool {
        self.workers != old.workers
    }

    pub(super) fn config(&self) -> Config {
        let Read { texts, variables, .. } = &*self.read;
        let env = |name: &str| variables.get(name).cloned().flatten();
        // It had no problem when it was loaded.
        parse(texts.iter().map(String::as_str), &env, &Problems::default()).0
    }
}

/// Without what it says: that may be secret.
impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary").field("hash", &self.hash()).finish_non_exhaustive()
    }
}

impl Read {
    fn says_the_same(&self, other: &Self) -> bool {
        self.texts == other.texts && self.variables == other.variables
    }
}
