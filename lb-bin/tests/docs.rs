//! Promise: what the documentation names is there. Whether it is true, other tests tell.
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut links = 0;
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links_of(&text).filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            links += 1;
            let (file, heading) = link.split_once('#').map_or((link, None), |(f, h)| (f, Some(h)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = target.exists() && heading.is_none_or(|heading| has_heading(&target, heading));
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links > 40, "{links} links were found");
}

#[test]
fn the_summary_has_every_page_of_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<&str> = links_of(&summary).collect();
    for page in markdown_in(&docs) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || listed.contains(&name), "docs/SUMMARY.md does not list {name}");
    }
}

/// Files in the pages are whole: what a newcomer copies loads.
#[test]
fn configurations_in_the_book_load() {
    let mut loaded = 0;
    for page in ["docs/first-file.md", "README.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        // Pages build one file up: a later table takes the place of an earlier one.
        let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        for block in blocks.filter(|block| block.contains("[frontend.") && block.contains("[backend.")) {
            let result = lb_core::config::load_text("lb.toml", block, |_| None);
            assert!(result.is_ok(), "{page}: {}\n{block}", result.unwrap_err());
            loaded += 1;
        }
    }
    assert!(loaded >= 3, "{loaded} files were found");
}

#[test]
fn examples_say_the_command_that_runs_them() {
    for example in fs::read_dir(root().join("lb-core/examples")).unwrap() {
        let path = example.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        // From the root, where `cargo run` alone means the binary's package.
        let command = format!("`cargo run -p lb-core --example {name} -- ");
        assert!(fs::read_to_string(&path).unwrap().contains(&command), "{name} does not say {command}");
    }
}

/// Every page but those of others' and of what was built.
fn pages() -> Vec<PathBuf> {
    let rooms = [
        ".",
        "docs",
        "docker",
        "packaging",
        "benches",
        "benches/profile",
        "fuzz",
        "lb-core",
        "conf/certificates",
    ];
    rooms.iter().flat_map(|room| markdown_in(&root().join(room))).collect()
}

fn markdown_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The targets of `[text](target)`, but not in code.
fn links_of(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next())
}

/// Whether a page has a heading of this anchor, as forges make them of headings.
fn has_heading(page: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| slug(heading.trim_start_matches('#'))).any(|slug| slug == anchor)
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
