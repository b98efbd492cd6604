//! What single values look like in the file: texts, numbers, durations, sizes, words, lists.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::diagnostics::{At, quoted};
use super::hints::suggestion;
use super::reader::{Miss, Read, Record, Value};
use super::units::{Period, Size, UnitError};
use super::unsupported::{Support, support};

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

/// A part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Share(pub(crate) f64);

impl Read for Share {
    const WANTED: (&'static str, &'static str) = ("a number from 0 to 1", "0.2");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let share = value.number()?;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(value.wrong(format_args!("{share} is no share of a whole"), "write a number from 0 to 1"))
    }
}

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

/// A table, or `true` for one that says nothing and `false` for none.
#[derive(Debug)]
pub(crate) struct Switch<T>(pub(crate) Option<T>);

impl<T: Record + Default> Read for Switch<T> {
    const WANTED: (&'static str, &'static str) = ("true, false or a table", "true");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        match value.boolean() {
            Ok(is_on) => Ok(Self(is_on.then(T::default))),
            Err(Miss::Said) => Err(Miss::Said),
            Err(Miss::Type) => T::read(value).map(|table| Self(Some(table))),
        }
    }
}

/// What can be [`Parsed`], by its name in messages and with an example, as [`Read::WANTED`].
pub(crate) trait Named {
    const NAMED: (&'static str, &'static str);
}

/// A text together with what it means to the library. Serialised and compared as the text.
#[derive(Debug, Clone)]
pub(crate) struct Parsed<T> {
    pub(crate) text: String,
    pub(crate) value: T,
}

impl<T: Named + FromStr<Err: fmt::Display>> Read for Parsed<T> {
    const WANTED: (&'static str, &'static str) = T::NAMED;

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
