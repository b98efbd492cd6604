//! The reference of metrics and reasons, `docs/metrics.md` and `docs/reasons.md`, made from the lists in this room.

use std::fmt::Write;

use super::handshake::HandshakeResult;
use super::names;
use super::reason::Reason;

const METRICS: &str = "\
# Metrics

<!-- Generated from lb-core/src/metrics. Edit that; then: LB_DOCS=write cargo test -p lb-core --lib reference -->

`[admin]` serves them at `/metrics`, in Prometheus' text format. Values of labels are names of your file and words of the
lists below, so that no client can make series.

| metric | type | labels | says |
| --- | --- | --- | --- |
";

const HANDSHAKES: &str = "
## Results of TLS handshakes

The label `result` of `lb_tls_handshakes_total`:

| result | means |
| --- | --- |
";

const REASONS: &str = "\
# Reasons

<!-- Generated from lb-core/src/metrics/reason.rs. Edit that; then: LB_DOCS=write cargo test -p lb-core --lib reference -->

Each request or connection that went wrong has one: `reason` in the access log, a label of `lb_request_errors_total`. The
number is the status that the client got, where it got one.

| reason | means |
| --- | --- |
";

#[test]
fn the_reference_of_metrics_is_as_generated() {
    let mut page = METRICS.to_owned();
    for name in names::ALL {
        let labels = name.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let kind = format!("{:?}", name.kind).to_lowercase();
        // Writing to a String can't fail.
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", name.name, name.help);
    }
    page.push_str(HANDSHAKES);
    let source = include_str!("handshake.rs");
    for result in HandshakeResult::ALL {
        let meaning = comment_of(&format!("{result:?}"), source);
        let _ = writeln!(page, "| `{}` | {meaning} |", result.as_str());
    }
    crate::generated::assert_is("docs/metrics.md", &page);
}

#[test]
fn the_reference_of_reasons_is_as_generated() {
    let mut page = REASONS.to_owned();
    for reason in Reason::ALL {
        let meaning = comment_of(&format!("{reason:?}"), include_str!("reason.rs"));
        let _ = writeln!(page, "| `{reason}` | {meaning} |");
    }
    crate::generated::assert_is("docs/reasons.md", &page);
}

/// What the source says of a variant in the lines above it.
fn comment_of(variant: &str, source: &str) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| *line == format!("{variant},")).expect("the variant");
    let above = lines[..at].iter().rev().map_while(|line| line.strip_prefix("/// "));
    let comment: Vec<&str> = above.collect();
    assert!(!comment.is_empty(), "{variant} has no comment");
    comment.into_iter().rev().collect::<Vec<_>>().join(" ")
}
