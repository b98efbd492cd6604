//! From texts to what they say as one.

use toml::de::DeTable;

use super::diagnostics::Problems;
use super::reader::{Keys, Pass};
use super::schema::{Config, Draft};
use super::substitute::Environment;
use super::toml_errors;

/// What `texts` say as one, and whether all of it could be told: what is no TOML becomes a problem and is left out.
pub(super) fn parse<'t>(
    texts: impl Iterator<Item = &'t str>,
    env: &Environment<'_>,
    problems: &Problems,
) -> (Config, bool) {
    let mut draft = Draft::default();
    let mut is_whole = true;
    for (file, text) in texts.enumerate() {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            toml_errors::note(error, file, text, problems);
        }
        is_whole &= errors.is_empty();
        let pass = Pass { file, text, is_whole: errors.is_empty(), env, problems };
        draft.add(Keys::root(&pass, table.get_ref()));
    }
    (draft.finish(), is_whole)
}
