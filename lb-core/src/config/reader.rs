//! Reading typed values out of a spanned TOML tree, collecting every problem on the way.
//!
//! Serde stops at the first error; an operator wants all of them. So a table of the file is read key by key through
//! [`Keys`], which reports wrong types where they stand, goes on with the default, and at the end reports the keys
//! that nobody asked for. What a type looks like in the file is its [`Read`], for tables its [`Record`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{At, Place, Problems, quoted};
use super::substitute::{Environment, substitute};
use super::units::{Period, Size, UnitError};
use super::unsupported::{Support, support};

/// What reading one file needs everywhere.
pub(crate) struct Pass<'a> {
    pub(crate) file: usize,
    pub(crate) text: &'a str,
    /// Whether all of the text was TOML. Otherwise absences say nothing: the key may stand in the lost part.
    pub(crate) is_whole: bool,
    pub(crate) env: &'a Environment<'a>,
    pub(crate) problems: &'a Problems,
}

/// Why a value was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// It has another type than asked for; nothing was reported yet.
    Type,
    /// Reported.
    Said,
}

/// A type that a value of the file can be.
pub(crate) trait Read: Sized {
    /// What a message asks for, with an article, and an example: `"a duration"`, `"\"2s\""`.
    const WANTED: (&'static str, &'static str);

    /// Reads `value`. Parts that are wrong are reported, and where possible the rest is read nevertheless.
    fn read(value: Value<'_>) -> Result<Self, Miss>;
}

/// A type that is a table of the file.
pub(crate) trait Record: Sized {
    /// The word for such a table, which messages use.
    const KIND: &'static str;

    /// Takes every key it knows from `keys`; what is left is reported as unknown by the caller.
    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss>;
}

impl<T: Record> Read for T {
    const WANTED: (&'static str, &'static str) = ("a table", "{ key = \"value\" }");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let mut keys = value.keys(T::KIND)?;
        let record = T::record(&mut keys);
        keys.finish();
        record
    }
}

/// A value of the file.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pass: &'a Pass<'a>,
    raw: &'a Spanned<DeValue<'a>>,
    /// The key it stands under, for messages.
    key: &'a str,
    /// Where the key stands: the place to blame for what a table lacks.
    key_place: Place,
}

impl<'a> Value<'a> {
    pub(crate) fn place(self) -> Place {
        self.pass.place(self.raw)
    }

    /// The string with its variables replaced.
    pub(crate) fn text(self) -> Result<Cow<'a, str>, Miss> {
        let DeValue::String(text) = self.raw.get_ref() else { return Err(Miss::Type) };
        substitute(text, self.pass.env).map_err(|error| {
            let span = self.raw.span();
            let written = self.pass.text.get(span.clone()).unwrap_or_default();
            let offset = span.start + written.find(&error.blamed()).unwrap_or(0);
            self.pass.problems.wrong(Place { file: self.pass.file, offset }, &error, error.remedy());
            Miss::Said
        })
    }

    /// The whole number. A string that a variable made may be one too: there is no other way to put a number into
    /// the environment.
    pub(crate) fn integer(self) -> Result<i128, Miss> {
        match self.raw.get_ref() {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| self.wrong(format_args!("{number} is out of range"), "write a smaller number")),
            DeValue::String(_) => self.substituted()?.ok_or(Miss::Type),
            _ => Err(Miss::Type),
        }
    }

    pub(crate) fn boolean(self) -> Result<bool, Miss> {
        match self.raw.get_ref() {
            DeValue::Boolean(value) => Ok(*value),
            DeValue::String(_) => self.substituted()?.ok_or(Miss::Type),
            _ => Err(Miss::Type),
        }
    }

    /// Whether it is a table.
    pub(crate) fn is_table(self) -> bool {
        matches!(self.raw.get_ref(), DeValue::Table(_))
    }

    /// The table, to be read key by key.
    pub(crate) fn keys(self, kind: &'static str) -> Result<Keys<'a>, Miss> {
        let DeValue::Table(table) = self.raw.get_ref() else { return Err(Miss::Type) };
        Ok(Keys { pass: self.pass, table, kind, name: self.key, place: self.key_place, known: Vec::new() })
    }

    /// The elements of an array.
    pub(crate) fn items(self) -> Result<impl Iterator<Item = Self>, Miss> {
        let DeValue::Array(items) = self.raw.get_ref() else { return Err(Miss::Type) };
        Ok(items.iter().map(move |raw| Self { raw, key_place: self.pass.place(raw), ..self }))
    }

    /// The entries of a table whose keys are the operator's own.
    pub(crate) fn entries(self) -> Result<impl Iterator<Item = (At<String>, Self)>, Miss> {
        let DeValue::Table(table) = self.raw.get_ref() else { return Err(Miss::Type) };
        Ok(table.iter().map(move |(key, raw)| {
            let place = self.pass.place(key);
            (
                At::new(key.get_ref().to_string(), place),
                Self { raw, key: key.get_ref(), key_place: place, ..self },
            )
        }))
    }

    /// Reads it as `T`; what is wrong is reported.
    pub(crate) fn read<T: Read>(self) -> Option<At<T>> {
        match T::read(self) {
            Ok(value) => Some(At::new(value, self.place())),
            Err(Miss::Said) => None,
            Err(Miss::Type) => {
                let (what, example) = T::WANTED;
                let Self { key, .. } = self;
                let found = found(self.raw.get_ref());
                self.wrong(
                    format_args!("`{key}` is {found}, not {what}"),
                    format_args!("write, for example, {example}"),
                );
                None
            }
        }
    }

    /// Reports what is wrong with it.
    pub(crate) fn wrong(self, what: impl fmt::Display, remedy: impl fmt::Display) -> Miss {
        self.pass.problems.wrong(self.place(), what, remedy);
        Miss::Said
    }

    /// Reports an error that brings its remedy along.
    pub(crate) fn said(self, error: impl fmt::Display) -> Miss {
        self.pass.problems.said(self.place(), error);
        Miss::Said
    }

    fn substituted<T: FromStr>(self) -> Result<Option<T>, Miss> {
        let text = self.text()?;
        let is_substituted = matches!(text, Cow::Owned(_));
        Ok(text.trim().parse().ok().filter(|_| is_substituted))
    }
}

/// A table of the file while it is read.
pub(crate) struct Keys<'a> {
    pass: &'a Pass<'a>,
    table: &'a DeTable<'a>,
    kind: &'static str,
    name: &'a str,
    place: Place,
    /// Every key asked for so far: what suggestions are made of.
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// The root table of a file.
    pub(crate) fn root(pass: &'a Pass<'a>, table: &'a DeTable<'a>) -> Self {
        let place = Place { file: pass.file, offset: 0 };
        Self { pass, table, kind: "configuration", name: "", place, known: Vec::new() }
    }

    /// The value under `key`. `None`: absent, or wrong and reported.
    pub(crate) fn take<T: Read>(&mut self, key: &'static str) -> Option<At<T>> {
        self.value(key)?.read()
    }

    /// The value under `key`, or `default`.
    pub(crate) fn or<T: Read>(&mut self, key: &'static str, default: T) -> T {
        self.take(key).map_or(default, |at| at.value)
    }

    /// The value under `key`, which must be there.
    pub(crate) fn need<T: Read>(&mut self, key: &'static str) -> Result<At<T>, Miss> {
        match self.value(key) {
            Some(value) => value.read().ok_or(Miss::Said),
            None => {
                let (_, example) = T::WANTED;
                self.lacks(format_args!("no `{key}`"), format_args!("add `{key} = {example}`"));
                Err(Miss::Said)
            }
        }
    }

    /// The value under `key` as it stands.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (written, raw) = self.table.get_key_value(key)?;
        Some(Value { pass: self.pass, raw, key, key_place: self.pass.place(written) })
    }

    /// Reports what the table must have and has not.
    pub(crate) fn lacks(&self, what: impl fmt::Display, remedy: impl fmt::Display) {
        if self.pass.is_whole {
            let subject = self.subject();
            self.pass.problems.wrong(self.place, format_args!("{subject} has {what}"), remedy);
        }
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, raw) in self.table {
            let name = key.get_ref();
            if self.known.contains(&name.as_ref()) {
                continue;
            }
            let place = self.pass.place(key);
            match support(self.kind, name) {
                Support::NotYet { off } if off.is_some_and(|off| is_written(raw.get_ref(), off)) => {}
                Support::NotYet { .. } => {
                    self.pass.problems.wrong(
                        place,
                        format_args!("`{name}` is not supported yet"),
                        "remove it",
                    );
                }
                Support::Unlisted => {
                    let what = format!("unknown key {} in {}", quoted(name), self.subject());
                    self.pass.problems.wrong(place, what, suggestion(name, &self.known));
                }
            }
        }
    }

    /// The key the table stands under: the name of a frontend or backend.
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    pub(crate) fn problems(&self) -> &'a Problems {
        self.pass.problems
    }

    fn subject(&self) -> String {
        match self.kind {
            "configuration" => "the configuration".to_owned(),
            "frontend" | "backend" => format!("{} {}", self.kind, self.name),
            "route" | "server" | "condition" => format!("this {}", self.kind),
            kind => format!("`{kind}`"),
        }
    }
}

impl Pass<'_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        Place { file: self.file, offset: spanned.span().start }
    }
}

/// What to write instead of the unknown `key`.
pub(crate) fn suggestion(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().min_by_key(|name| strsim::damerau_levenshtein(key, name));
    let allowed = key.chars().count().div_ceil(3);
    match nearest {
        Some(name) if strsim::damerau_levenshtein(key, name) <= allowed => format!("did you mean `{name}`?"),
        _ if known.is_empty() => "remove it".to_owned(),
        _ => {
            let mut known = known.to_vec();
            known.sort_unstable();
            format!("remove it, or use one of {}", known.join(", "))
        }
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn is_written(value: &DeValue<'_>, off: &str) -> bool {
    match value {
        DeValue::String(text) => text == off,
        DeValue::Boolean(value) => off == if *value { "true" } else { "false" },
        _ => false,
    }
}

impl Read for String {
    const WANTED: (&'static str, &'static str) = ("a string", "\"text\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        Ok(value.text()?.into_owned())
    }
}

impl Read for bool {
    const WANTED: (&'static str, &'static str) = ("true or false", "true");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        value.boolean()
    }
}

macro_rules! read_whole_number {
    ($($type:ty),*) => {$(
        impl Read for $type {
            const WANTED: (&'static str, &'static str) = ("a whole number", "10");

            fn read(value: Value<'_>) -> Result<Self, Miss> {
                let number = value.integer()?;
                Self::try_from(number).map_err(|_| match number {
                    ..0 => value.wrong(format_args!("{number} is negative"), "write 0 or more"),
                    _ => value.wrong(format_args!("{number} is too large"), format_args!("write at most {}", Self::MAX)),
                })
            }
        }
    )*};
}
read_whole_number!(u16, u32, usize);

impl Read for Period {
    const WANTED: (&'static str, &'static str) =
        ("a duration in quotes with its unit", "\"500ms\", \"2s\", \"1m\" or \"1h\"");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let text = value.text()?;
        text.parse().map_err(|error| unit_problem(value, &text, "duration", error, Self::WANTED.1))
    }
}

/// Reads one of a few words; `kind` says what they are.
pub(crate) fn choice<T: Copy>(
    value: Value<'_>,
    kind: &str,
    choices: &[(&'static str, T)],
) -> Result<T, Miss> {
    let text = value.text()?;
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*choice);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let remedy = suggestion(&text, &names).replace("remove it, or use one of", "use one of");
    let text = quoted(&text);
    Err(match support(kind, &text.replace('"', "")) {
        Support::NotYet { .. } => value.wrong(format_args!("{kind} {text} is not supported yet"), remedy),
        Support::Unlisted => value.wrong(format_args!("unknown {kind} {text}"), remedy),
    })
}

/// A [`Period`] that must not be zero: nothing can be done in no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positive(Period);

impl Positive {
    pub(crate) const fn new(duration: Duration) -> Self {
        Self(Period(duration))
    }

    pub(crate) fn duration(self) -> Duration {
        self.0.0
    }
}

impl Read for Positive {
    const WANTED: (&'static str, &'static str) = Period::WANTED;

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let period = Period::read(value)?;
        if period.0.is_zero() {
            return Err(value.wrong("the duration is zero", "write at least \"1ms\""));
        }
        Ok(Self(period))
    }
}

impl Serialize for Positive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Read for Size {
    const WANTED: (&'static str, &'static str) = ("a size", "\"64KiB\" or 65536");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        match value.text() {
            Ok(text) => {
                text.parse().map_err(|error| unit_problem(value, &text, "size", error, Self::WANTED.1))
            }
            Err(Miss::Type) => {
                let bytes = value.integer()?;
                let error = if bytes < 0 { UnitError::Negative } else { UnitError::TooLarge };
                let bytes = u64::try_from(bytes)
                    .map_err(|_| unit_problem(value, &bytes.to_string(), "size", error, Self::WANTED.1))?;
                Ok(Self(bytes))
            }
            Err(Miss::Said) => Err(Miss::Said),
        }
    }
}

fn unit_problem(value: Value<'_>, text: &str, what: &str, error: UnitError, example: &str) -> Miss {
    let text = quoted(text);
    match error {
        UnitError::Unreadable => value.wrong(
            format_args!("{text} is no {what}"),
            format_args!("write a whole number and a unit, for example {example}"),
        ),
        UnitError::TooLarge => {
            value.wrong(format_args!("the {what} {text} is too large"), "write a smaller one")
        }
        UnitError::Negative => {
            value.wrong(format_args!("the {what} {text} is negative"), "write zero or more")
        }
    }
}

impl<T: Read> Read for Vec<At<T>> {
    const WANTED: (&'static str, &'static str) = ("a list", "[\"a\", \"b\"]");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        Ok(value.items()?.filter_map(Value::read).collect())
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Several<T>(pub(crate) Vec<At<T>>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Read> Read for Several<T> {
    const WANTED: (&'static str, &'static str) = T::WANTED;

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        match Vec::read(value) {
            Err(Miss::Type) => Ok(Self(vec![At::new(T::read(value)?, value.place())])),
            list => list.map(Self),
        }
    }
}

/// A text together with what it means to the library. Serialised and compared as the text.
#[derive(Debug, Clone)]
pub(crate) struct Parsed<T> {
    pub(crate) text: String,
    pub(crate) value: T,
}

impl<T: FromStr<Err: fmt::Display>> Read for Parsed<T> {
    const WANTED: (&'static str, &'static str) = String::WANTED;

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let text = value.text()?.into_owned();
        let parsed = text.parse().map_err(|error| value.said(error))?;
        Ok(Self { text, value: parsed })
    }
}

impl<T> PartialEq for Parsed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Serialize for Parsed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
