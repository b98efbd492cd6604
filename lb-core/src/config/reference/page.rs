//! The reference page: what the reader accepts, in the words of `conf/full.toml`.

use std::fmt::Write;

use toml::Value;

use super::shape::{Field, Fields, Shape, Step, Strings};
use super::text::{Entry, Section};

/// The page for a file of this shape, that `sections` tell about.
pub(super) fn page(file: &Shape, sections: &[Section]) -> String {
    let mut page = String::from(HEAD);
    for section in sections {
        let shape = file.below(&section.path).unwrap_or_else(|| panic!("{} is no table", section.header));
        let Some(Fields::Known(fields)) = &shape.fields else { panic!("{} has no keys", section.header) };
        // Writing to a String can't fail.
        let _ = write!(page, "\n## `{}`\n\n", section.header);
        for note in &section.notes {
            let _ = write!(page, "{}\n\n", sentence(note));
        }
        page.push_str("| key | takes | default | meaning |\n| --- | --- | --- | --- |\n");
        for entry in &section.entries {
            let field = fields.iter().find(|field| field.key == entry.key);
            let field = field.unwrap_or_else(|| panic!("{} has no {}", section.header, entry.key));
            rows(&mut page, field, entry);
        }
    }
    page
}

/// The keys of the file that no section tells about, as `frontend.NAME.listen`.
pub(super) fn untold(file: &Shape, sections: &[Section]) -> Vec<String> {
    let mut untold = Vec::new();
    let mut path = Vec::new();
    note_untold(file, sections, &mut path, &mut untold);
    untold
}

fn note_untold(shape: &Shape, sections: &[Section], path: &mut Vec<Step>, untold: &mut Vec<String>) {
    let mut step = |step: Step, shape: &Shape| {
        path.push(step);
        note_untold(shape, sections, path, untold);
        path.pop();
    };
    // Where one value may stand for a list of one, the list's items have the same keys.
    if let (Some(items), None) = (&shape.items, &shape.fields) {
        step(Step::Item, items);
    }
    match &shape.fields {
        Some(Fields::Named(named)) => step(Step::Key("NAME".to_owned()), named),
        Some(Fields::Known(fields)) => {
            for field in fields {
                step(Step::Key(field.key.clone()), &field.shape);
            }
        }
        None => {}
    }
    let is_key = matches!(path.last(), Some(Step::Key(key)) if key != "NAME");
    if is_key && !is_told(path, sections) {
        untold.push(dotted(path));
    }
}

/// Whether a table of the file is at `path`, or one shows the key, in a table of its line perhaps.
fn is_told(path: &[Step], sections: &[Section]) -> bool {
    sections.iter().any(|section| {
        if section.path.starts_with(path) {
            return true;
        }
        let Some([Step::Key(key), inside @ ..]) = path.strip_prefix(&section.path[..]) else { return false };
        let mut entries = section.entries.iter().filter(|entry| entry.key == *key);
        // What can't stand in the file for want of another file is told by a comment.
        let told = path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(format!("`{key} = ")),
            Step::Item => None,
        });
        entries.any(|entry| {
            shown(&entry.value, inside).is_some() || told.iter().any(|told| entry.meaning.contains(told))
        })
    })
}

/// What `value` has at `path`, in the first of its items that has it.
fn shown<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    match (path.split_first(), value) {
        (None, value) => Some(value),
        (Some((Step::Item, rest)), Value::Array(items)) => items.iter().find_map(|item| shown(item, rest)),
        (Some(_), Value::Array(items)) => items.iter().find_map(|item| shown(item, path)),
        (Some((Step::Key(key), rest)), Value::Table(table)) if key == "NAME" => {
            table.values().find_map(|value| shown(value, rest))
        }
        (Some((Step::Key(key), rest)), Value::Table(table)) => shown(table.get(key)?, rest),
        _ => None,
    }
}

/// A row for a key, and one for each key of the tables that its line may hold.
fn rows(page: &mut String, field: &Field, entry: &Entry) {
    let shows_default = !entry.is_example && !field.is_required;
    row(page, &field.key, field, &entry.value, shows_default, &entry.meaning);
    inner_rows(page, &field.key, &field.shape, &entry.value, shows_default);
}

fn inner_rows(page: &mut String, above: &str, shape: &Shape, value: &Value, shows_default: bool) {
    if let Some(items) = &shape.items {
        // Where a list may be left out around one value, that has the same keys.
        if shape.fields.is_none() {
            inner_rows(page, &format!("{above}[]"), items, value, shows_default);
        }
    }
    let Some(Fields::Known(fields)) = &shape.fields else { return };
    for field in fields {
        let Some(value) = shown(value, &[Step::Key(field.key.clone())]) else { continue };
        let name = format!("{above}.{}", field.key);
        row(page, &name, field, value, shows_default && !field.is_required, "");
        inner_rows(page, &name, &field.shape, value, shows_default);
    }
}

fn row(page: &mut String, name: &str, field: &Field, value: &Value, shows_default: bool, meaning: &str) {
    let (mut default, mut meaning) = (String::new(), sentence(without_words(meaning)));
    if shows_default {
        default = format!("`{value}`");
    } else if !matches!(value, Value::Table(_)) || matches!(field.shape.fields, Some(Fields::Named(_))) {
        meaning = format!("{meaning} For example `{value}`.").trim_start().to_owned();
    }
    if field.is_required {
        default = "needed".to_owned();
    }
    let (takes, default, meaning) = (cell(&takes(&field.shape)), cell(&default), cell(&meaning));
    let _ = writeln!(page, "| `{name}` | {takes} | {default} | {meaning} |");
}

/// What a key takes: its words, where they are few, and what the reader asks for otherwise.
fn takes(shape: &Shape) -> String {
    match &shape.strings {
        Strings::OneOf(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        _ => shape.wanted.clone(),
    }
}

/// A meaning without the words that the column before it has: `off | v1: ...`, `or "tcp"`.
fn without_words(meaning: &str) -> &str {
    let (words, rest) = meaning.split_once(": ").unwrap_or((meaning, ""));
    let is_list = words.contains(" | ") || meaning.starts_with("or \"");
    if is_list { rest } else { meaning }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    // A key stays as it is written.
    if text.split(' ').next().is_some_and(|word| word.contains('_')) {
        return format!("{text}{end}");
    }
    format!("{}{}{end}", first.to_uppercase(), characters.as_str().trim_end_matches(':'))
}

fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Item => text.push_str("[]"),
        }
    }
    text
}

const HEAD: &str = "\
# Every key of the file

<!-- Generated from conf/full.toml and from what the reader of the file accepts. Edit those; then:
     LB_DOCS=write cargo test -p lb-core --lib reference -->

This page is [conf/full.toml](../conf/full.toml) as tables. [lb.schema.json](lb.schema.json) says the same to editors.

Durations are text with a unit: `\"500ms\"`, `\"2s\"`, `\"1m\"`, `\"1h\"`, `\"1d\"`. Sizes are bytes or `\"64KiB\"`, `\"1MiB\"`,
`\"1GiB\"`. `${VAR}` and `${VAR:-default}` inside strings are replaced from the environment, also where a number is
wanted; `$${` is a literal `${`. Files are named relative to the file that names them. A key that is not here is an
error, with the nearest that is.
";
