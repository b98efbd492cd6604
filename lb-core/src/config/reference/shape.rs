//! What the reader accepts, found out by asking it: each place gets a value of each type, and messages tell the rest.
//!
//! A second description of the keys would differ from the reader one day. Its messages can't: they are its own.

use toml::{Table, Value};

use crate::config::load_text;

/// A key that no table knows.
const UNKNOWN: &str = "zzzzzzzzzzzz";
/// A word that is no choice anywhere.
const NO_CHOICE: &str = "?";

/// What may stand at one place of the file.
#[derive(Debug)]
pub(super) struct Shape {
    /// In the words of the reader's own messages: "a duration in quotes with its unit".
    pub(super) wanted: String,
    pub(super) has_booleans: bool,
    pub(super) has_integers: bool,
    pub(super) has_fractions: bool,
    pub(super) strings: Strings,
    pub(super) items: Option<Box<Self>>,
    pub(super) fields: Option<Fields>,
}

#[derive(Debug)]
pub(super) enum Strings {
    None,
    Any,
    OneOf(Vec<String>),
}

#[derive(Debug)]
pub(super) enum Fields {
    /// Keys of the file's own, in the order of the alphabet.
    Known(Vec<Field>),
    /// Names that the operator chooses.
    Named(Box<Shape>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) is_required: bool,
    pub(super) shape: Shape,
}

/// A step from a table to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item,
}

impl Shape {
    /// Of a whole file.
    pub(super) fn of_file() -> Self {
        let fields = known_fields(&[]).expect("the root table has known keys");
        Self::of_table("a table".to_owned(), Some(Fields::Known(fields)))
    }

    fn of_table(wanted: String, fields: Option<Fields>) -> Self {
        let (has_booleans, has_integers, has_fractions) = (false, false, false);
        Self {
            wanted,
            has_booleans,
            has_integers,
            has_fractions,
            strings: Strings::None,
            items: None,
            fields,
        }
    }

    fn at(path: &[Step]) -> Self {
        assert!(path.len() < 12, "a file without end: {path:?}");
        let date = Value::Datetime("2026-01-01".parse().expect("a date"));
        let mut shape = Self::of_table(refusal(path, date).unwrap_or_default(), None);
        let takes = |value: Value| refusal(path, value).is_none();
        shape.has_booleans = takes(Value::Boolean(true));
        shape.has_integers = takes(Value::Integer(1));
        shape.has_fractions = takes(Value::Float(0.5));
        if takes(Value::String(NO_CHOICE.to_owned())) {
            shape.strings = choices(path).map_or(Strings::Any, Strings::OneOf);
        }
        // A list of dates: one that refuses its items takes lists.
        let items = [path, &[Step::Item]].concat();
        if takes(Value::Array(Vec::new())) {
            shape.items = Some(Box::new(Self::at(&items)));
        }
        if takes(Value::Table(Table::new())) {
            shape.fields = Some(match known_fields(path) {
                Some(known) => Fields::Known(known),
                None => Fields::Named(Box::new(Self::at(&below(path, UNKNOWN)))),
            });
        }
        shape
    }

    /// What may stand at the end of `path`, where an operator's own name is any.
    pub(super) fn below(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        let next = match (step, &self.fields) {
            (Step::Item, _) => self.items.as_deref()?,
            (Step::Key(key), Some(Fields::Known(fields))) => {
                &fields.iter().find(|field| field.key == *key)?.shape
            }
            (Step::Key(_), Some(Fields::Named(shape))) => shape,
            (Step::Key(_), None) => return None,
        };
        next.below(rest)
    }
}

fn below(path: &[Step], key: &str) -> Vec<Step> {
    [path, &[Step::Key(key.to_owned())]].concat()
}

/// The keys of the table at `path`, as the message about one that it does not know lists them. `None`: it knows all.
fn known_fields(path: &[Step]) -> Option<Vec<Field>> {
    let said = messages(&below(path, UNKNOWN), Value::Boolean(true));
    let known = said.iter().find(|message| message.starts_with("unknown key"))?;
    let (_, keys) = known.split_once("use one of ").expect("a message that lists the keys");
    // An empty table in place of the unknown key's: what it lacks.
    let lacks = messages(path, Value::Table(Table::new()));
    let fields = keys.split(", ").map(|key| {
        let is_required = lacks.iter().any(|message| {
            message.contains(&format!(" has no `{key}`")) || message.contains(&format!(" has no {key};"))
        });
        Field { key: key.to_owned(), is_required, shape: Shape::at(&below(path, key)) }
    });
    Some(fields.collect())
}

/// The words that may stand at `path`. `None`: any text.
fn choices(path: &[Step]) -> Option<Vec<String>> {
    let said = messages(path, Value::String(NO_CHOICE.to_owned()));
    let (_, words) = said.iter().find(|m| m.starts_with("unknown "))?.split_once("use one of ")?;
    Some(words.split(", ").map(str::to_owned).collect())
}

/// What is wanted at `path` instead of a value of this type. `None`: the type is fine, whatever else is not.
fn refusal(path: &[Step], value: Value) -> Option<String> {
    let key = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Item => None,
    });
    let subject = format!("`{}` is ", key.unwrap_or_default());
    let found = [
        ("a string", value.is_str()),
        ("a whole number", value.is_integer()),
        ("a fraction", value.is_float()),
        ("a boolean", value.is_bool()),
        ("a date", value.is_datetime()),
        ("a list", value.is_array()),
        ("a table", value.is_table()),
    ];
    let found = found.iter().find_map(|(words, is_so)| is_so.then_some(*words)).unwrap_or_default();
    messages(path, value).iter().find_map(|message| {
        let wanted = message.strip_prefix(&subject)?.strip_prefix(found)?.strip_prefix(", not ")?;
        Some(wanted.split("; write, for example").next().unwrap_or(wanted).to_owned())
    })
}

/// What the reader says of a file that has `value` at `path` and nothing else.
fn messages(path: &[Step], value: Value) -> Vec<String> {
    let root = path.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => Value::Table(Table::from_iter([(key.clone(), value)])),
        Step::Item => Value::Array(vec![value]),
    });
    let text = toml::to_string(&root).expect("a table");
    match load_text("lb.toml", &text, |_| None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.message.clone()).collect(),
    }
}
