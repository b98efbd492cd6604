//! The example configurations: they load, and what they call the default is the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::load;
use super::schema::Config;

fn conf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf")
}

fn read(name: &str) -> Config {
    let loaded = load(conf().join(name), |_| None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.warnings, [], "{name}");
    loaded.summary.config()
}

fn parse(name: &str) -> Value {
    serde_json::to_value(read(name)).unwrap()
}

#[test]
fn every_example_loads_without_a_warning() {
    let mut names: Vec<String> = std::fs::read_dir(conf())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    names.iter().for_each(|name| drop(parse(name)));
}

/// The values of full.toml that are examples, or parts of an example.
const EXAMPLES: [&str; 8] =
    ["listen", "listen_mode", "listen_owner", "listen_group", "server", "backend", "path", "host"];

#[test]
fn what_full_toml_shows_as_a_default_is_one() {
    let full = parse("full.toml");
    let bare = "[frontend.web]\nlisten = \"127.0.0.1:1\"\nbackend = \"shop\"\n\
                [frontend.mail]\nmode = \"tcp\"\nlisten = \"127.0.0.1:2\"\nbackend = \"shop\"\n\
                [backend.shop]\nservers = [{ address = \"web1:80\" }]\nhealth = {}\n";
    let bare = super::load_text("bare.toml", bare, |_| None).unwrap();
    let bare = serde_json::to_value(bare.summary.config()).unwrap();
    for table in ["global", "log"] {
        assert_eq!(full[table], bare[table], "{table}");
    }
    for (kind, name) in [("frontend", "web"), ("frontend", "mail"), ("backend", "shop")] {
        let (full, mut bare) = (scalars(&full[kind][name]), scalars(&bare[kind][name]));
        // Written out in full.toml, and left out by the schema where they are not.
        bare.extend(
            [("health expect".to_owned(), Value::from("2xx,3xx"))].into_iter().filter(|_| name == "shop"),
        );
        bare.extend(
            [("trusted_proxies".to_owned(), Value::Array(Vec::new()))].into_iter().filter(|_| name == "web"),
        );
        assert_eq!(full, bare, "{kind} {name}");
    }
    let server = |config: &Value, name: &str| {
        let mut server = config["backend"]["shop"]["server"][name].clone();
        server.as_object_mut().unwrap().remove("name");
        server
    };
    assert_eq!(server(&full, "web1"), server(&bare, "web1:80"));
    assert_eq!(super::schema::Backend::default().health, None);
}

/// What is set, key by key: absent keys and examples left out.
fn scalars(table: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, table: &Value, into: &mut BTreeMap<String, Value>) {
        for (key, value) in table.as_object().unwrap() {
            let path = format!("{path} {key}").trim_start().to_owned();
            match value {
                _ if EXAMPLES.contains(&key.as_str()) => {}
                Value::Null => {}
                Value::Object(_) => walk(&path, value, into),
                value => drop(into.insert(path, value.clone())),
            }
        }
    }
    let mut all = BTreeMap::new();
    walk("", table, &mut all);
    all
}

#[test]
fn full_toml_names_every_key_there_is() {
    let text = std::fs::read_to_string(conf().join("full.toml")).unwrap();
    let full = parse("full.toml");
    let mut keys = Vec::new();
    for (kind, name) in [("global", ""), ("log", ""), ("admin", ""), ("frontend", "web"), ("backend", "shop")]
    {
        let table = if name.is_empty() { &full[kind] } else { &full[kind][name] };
        all_keys(table, &mut keys);
    }
    for route in read("full.toml").frontend["web"].routes.iter().flat_map(|routes| routes.iter()) {
        all_keys(&serde_json::to_value(route).unwrap(), &mut keys);
    }
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        let is_named =
            text.lines().any(|line| line.contains(&format!("{key} =")) || line.contains(&format!(".{key}]")));
        assert!(is_named, "{key}");
    }
}

/// The keys of the schema below `table`, those of absent values too; the operator's own names left out.
fn all_keys(table: &Value, keys: &mut Vec<String>) {
    for (key, value) in table.as_object().unwrap() {
        match (key.as_str(), value) {
            ("server" | "split", Value::Object(named)) => {
                named.values().filter(|v| v.is_object()).for_each(|v| all_keys(v, keys))
            }
            ("header" | "query" | "set" | "add", _) => keys.push(key.clone()),
            (_, Value::Object(_)) => {
                keys.push(key.clone());
                all_keys(value, keys);
            }
            _ => keys.push(key.clone()),
        }
    }
}
