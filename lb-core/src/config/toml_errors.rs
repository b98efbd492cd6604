//! What the TOML parser says, in the words of a diagnostic.
//!
//! The parser recovers and reports several errors of a file, each as `what, expected a, b`.

use toml::de::Error;

use super::diagnostics::{Place, Problems, quoted};

/// Notes one syntax error of the file numbered `file`, whose text is `text`.
pub(crate) fn note(error: &Error, file: usize, text: &str, problems: &Problems) {
    let span = error.span().unwrap_or(0..0);
    let place = Place { file, offset: span.start };
    let blamed = quoted(text.get(span).unwrap_or_default().trim_end());
    if let Some((start, phrase)) = typographic(text, place.offset) {
        let place = Place { file, offset: start };
        let remedy = format!("write {}", quoted(phrase.trim_matches(TYPOGRAPHIC)));
        return problems.syntax(
            place,
            format_args!("{phrase} is in typographic quotes, which mean nothing"),
            remedy,
        );
    }
    let message = error.message();
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, "nothing"));
    match what {
        "duplicate key" => {
            problems.syntax(
                place,
                format_args!("{blamed} is defined twice"),
                "keep one, or rename one of them",
            );
        }
        "string values must be quoted" if blamed == "\"\"" => {
            problems.syntax(place, "a value is missing", "write it after the `=`");
        }
        "string values must be quoted" => {
            problems.syntax(place, "a text without quotes is no value", format_args!("write {blamed}"));
        }
        _ if expected == "nothing" => {
            let (start, token) = token_at(text, place.offset);
            let place = Place { file, offset: start };
            problems.syntax(
                place,
                format_args!("{what}: {}", quoted(token)),
                "put it in quotes if it is a text",
            );
        }
        _ => problems.syntax(place, what, format_args!("{} {}", verb(expected), or(expected))),
    }
}

/// What word processors and web pages make of `"` and `'`.
const TYPOGRAPHIC: &[char] = &['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '″', '′'];

/// The phrase in typographic quotes that `offset` is in, and where it begins.
fn typographic(text: &str, offset: usize) -> Option<(usize, &str)> {
    let line_start = text.get(..offset)?.rfind('\n').map_or(0, |at| at + 1);
    let line = text.get(line_start..)?.lines().next()?;
    let mut quotes = line.match_indices(TYPOGRAPHIC).map(|(at, quote)| (at, at + quote.len()));
    while let Some((start, behind)) = quotes.next() {
        let end = quotes.next().map_or(line.len().max(behind), |(_, end)| end);
        if (line_start + start..line_start + end).contains(&offset) {
            return Some((line_start + start, line.get(start..end)?));
        }
    }
    None
}

/// The whole word around `offset`: the parser blames an address without quotes from its second dot on.
fn token_at(text: &str, offset: usize) -> (usize, &str) {
    let is_border = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '"' | '#');
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start =
        before.rfind(is_border).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let end = offset + after.find(is_border).unwrap_or(after.len());
    (start, text.get(start..end).unwrap_or_default())
}

fn verb(expected: &str) -> &'static str {
    if expected.contains("newline") { "begin a new line: the parser wants" } else { "write" }
}

fn or(expected: &str) -> String {
    match expected.rsplit_once(", ") {
        Some((first, last)) => format!("{first} or {last}"),
        None => expected.to_owned(),
    }
}
