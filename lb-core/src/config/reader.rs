//! Reading typed values out of a spanned TOML tree, collecting every problem on the way.
//!
//! Serde stops at the first error; an operator wants all of them. So a table of the file is read key by key through
//! [`Keys`], which reports wrong types where they stand, goes on with the default, and at the end reports the keys
//! that nobody asked for. What a type looks like in the file is its [`Read`], for tables its [`Record`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{At, Place, Problems, quoted};
use super::hints::suggestion;
use super::substitute::{Environment, substitute};
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

    /// The number, whole or not.
    pub(crate) fn number(self) -> Result<f64, Miss> {
        match self.raw.get_ref() {
            DeValue::Float(number) => number.as_str().parse().map_err(|_| Miss::Type),
            DeValue::Integer(number) => number.as_str().parse().map_err(|_| Miss::Type),
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
        Ok(Keys {
            pass: self.pass,
            table,
            kind,
            name: self.key,
            place: self.key_place,
            known: Vec::with_capacity(16),
        })
    }

    /// The elements of an array.
    pub(crate) fn items(self) -> Result<impl Iterator<Item = Self>, Miss> {
        let DeValue::Array(items) = self.raw.get_ref() else { return Err(Miss::Type) };
        Ok(items.iter().map(move |raw| Self { raw, key_place: self.pass.place(raw), ..self }))
    }

    /// Whether it is an array of nothing.
    pub(crate) fn is_empty_list(self) -> bool {
        matches!(self.raw.get_ref(), DeValue::Array(items) if items.is_empty())
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
