//! `conf/full.toml` as a text: which table and key each line is about, what it shows, and what its comment says.

use toml::{Table, Value};

use super::shape::{Fields, Shape, Step};

/// One table of the file, or what several tables of a kind say together.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) path: Vec<Step>,
    /// The header as it is written, a chosen name as `NAME`: `[frontend.NAME]`.
    pub(super) header: String,
    /// What is said of the table, a paragraph each.
    pub(super) notes: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) is_example: bool,
    pub(super) meaning: String,
}

/// Reads the sections of `text`, in its order; those of one kind become one.
pub(super) fn sections(text: &str, file: &Shape) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut current = Section::default();
    let mut paragraph = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (content, comment) = parted(line);
        if line.starts_with('[') {
            merge(&mut sections, std::mem::take(&mut current));
            current = section(content, file);
            current.notes.extend([comment, &paragraph.join(" ")].map(str::to_owned));
            paragraph.clear();
        } else if let Some((key, shown)) = key_and_value(line.trim_start_matches("# ")) {
            let mut value = shown.to_owned();
            let mut comments = vec![parted(line.trim_start_matches("# ")).1.to_owned()];
            while let Some(next) = lines.next_if(|next| !is_whole(&value) || is_continued(next)) {
                let (more, comment) = parted(next);
                value.push_str(more.trim());
                // Of an item of a list, in its own line.
                if comment != "example" {
                    comments.push(comment.to_owned());
                }
            }
            current.entries.push(entry(key, &value, &comments.join(" "), line.starts_with('#')));
        } else if content.is_empty() && !comment.is_empty() {
            if let (true, Some(note)) = (is_continued(line), current.notes.first_mut()) {
                *note = format!("{note} {comment}");
            } else {
                paragraph.push(comment);
            }
        } else if line.is_empty() && sections.is_empty() && current.header.is_empty() {
            paragraph.clear(); // What is said of the whole file.
        }
    }
    merge(&mut sections, current);
    sections
}

/// A line's TOML and its comment. A `#` in a string begins none.
fn parted(line: &str) -> (&str, &str) {
    let mut is_quoted = false;
    let hash = line.char_indices().find(|&(_, character)| {
        is_quoted ^= character == '"';
        character == '#' && !is_quoted
    });
    match hash {
        Some((at, _)) => (line[..at].trim_end(), line[at + 1..].trim()),
        None => (line.trim_end(), ""),
    }
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = parted(line).0.split_once(" = ")?;
    let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_key.then_some((key, value))
}

/// Whether all brackets are closed.
fn is_whole(value: &str) -> bool {
    let count = |all: [char; 2]| value.matches(all).count();
    count(['[', '{']) == count([']', '}'])
}

/// Whether a line is nothing but the rest of a comment.
fn is_continued(line: &str) -> bool {
    line.starts_with("    ") && line.trim_start().starts_with('#')
}

fn section(header: &str, file: &Shape) -> Section {
    let names = header.trim_matches(['[', ']']).split('.');
    let (mut path, mut written) = (Vec::new(), Vec::new());
    for name in names {
        let shape = file.below(&path);
        let is_chosen = shape.is_some_and(|shape| matches!(shape.fields, Some(Fields::Named(_))));
        written.push(if is_chosen { "NAME" } else { name });
        path.push(Step::Key(written[written.len() - 1].to_owned()));
    }
    let header = if header.starts_with("[[") {
        path.push(Step::Item);
        format!("[[{}]]", written.join("."))
    } else {
        format!("[{}]", written.join("."))
    };
    Section { path, header, ..Section::default() }
}

fn entry(key: &str, value: &str, comment: &str, is_commented: bool) -> Entry {
    let table: Table = format!("{key} = {value}").parse().unwrap_or_else(|error| panic!("{key}: {error}"));
    let comment = comment.trim();
    let example = comment.strip_prefix("example");
    Entry {
        key: key.to_owned(),
        value: table[key].clone(),
        is_example: is_commented || example.is_some(),
        meaning: example.unwrap_or(comment).trim_start_matches([';', ' ']).to_owned(),
    }
}

/// Adds what `more` says to the section of its kind. A key that is shown again adds what is new about it; its value is
/// that of its first line.
fn merge(sections: &mut Vec<Section>, mut more: Section) {
    let notes = more.notes.iter().map(|note| note.strip_prefix("example; ").unwrap_or(note));
    more.notes = notes.filter(|n| !n.is_empty() && !n.starts_with("example")).map(str::to_owned).collect();
    if more.header.is_empty() {
        return;
    }
    let Some(section) = sections.iter_mut().find(|section| section.path == more.path) else {
        let entries = std::mem::take(&mut more.entries);
        sections.push(more);
        let section = sections.last_mut().expect("one was pushed");
        entries.into_iter().for_each(|entry| add(section, entry));
        return;
    };
    section.notes.append(&mut more.notes);
    more.entries.into_iter().for_each(|entry| add(section, entry));
}

fn add(section: &mut Section, entry: Entry) {
    let Some(known) = section.entries.iter_mut().find(|known| known.key == entry.key) else {
        section.entries.push(entry);
        return;
    };
    if !entry.meaning.is_empty() && known.meaning != entry.meaning {
        let parts = [known.meaning.as_str(), entry.meaning.as_str()];
        known.meaning = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    }
}
