//! Holds the instruction counts of `instructions.rs` against `instructions.baseline`.
//!
//! ```console
//! cargo run -p benches --bin instructions             # fails where a count grew by more than 3 %
//! cargo run -p benches --bin instructions -- --update # writes the baseline anew; commit it
//! ```
//!
//! Counts depend on the compiler: after a new one, update. What the hash seeds of a run move (a
//! count that differs by a few in ten thousand) is far below the limit.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

/// By how many percent a count may grow before somebody has to say that it should.
const LIMIT: u64 = 3;

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let is_update = env::args().any(|argument| argument == "--update");
    match run(is_update) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(is_update: bool) -> Result<bool, String> {
    let counts = count()?;
    if is_update {
        let text = counts.iter().fold(String::new(), |mut text, (name, count)| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{name} {count}");
            text
        });
        fs::write(baseline(), text).map_err(|error| format!("{}: {error}", baseline().display()))?;
        println!("{} counts written to {}", counts.len(), baseline().display());
        return Ok(true);
    }
    let text =
        fs::read_to_string(baseline()).map_err(|error| format!("{}: {error}", baseline().display()))?;
    let (lines, is_fine) = compare(&read_baseline(&text), &counts);
    println!("{}", lines.join("\n"));
    if !is_fine {
        println!(
            "\na count grew by more than 3 %, or came or went: if it should, run with --update and commit"
        );
    }
    Ok(is_fine)
}

fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.baseline")
}

/// Runs the benchmark and reads its report. Compiled without the profile (`benches/profile`),
/// which knows nothing of code that was edited since: counts would jump with every edit. In
/// a folder of its own, since cargo does not compile again where only the wrapper differs.
fn count() -> Result<Counts, String> {
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["bench", "-p", "benches", "--bench", "instructions", "--profile", "instructions"])
        .args(["--target-dir", "target/instructions"])
        .env("RUSTC_WRAPPER", "")
        .env("GUNGRAUN_COLOR", "never")
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let counts = read_report(&printed);
    if !output.status.success() || counts.is_empty() {
        return Err(format!(
            "cargo bench ({}) did not count; valgrind and gungraun-runner are needed",
            output.status
        ));
    }
    Ok(counts)
}

/// A report names a benchmark (`instructions::steps::pick round_robin_2:view(...)`) and then its counts.
fn read_report(printed: &str) -> Counts {
    let mut counts = Counts::new();
    let mut name = None;
    for line in printed.lines() {
        if let Some(rest) = line.strip_prefix("instructions::") {
            let mut words = rest.split([' ', ':']).filter(|word| !word.is_empty());
            // The group, the function, the case.
            name = words.nth(1).zip(words.next()).map(|(function, case)| format!("{function}/{case}"));
        } else if let Some(rest) = line.trim_start().strip_prefix("Instructions:") {
            let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            if let (Some(name), Ok(count)) = (name.take(), digits.parse()) {
                counts.insert(name, count);
            }
        }
    }
    counts
}

fn read_baseline(text: &str) -> Counts {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(n, c)| Some((n.into(), c.parse().ok()?)))
        .collect()
}

/// A line for each count, and whether all of them hold.
fn compare(before: &Counts, now: &Counts) -> (Vec<String>, bool) {
    let mut is_fine = true;
    let mut lines = Vec::new();
    for (name, count) in now {
        let Some(then) = before.get(name) else {
            is_fine = false;
            lines.push(format!("{name:36} {count:>10}  not in the baseline"));
            continue;
        };
        let growth = *count as f64 / *then as f64 - 1.0;
        let is_over = count * 100 > then * (100 + LIMIT);
        is_fine &= !is_over;
        let mark = if is_over { "  too much" } else { "" };
        lines.push(format!("{name:36} {count:>10}  {:+.2} %{mark}", growth * 100.0));
    }
    for name in before.keys().filter(|name| !now.contains_key(*name)) {
        is_fine = false;
        lines.push(format!("{name:36} {:>10}  in the baseline, but no longer measured", "-"));
    }
    (lines, is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_report_is_read() {
        let printed = "instructions::steps::pick round_robin_2:view(RoundRobin, 2)\n  \
                       Instructions:                          1733|N/A             (*********)\n  L1 Hits: 1|2\n";
        assert_eq!(read_report(printed), counts(&[("pick/round_robin_2", 1733)]));
    }

    #[test]
    fn three_percent_is_fine_and_more_is_not() {
        let before = counts(&[("a", 1000)]);
        assert!(compare(&before, &counts(&[("a", 1030)])).1);
        assert!(!compare(&before, &counts(&[("a", 1031)])).1);
        assert!(compare(&before, &counts(&[("a", 10)])).1);
    }

    #[test]
    fn what_came_or_went_needs_an_update() {
        let before = counts(&[("a", 1000)]);
        assert!(!compare(&before, &counts(&[("a", 1000), ("b", 1)])).1);
        assert!(!compare(&before, &counts(&[])).1);
    }
}
