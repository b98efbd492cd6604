//! The configuration file: TOML in, a proxy's builder out.
//!
//! [`load`] reads a file or a directory, reports every problem at once as [`Diagnostics`], and turns what the file
//! says into calls on the same public builders an embedder uses: what the file can do, the library can do.
//!
//! The way of a file: `files` reads it, `foreign` tells what is no TOML at all, `parse` has the `toml` crate make a tree
//! of it with positions, `reader` walks the tree into the structs of `schema` (values with `${VAR}` replaced by
//! `substitute`), `check` compares names and addresses across the whole, `compile` calls the builders. Two loaded configurations are compared in the words of
//! the file by `changes`, each from its `summary`; `watch` says when to load again.

mod changes;
mod check;
mod compile;
mod diagnostics;
mod files;
mod foreign;
mod hints;
mod log;
mod parse;
mod reader;
mod reload;
mod schema;
mod source;
mod substitute;
mod summary;
mod toml_errors;
mod units;
mod unsupported;
mod values;
mod watch;

#[cfg(test)]
mod conf_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use self::diagnostics::{Diagnostic, Diagnostics};
pub use self::log::{LogFormat, LogLevel, LogSettings};
pub use self::reload::{ReloadError, Reloader};
pub use self::summary::Summary;
pub use self::watch::Watch;

use self::diagnostics::Problems;
use self::parse::parse;
use self::source::Source;
use self::substitute::Environment;
use self::summary::Variables;
use crate::proxy::ProxyBuilder;

/// Reads and checks the configuration at `path`, a file or a directory of `*.toml` files.
///
/// `env` answers what `${VAR}` stands for; [`std::env::var`]`(name).ok()` is the usual one.
///
/// # Errors
/// Every problem of all files, sorted by position.
pub fn load(path: impl AsRef<Path>, env: impl Fn(&str) -> Option<String>) -> Result<Loaded, Diagnostics> {
    let problems = Problems::default();
    let sources = files::read(path.as_ref(), &problems);
    load_sources(sources, &env, &problems)
}

/// As [`load`], from a text; `name` stands for the file in diagnostics, and relative names start from its directory.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: impl AsRef<Path>,
    text: &str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, Diagnostics> {
    let source = Source::new(name.as_ref().to_owned(), text.into());
    load_sources(vec![source], &env, &Problems::default())
}

/// A configuration without a problem.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The proxy it describes. The access log is not in it: whoever runs the proxy decides where lines go.
    pub builder: ProxyBuilder,
    /// What should be logged.
    pub log: LogSettings,
    /// The files that were read, the configuration's own.
    pub files: Vec<PathBuf>,
    /// What is legal but surely not meant: an unused backend, a route that never matches. Sorted by position.
    pub warnings: Vec<Diagnostic>,
    /// What it says, to be compared with another.
    pub summary: Summary,
}

fn load_sources(
    mut sources: Vec<Source>,
    env: &Environment<'_>,
    problems: &Problems,
) -> Result<Loaded, Diagnostics> {
    let variables = Variables::default();
    foreign::note(&mut sources, problems);
    let is_read = problems.is_empty();
    let noted = |name: &str| variables.note(name, env(name));
    let (config, is_parsed) = parse(sources.iter().map(|source| source.text.as_str()), &noted, problems);
    check::check(&config, is_read && is_parsed, problems);
    let builder = compile::compile(&config, &sources, problems);
    for problem in builder.circles() {
        compile::note_circle(&problem, &config, problems);
    }
    let hash = source::hash_of(&sources);
    let schema::Log { level, format, access } = config.log;
    let log = LogSettings { level, format, access: access.0 };
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems, &sources, hash, log));
    }
    Ok(Loaded {
        builder,
        log,
        files: sources.iter().map(|source| source.path.clone()).collect(),
        warnings: problems.warnings(&sources),
        summary: Summary::new(sources, variables, &config, hash),
    })
}
