//! One line of diagnostics, in logfmt or as a JSON object.
//!
//! The keys are the same in both, `time`, `level` and `msg` first. A value of logfmt is quoted where it has to be, with
//! JSON's escapes: that is how its readers take it.

use std::fmt::{self, Display, Write};

use lb_core::config::LogFormat;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// A line while it is written.
#[derive(Debug)]
pub(crate) struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    /// A line of now that says `message`.
    pub(crate) fn new(format: LogFormat, level: tracing::Level, message: &str) -> Self {
        let mut time = String::new();
        // Writing to a String can't fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let level = match level {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warn",
            tracing::Level::INFO => "info",
            tracing::Level::DEBUG => "debug",
            tracing::Level::TRACE => "trace",
        };
        let line = Self { format, text: String::new() };
        line.text("time", &time).text("level", level).text("msg", message)
    }

    /// Adds a text.
    pub(crate) fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        if self.format == LogFormat::Json || needs_quotes(value) {
            quote(value, &mut self.text);
        } else {
            self.text.push_str(value);
        }
        self
    }

    /// Adds a number or a truth value, which JSON has without quotes.
    pub(crate) fn plain(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        let _ = write!(self.text, "{value}");
        self
    }

    /// The whole line.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.text.push_str(match self.format {
            LogFormat::Json => "}\n",
            LogFormat::Logfmt => "\n",
        });
        self.text.into_bytes()
    }

    fn key(&mut self, key: &str) {
        let is_first = self.text.is_empty();
        match self.format {
            LogFormat::Json => {
                self.text.push(if is_first { '{' } else { ',' });
                quote(key, &mut self.text);
                self.text.push(':');
            }
            LogFormat::Logfmt => {
                self.text.push_str(if is_first { "" } else { " " });
                self.text.push_str(key);
                self.text.push('=');
            }
        }
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"'))
}

/// RFC 8259 section 7.
fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        let _ = match c {
            '"' => out.write_str("\\\""),
            '\\' => out.write_str("\\\\"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out.push('"');
}

/// The fields of an event, its message apart.
#[derive(Debug, Default)]
pub(super) struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Plain(String),
}

impl Fields {
    pub(super) fn line(self, format: LogFormat, level: tracing::Level) -> Line {
        let line = Line::new(format, level, &self.message);
        self.others.into_iter().fold(line, |line, (key, value)| match value {
            Value::Text(text) => line.text(key, &text),
            Value::Plain(text) => line.plain(key, text),
        })
    }

    fn plain(&mut self, field: &Field, value: impl Display) {
        self.others.push((field.name(), Value::Plain(value.to_string())));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, Value::Text(value.to_owned()))),
        }
    }

    /// Also what is given as `%value`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number.
        if value.is_finite() { self.plain(field, value) } else { self.record_str(field, &value.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_level(format: LogFormat, write: impl Fn(Line) -> Line) -> String {
        let line =
            String::from_utf8(write(Line::new(format, tracing::Level::WARN, "it failed")).end()).unwrap();
        let from = line.find("level").unwrap();
        line[from..].to_owned()
    }

    #[test]
    fn values_are_quoted_where_they_have_to_be() {
        for (value, logfmt) in [
            ("plain", "plain"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("say \"x\"", "\"say \\\"x\\\"\""),
            ("a\nb\u{1b}[0m", "\"a\\nb\\u001b[0m\""),
            ("Zo\u{eb}", "Zo\u{eb}"),
        ] {
            assert_eq!(
                after_level(LogFormat::Logfmt, |line| line.text("key", value).plain("count", 3)),
                format!("level=warn msg=\"it failed\" key={logfmt} count=3\n")
            );
            let json = Line::new(LogFormat::Json, tracing::Level::WARN, "it failed").text("key", value).end();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!((json["key"].as_str(), json["level"].as_str()), (Some(value), Some("warn")));
        }
    }

    #[test]
    fn numbers_of_json_are_numbers() {
        let said = after_level(LogFormat::Json, |line| line.plain("count", 3).plain("is_open", true));
        assert_eq!(said, "level\":\"warn\",\"msg\":\"it failed\",\"count\":3,\"is_open\":true}\n");
    }
}
