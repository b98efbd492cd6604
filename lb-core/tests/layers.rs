//! Promise: modules are floors of a building; each uses only floors below its own (ARCHITECTURE.md, "Floors").
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod layers {
    pub(crate) mod imports;
}

use std::path::Path;

use layers::imports::Sources;

/// `lib.rs`, the prelude, the test kit and what fuzzers run stand outside.
const FLOORS: [&[&str]; 9] = [
    &["live", "metrics", "spelling", "sys"],
    &["tls"],
    &["access_log", "net"],
    &["backend"],
    &["upstream"],
    &["discovery", "http", "tcp"],
    &["health"],
    &["proxy"],
    &["config"],
];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a file belongs to.
fn room_of(file: &Path) -> &str {
    file.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs")
}

fn is_outside(room: &str) -> bool {
    ["fuzz", "lib", "prelude", "testkit"].contains(&room)
}

#[test]
fn every_room_uses_only_floors_below_its_own() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut uses = 0;
    for (file, used) in sources.uses().into_iter().filter(|(file, _)| !is_outside(room_of(file))) {
        let room = room_of(file);
        let floor = floor_of(room).unwrap_or_else(|| panic!("{room} is on no floor"));
        for other in used.into_iter().filter(|other| room_of(other) != room) {
            let below = floor_of(room_of(other));
            let below = below.unwrap_or_else(|| panic!("{} uses {}", file.display(), other.display()));
            assert!(
                below < floor,
                "{} (floor {floor}) uses {} (floor {below})",
                file.display(),
                other.display()
            );
            uses += 1;
        }
    }
    assert!(uses > 100, "the sources were not read");
}

#[test]
fn no_file_uses_itself_by_way_of_others() {
    let sources = Sources::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut left = sources.uses();
    // What uses nothing that is left is in no circle.
    while let Some(file) = left.iter().find(|(_, used)| used.is_empty()).map(|(file, _)| *file) {
        left.remove(file);
        for used in left.values_mut() {
            used.remove(file);
        }
    }
    // Nor is what nothing that is left uses.
    while let Some(file) = left.keys().copied().find(|file| !left.values().any(|used| used.contains(file))) {
        left.remove(file);
    }
    assert!(left.is_empty(), "in circles: {left:#?}");
}
