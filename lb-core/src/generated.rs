//! Files of the repository that are made from the code. A test holds each against what it should be.

use std::path::Path;

/// Fails where `file`, from the root of the repository, is not `text`. With `LB_DOCS=write` in the environment it is
/// written instead.
pub(crate) fn assert_is(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("LB_DOCS").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let line = found.lines().zip(text.lines()).position(|(found, wanted)| found != wanted);
    let line = line.unwrap_or(found.lines().count().min(text.lines().count()));
    assert!(
        found == text,
        "{file} is not what the code says, from line {} on:\n  there: {:?}\n  code:  {:?}\n\
         write it anew: LB_DOCS=write cargo test -p lb-core --lib reference",
        line + 1,
        found.lines().nth(line).unwrap_or_default(),
        text.lines().nth(line).unwrap_or_default(),
    );
}
