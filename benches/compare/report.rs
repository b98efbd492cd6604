//! The findings as text: a table for the terminal, the same in Markdown, every sample in CSV.

use std::fmt::Write;

use crate::result::{Findings, Row};
use crate::scenario::Work;
use crate::statistics::Spread;

/// One scenario, columns aligned.
pub(crate) fn terminal(findings: &Findings) -> String {
    let table = table(findings);
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = format!("\n{}: {}\n", findings.scenario.name, findings.scenario.what);
    for row in &table {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String can't fail, here and below.
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    for left_out in &findings.left_out {
        let _ = writeln!(text, "{left_out}");
    }
    text
}

/// All scenarios, a section each.
pub(crate) fn markdown(all: &[Findings]) -> String {
    let mut text = String::new();
    for findings in all {
        let _ = writeln!(text, "### {}: {}\n", findings.scenario.name.to_uppercase(), findings.scenario.what);
        for (index, row) in table(findings).iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                let _ = writeln!(text, "|{}", " --- |".repeat(row.len()));
            }
        }
        text.push('\n');
        for left_out in &findings.left_out {
            let _ = writeln!(text, "- {left_out}");
        }
        if !findings.left_out.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// Every sample, so that other questions can be asked of them.
pub(crate) fn csv(all: &[Findings]) -> String {
    let mut text = String::from(
        "scenario,subject,round,unit,value,cpu_s,user_s,system_s,requests,bytes,seconds,failed,\
         p50_us,p99_us,p999_us,resident_bytes,anonymous_bytes\n",
    );
    for findings in all {
        for sample in &findings.samples {
            let outcome = &sample.outcome;
            let micros = |latency: Option<std::time::Duration>| {
                latency.map(|latency| latency.as_micros().to_string()).unwrap_or_default()
            };
            let _ = writeln!(
                text,
                "{},{},{},{},{},{:.6},{:.2},{:.2},{},{},{:.3},{},{},{},{},{},{}",
                findings.scenario.name,
                sample.subject.name(),
                sample.round,
                findings.scenario.unit.name(),
                sample.value,
                sample.cpu.total.as_secs_f64(),
                sample.cpu.user.as_secs_f64(),
                sample.cpu.system.as_secs_f64(),
                outcome.requests,
                outcome.bytes,
                outcome.elapsed.as_secs_f64(),
                outcome.failed(),
                micros(outcome.latency.map(|latency| latency.p50)),
                micros(outcome.latency.map(|latency| latency.p99)),
                micros(outcome.latency.and_then(|latency| latency.p999)),
                sample.memory.resident,
                sample.memory.anonymous,
            );
        }
    }
    text
}

/// A head and a row for each subject; nothing where nothing was measured.
fn table(findings: &Findings) -> Vec<Vec<String>> {
    let rows = findings.rows();
    if rows.is_empty() {
        return Vec::new();
    }
    let beside: Vec<String> = beside(findings, &rows);
    let mut head = vec!["proxy".to_owned(), findings.scenario.unit.name().to_owned(), "in kernel".to_owned()];
    head.extend(beside.iter().map(|name| format!("of {name}")));
    head.extend(["requests/s", "p50 µs", "p99 µs", "p99.9 µs", "resident MB"].map(str::to_owned));
    let counts_failures = matches!(findings.scenario.work, Work::Reloads { .. });
    if counts_failures {
        head.push("failed".to_owned());
    }
    let mut table = vec![head];
    for row in &rows {
        let mut cells =
            vec![row.subject.name(), figure(findings, row), format!("{:.0}%", row.system_share * 100.0)];
        cells.extend(beside.iter().map(|name| ratio(row, name)));
        cells.push(format!("{:.0}", row.rate));
        cells
            .extend(row.latency.map(|micros| micros.map_or("-".to_owned(), |micros| format!("{micros:.0}"))));
        cells.push(format!("{:.1}", row.resident_bytes / 1e6));
        if counts_failures {
            cells.push(format!("{} of {}", row.failed, row.requests + row.failed));
        }
        table.push(cells);
    }
    table
}

/// The references any row has, in order.
fn beside(findings: &Findings, rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        for reference in findings.scenario.references(row.subject) {
            let name = column(row, reference.name());
            if row.ratios.iter().any(|(measured, _)| *measured == reference) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Where each subject is compared with itself, one column serves all.
fn column(row: &Row, reference: String) -> String {
    if row.subject.routes > 2 { "itself with 2".to_owned() } else { reference }
}

fn figure(findings: &Findings, row: &Row) -> String {
    let Spread { median, least, greatest } = row.value;
    let unit = findings.scenario.unit;
    format!("{} ({} to {})", unit.format(median), unit.format(least), unit.format(greatest))
}

fn ratio(row: &Row, name: &str) -> String {
    let found = row.ratios.iter().find(|(reference, _)| column(row, reference.name()) == name);
    found.map_or("-".to_owned(), |(_, Spread { median, least, greatest })| {
        format!("{median:.2} ({least:.2} to {greatest:.2})")
    })
}
