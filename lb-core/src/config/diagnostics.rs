//! What is wrong with a configuration, and where.
//!
//! All problems of all files are collected before anything is refused, so that five mistakes are repaired in one
//! edit. Each reads `FILE:LINE:COLUMN: what is wrong; what to do`, the form editors and terminals make clickable;
//! lines and columns count from 1, columns in characters. They are sorted by file and position.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::log::LogSettings;
use super::source::Source;

/// Why a configuration was refused: every problem found, in the order of the files.
///
/// Displays as one line a problem. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    hash: String,
    log: LogSettings,
    may_pass: bool,
}

impl Diagnostics {
    /// Of `problems`, found in `sources`.
    pub(crate) fn new(problems: &Problems, sources: &[Source], hash: String, log: LogSettings) -> Self {
        Self { list: problems.diagnostics(sources), hash, log, may_pass: problems.may_pass.get() }
    }

    /// Whether a cause lies outside the text, in another file or in the system, and may pass without the text changing.
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// The problems, sorted by file and position.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// What the configuration says about logging, as far as it could be read: the problems can be told in its form.
    pub fn log(&self) -> LogSettings {
        self.log
    }

    /// A short hash of everything that was read; see [`Summary::hash`](super::Summary::hash).
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// One problem at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The file, named as it was named to the loader (inside a directory: the directory and the file's name).
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, a semicolon, what to do; one line.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)
    }
}

/// Where something stands: a file of the load and a byte offset in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) offset: usize,
}

/// A value that remembers where it stands. Equality and serialisation are the value's alone: text that moved is
/// not text that changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// The problems and warnings found so far. Shared by all readers of one load, which is single-threaded.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    wrong: RefCell<Vec<Problem>>,
    odd: RefCell<Vec<Problem>>,
    /// Whether one of what is wrong is not in the text.
    may_pass: Cell<bool>,
}

#[derive(Debug, Clone)]
struct Problem {
    place: Place,
    message: String,
    is_syntax: bool,
}

impl Problems {
    /// Notes what makes the configuration unusable. Both halves are one line; the reader asks "so what do I do?".
    pub(crate) fn wrong(&self, place: Place, what: impl fmt::Display, remedy: impl fmt::Display) {
        self.wrong.borrow_mut().push(Problem::new(place, &what, &remedy, false));
    }

    /// Notes an error whose message already has both halves, as this crate's errors have.
    pub(crate) fn said(&self, place: Place, error: impl fmt::Display) {
        let message = error.to_string();
        match message.split_once("; ") {
            Some((what, remedy)) => self.wrong(place, what, remedy),
            None => self.wrong(place, message, "correct it"),
        }
    }

    /// Likewise of what lies outside the text: a file that it names, a name that it wants looked up.
    pub(crate) fn outside(&self, place: Place, error: impl fmt::Display) {
        self.may_pass.set(true);
        self.said(place, error);
    }

    /// Notes a file of the configuration that can't be read.
    pub(crate) fn unreadable(&self, place: Place, error: impl fmt::Display, remedy: impl fmt::Display) {
        self.may_pass.set(true);
        self.syntax(place, format_args!("cannot be read: {error}"), remedy);
    }

    /// Notes text that is not TOML. Hides what else would be said about the same line: a consequence, mostly.
    pub(crate) fn syntax(&self, place: Place, what: impl fmt::Display, remedy: impl fmt::Display) {
        self.wrong.borrow_mut().push(Problem::new(place, &what, &remedy, true));
    }

    /// Notes what is legal but surely not meant.
    pub(crate) fn odd(&self, place: Place, what: impl fmt::Display, remedy: impl fmt::Display) {
        self.odd.borrow_mut().push(Problem::new(place, &what, &remedy, false));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wrong.borrow().is_empty()
    }

    /// Resolves places to lines and columns, sorted. Empty when nothing is wrong.
    pub(crate) fn diagnostics(&self, sources: &[Source]) -> Vec<Diagnostic> {
        resolve(self.wrong.borrow().clone(), sources)
    }

    /// The warnings, likewise.
    pub(crate) fn warnings(&self, sources: &[Source]) -> Vec<Diagnostic> {
        resolve(self.odd.borrow().clone(), sources)
    }
}

impl Problem {
    fn new(place: Place, what: &dyn fmt::Display, remedy: &dyn fmt::Display, is_syntax: bool) -> Self {
        // A foreign error may bring line breaks (a regex error draws an arrow); one problem is one line.
        let message = format!("{what}; {remedy}").split_whitespace().collect::<Vec<_>>().join(" ");
        Self { place, message, is_syntax }
    }
}

fn resolve(mut problems: Vec<Problem>, sources: &[Source]) -> Vec<Diagnostic> {
    problems.sort_by_key(|p| (p.place, !p.is_syntax));
    let mut syntax_lines = Vec::new();
    let mut resolved: Vec<(bool, usize, Diagnostic)> = Vec::with_capacity(problems.len());
    for (file, source) in sources.iter().enumerate() {
        let lines = source.line_starts();
        for problem in problems.iter().filter(|p| p.place.file == file) {
            let (line, column) = source.position(&lines, problem.place.offset);
            if problem.is_syntax {
                syntax_lines.push((file, line));
            }
            let diagnostic =
                Diagnostic { file: source.path.clone(), line, column, message: problem.message.clone() };
            resolved.push((problem.is_syntax, file, diagnostic));
        }
    }
    resolved
        .retain(|(is_syntax, file, d)| *is_syntax || syntax_lines.binary_search(&(*file, d.line)).is_err());
    let mut list: Vec<Diagnostic> = resolved.into_iter().map(|(_, _, diagnostic)| diagnostic).collect();
    list.dedup();
    list
}

/// Text of the file as a message quotes it: on one line, cut when long.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}
