//! Promise: modules are floors of a building; each uses only floors below its own (ARCHITECTURE.md, "Floors").
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// `lib.rs`, the prelude, the test kit and what fuzzers run stand outside.
const FLOORS: [&[&str]; 8] = [
    &["live", "metrics", "sys"],
    &["tls"],
    &["access_log", "net"],
    &["backend"],
    &["upstream"],
    &["discovery", "health", "http", "tcp"],
    &["proxy"],
    &["config"],
];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The rooms that a source names after `crate::`, in groups (`crate::{a, b::C}`) too; comments don't count.
fn rooms_named(source: &str) -> Vec<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let first_word = |text: &str| {
        text.trim().split(|c: char| c != '_' && !c.is_alphanumeric()).next().unwrap_or("").to_owned()
    };
    let named = |rest: &str| match rest.strip_prefix('{') {
        Some(group) => group.split('}').next().unwrap_or("").split(',').map(first_word).collect(),
        None => vec![first_word(rest)],
    };
    code.split("crate::").skip(1).flat_map(named).collect()
}

#[test]
fn every_room_uses_only_floors_below_its_own() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = 0;
    for file in files(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["fuzz", "lib", "prelude", "testkit"].contains(&room) {
            continue;
        }
        let floor = floor_of(room).unwrap_or_else(|| panic!("{room} is on no floor"));
        for used in rooms_named(&fs::read_to_string(&file).unwrap()).iter().filter(|used| *used != room) {
            // Names that are no rooms are macros.
            let Some(below) = floor_of(used) else { continue };
            assert!(
                below < floor,
                "{}: {room} (floor {floor}) uses {used} (floor {below})",
                inside.display()
            );
            uses += 1;
        }
    }
    assert!(uses > 100, "the sources were not found");
}
