//! Keys and values of the reference that are not built yet. Each is refused by name, never ignored.
//!
//! This table is the only place that knows them: what teaches the schema one of them deletes its row here.

/// The table it stands in (as [`super::reader::Record::KIND`] has it), the key, and the value that asks for nothing
/// and may stand.
const NOT_YET: &[(&str, &str, Option<&str>)] = &[
    ("backend", "sticky", None),
    ("balance", "source_hash", None),
    ("balance", "uri_hash", None),
    ("balance", "header_hash", None),
    ("balance", "maglev", None),
];

/// What the table says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// Not in the table.
    Unlisted,
    /// In the table; this value, written as in the file without quotes, asks for nothing.
    NotYet { off: Option<&'static str> },
}

/// Looks up `key` of a table of kind `kind`.
pub(crate) fn support(kind: &str, key: &str) -> Support {
    NOT_YET
        .iter()
        .find(|(row_kind, row_key, _)| (*row_kind, *row_key) == (kind, key))
        .map_or(Support::Unlisted, |(_, _, off)| Support::NotYet { off: *off })
}
