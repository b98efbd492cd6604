//! What differs between two configurations, in their own words: `backend shop: server web3:80 added`.
//!
//! What has a name is compared by it; below that, generic over keys: both sides are serialised and walked together, so
//! a new key of the schema needs nothing here. In a list it matters what is in it, not where. A key left out and one written
//! with its default value are the same.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::diagnostics::At;
use super::schema::{Config, Frontend, Route};

/// The differences from `old` to `new`, one line each, by name; empty: none.
pub(crate) fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    if old == new {
        return lines;
    }
    tables("global ", &old.global, &new.global, &mut lines);
    tables("log ", &old.log, &new.log, &mut lines);
    match (&old.admin, &new.admin) {
        (Some(old), Some(new)) => tables("admin ", old, new, &mut lines),
        (None, Some(_)) => lines.push("admin added".to_owned()),
        (Some(_), None) => lines.push("admin removed".to_owned()),
        (None, None) => {}
    }
    named("backend ", &by_name(&old.backend), &by_name(&new.backend), &mut lines, tables);
    let of_frontend = |subject: &str, old: &Frontend, new: &Frontend, lines: &mut Vec<String>| {
        tables(subject, old, new, lines);
        named(&format!("{subject}route "), &routes(old), &routes(new), lines, tables);
    };
    named("frontend ", &by_name(&old.frontend), &by_name(&new.frontend), &mut lines, of_frontend);
    if lines.is_empty() {
        // Both matter a little: round robin begins with the first, and equal routes count by their order.
        lines.push("the order of servers or routes changed".to_owned());
    }
    lines
}

type ByName<'a, T> = BTreeMap<Cow<'a, str>, &'a T>;

/// Compares elements by name; those that are equal cost no more than a comparison.
fn named<T: PartialEq>(
    subject: &str,
    old: &ByName<'_, T>,
    new: &ByName<'_, T>,
    lines: &mut Vec<String>,
    compare: impl Fn(&str, &T, &T, &mut Vec<String>),
) {
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => compare(&format!("{subject}{name}: "), old, new, lines),
            (None, _) => lines.push(format!("{subject}{name} added")),
            (_, None) => lines.push(format!("{subject}{name} removed")),
        }
    }
}

fn by_name<T>(elements: &BTreeMap<String, At<T>>) -> ByName<'_, T> {
    elements.iter().map(|(name, element)| (Cow::Borrowed(name.as_str()), &element.value)).collect()
}

/// A route's name is what it takes.
fn routes(frontend: &Frontend) -> ByName<'_, Route> {
    let routes = frontend.routes.iter().flat_map(|routes| routes.iter());
    let name = |route: &Route| Some(route.conditions()).filter(|text| !text.is_empty());
    routes.map(|route| (name(route).map_or(Cow::Borrowed("*"), Cow::Owned), &route.value)).collect()
}

fn tables<T: Serialize>(subject: &str, old: &T, new: &T, lines: &mut Vec<String>) {
    compare(subject, &table(old), &table(new), Keys::OfSchema, lines);
}

/// The key of the schema, beside those handled above, whose table holds elements by the operator's names.
const COLLECTION: &str = "server";

/// What the keys of a table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    OfSchema,
    Names,
}

fn compare(
    subject: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    keys: Keys,
    lines: &mut Vec<String>,
) {
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let side = |table: &Map<String, Value>| table.get(key).filter(|value| !value.is_null()).cloned();
        let name = format!("{subject}{key}");
        let (old, new) = match (side(old), side(new)) {
            (old, new) if old == new => continue,
            (Some(old), Some(new)) if is_many(&old) && is_many(&new) => (elements(old), elements(new)),
            (Some(old), Some(new)) => {
                lines.push(format!("{name} {} -> {}", shown(&old), shown(&new)));
                continue;
            }
            (None, Some(new)) => {
                lines.push(format!("{name}{} added", appended(&new)));
                continue;
            }
            (Some(old), None) => {
                lines.push(format!("{name}{} removed", appended(&old)));
                continue;
            }
            (None, None) => continue,
        };
        let separator = if keys == Keys::Names { ": " } else { " " };
        let keys = if keys == Keys::OfSchema && key == COLLECTION { Keys::Names } else { Keys::OfSchema };
        compare(&format!("{name}{separator}"), &old, &new, keys, lines);
    }
}

fn table(value: &impl Serialize) -> Map<String, Value> {
    // Writing the schema can't fail: its keys are strings. If a later one could, it would show as an empty table.
    serde_json::to_value(value).map(elements).unwrap_or_default()
}

fn is_many(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The entries of a table; of a list its elements, as names that hold nothing.
fn elements(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(table) => table,
        Value::Array(list) => list.iter().map(|item| (shown(item), Value::Object(Map::new()))).collect(),
        _ => Map::new(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

/// What is said of a value that came or went: a scalar itself, of more only that it did.
fn appended(value: &Value) -> String {
    match value {
        Value::Object(_) => String::new(),
        value => format!(" {}", shown(value)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_text;

    const BASE: &str = r#"
        [frontend.web]
        listen = ["0.0.0.0:80", "0.0.0.0:81"]
        routes = [
            { path_prefix = "/admin", backend = "admin" },
            { host = "a.example", backend = "shop" },
            { backend = "shop" },
        ]
        [backend.shop]
        servers = ["web1:80", { name = "web2", address = "web2:80", weight = 1 }]
        health = { path = "/health", interval = "2s" }
        [backend.admin]
        servers = ["admin1:80"]
    "#;

    fn between(old: &str, new: &str) -> Vec<String> {
        let config =
            |text| load_text("x.toml", text, |_| None).unwrap_or_else(|error| panic!("{error}")).summary;
        config(new).changes_since(&config(old))
    }

    #[test]
    fn each_difference_is_told_in_the_words_of_the_file() {
        for (from, to, expected) in [
            ("", "", &[][..]),
            ("\"2s\"", "\"2000ms\"", &[]),
            (", weight = 1", "", &[]),
            ("\"2s\"", "\"5s\"", &["backend shop: health interval 2s -> 5s"]),
            ("\"/health\"", "\"/h\"", &["backend shop: health path /health -> /h"]),
            ("path = \"/health\", ", "", &["backend shop: health path /health removed"]),
            ("health = { path = \"/health\", interval = \"2s\" }", "", &["backend shop: health removed"]),
            ("[\"web1:80\",", "[\"web1:80\", \"web3:80\",", &["backend shop: server web3:80 added"]),
            ("[\"web1:80\",", "[", &["backend shop: server web1:80 removed"]),
            ("weight = 1", "weight = 3", &["backend shop: server web2: weight 1 -> 3"]),
            (", \"0.0.0.0:81\"", "", &["frontend web: listen 0.0.0.0:81 removed"]),
            (
                "\"0.0.0.0:81\"",
                "\"0.0.0.0:82\"",
                &["frontend web: listen 0.0.0.0:81 removed", "frontend web: listen 0.0.0.0:82 added"],
            ),
            (
                "{ path_prefix = \"/admin\", backend = \"admin\" }",
                "{ path_prefix = \"/admin\", backend = \"shop\" }",
                &["frontend web: route path_prefix=/admin: backend admin -> shop"],
            ),
            (
                "{ host = \"a.example\", backend = \"shop\" },",
                "",
                &["frontend web: route host=a.example removed"],
            ),
            (
                "{ backend = \"shop\" },",
                "{ backend = \"admin\" },",
                &["frontend web: route *: backend shop -> admin"],
            ),
            (
                "[backend.admin]",
                "[backend.more]\nservers = [\"m:1\"]\n[backend.admin]",
                &["backend more added"],
            ),
            (
                "[backend.admin]",
                "[log]\naccess = \"json\"\n[global]\nworkers = 2\n[backend.admin]",
                &["global workers auto -> 2", "log access off -> json"],
            ),
            ("[backend.admin]", "[admin]\nlisten = \"127.0.0.1:9\"\n[backend.admin]", &["admin added"]),
            (
                "\"0.0.0.0:80\", \"0.0.0.0:81\"",
                "\"0.0.0.0:81\", \"0.0.0.0:80\"",
                &["the order of servers or routes changed"],
            ),
        ] {
            assert!(BASE.contains(from), "{from}");
            let changed = BASE.replacen(from, to, 1);
            assert_eq!(between(BASE, &changed), expected, "{from} -> {to}");
            assert_eq!(between(&changed, BASE).len(), expected.len(), "back: {from} -> {to}");
        }
    }

    #[test]
    fn whole_tables_come_and_go() {
        let tcp = "[frontend.db]\nlisten = \"0.0.0.0:5432\"\nmode = \"tcp\"\nbackend = \"db\"\n[backend.db]\nservers = [\"db1:5432\"]\n";
        assert_eq!(
            between(BASE, tcp),
            [
                "backend admin removed",
                "backend db added",
                "backend shop removed",
                "frontend db added",
                "frontend web removed"
            ]
        );
    }
}
