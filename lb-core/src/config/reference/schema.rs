//! The JSON Schema of the file, for editors: what the reader accepts, with the meanings of `conf/full.toml`.

use serde_json::{Map, Value, json};

use super::shape::{Fields, Shape, Step, Strings};
use super::text::Section;

/// The schema of a file of this shape.
pub(super) fn schema(file: &Shape, sections: &[Section]) -> String {
    let mut root = node(file, sections, &mut Vec::new(), "");
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("The configuration of lb");
    format!("{root:#}\n")
}

fn node(shape: &Shape, sections: &[Section], path: &mut Vec<Step>, meaning: &str) -> Value {
    let mut kinds = Vec::new();
    if let Strings::OneOf(words) = &shape.strings {
        kinds.push(json!({ "enum": words }));
    }
    let is_text = matches!(shape.strings, Strings::Any);
    if is_text {
        kinds.push(json!({ "type": "string" }));
    }
    let numbers = [("boolean", shape.has_booleans), ("integer", shape.has_integers && !shape.has_fractions)];
    for (kind, _) in numbers.into_iter().chain([("number", shape.has_fractions)]).filter(|(_, has)| *has) {
        kinds.push(json!({ "type": kind }));
    }
    if !kinds.is_empty() && !is_text {
        // A variable may stand for a number or a word.
        kinds.push(json!({ "type": "string", "pattern": "\\$\\{" }));
    }
    if shape.wanted.contains("\"auto\"") {
        kinds.push(json!({ "const": "auto" }));
    }
    if let Some(items) = &shape.items {
        path.push(Step::Item);
        kinds.push(json!({ "type": "array", "items": node(items, sections, path, "") }));
        path.pop();
    }
    if let Some(fields) = &shape.fields {
        kinds.push(table(fields, sections, path));
    }
    let mut node = match kinds.len() {
        1 => kinds.remove(0),
        _ => json!({ "anyOf": kinds }),
    };
    let description = [meaning, shape.wanted.as_str()].into_iter().find(|text| !text.is_empty());
    if let Some(description) = description.filter(|text| *text != "a table") {
        node["description"] = json!(description);
    }
    node
}

fn table(fields: &Fields, sections: &[Section], path: &mut Vec<Step>) -> Value {
    let known = match fields {
        Fields::Named(shape) => {
            path.push(Step::Key("NAME".to_owned()));
            let node = node(shape, sections, path, "");
            path.pop();
            return json!({ "type": "object", "additionalProperties": node });
        }
        Fields::Known(known) => known,
    };
    let section = sections.iter().find(|section| section.path == *path);
    let mut properties = Map::new();
    for field in known {
        let entry = section.and_then(|section| section.entries.iter().find(|entry| entry.key == field.key));
        path.push(Step::Key(field.key.clone()));
        let mut node = node(&field.shape, sections, path, entry.map_or("", |entry| &entry.meaning));
        path.pop();
        if let Some(entry) = entry.filter(|entry| !entry.is_example && !field.is_required)
            && let Ok(value) = serde_json::to_value(&entry.value)
        {
            node["default"] = value;
        }
        properties.insert(field.key.clone(), node);
    }
    let required: Vec<&str> =
        known.iter().filter(|field| field.is_required).map(|field| field.key.as_str()).collect();
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

/// The examples are valid by the schema, as an editor would say.
#[test]
fn the_schema_takes_every_example() {
    let file = Shape::of_file();
    let schema: Value = serde_json::from_str(&schema(&file, &[])).unwrap();
    let conf = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    for entry in std::fs::read_dir(conf).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
            assert_eq!(mistake(&schema, &value, path.to_str().unwrap()), None);
        }
    }
    let wrong = json!({ "backend": { "shop": { "servers": ["web1:80"], "balance": "rounds" } } });
    assert_eq!(mistake(&schema, &wrong, ""), Some("/backend/shop/balance".to_owned()));
    let unknown = json!({ "global": { "worker": 2 } });
    assert_eq!(mistake(&schema, &unknown, ""), Some("/global/worker".to_owned()));
}

/// Where `value` is not what `schema` says, by the few words that are used here.
fn mistake(schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(kinds) = schema["anyOf"].as_array() {
        let all: Vec<_> = kinds.iter().map(|kind| mistake(kind, value, at)).collect();
        // The deepest mistake is that of the kind which was meant.
        return if all.contains(&None) { None } else { all.into_iter().flatten().max_by_key(String::len) };
    }
    let is_fine = match schema["type"].as_str() {
        Some("string") => {
            value.as_str().is_some_and(|text| !schema["pattern"].is_string() || text.contains("${"))
        }
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => {
            schema["const"] == *value || schema["enum"].as_array().is_some_and(|words| words.contains(value))
        }
    };
    let items = value.as_array().into_iter().flatten();
    let of_items = items.filter_map(|item| mistake(&schema["items"], item, at)).next();
    let is_missing = |key: &&Value| value.get(key.as_str().unwrap_or_default()).is_none();
    let missing = schema["required"].as_array().and_then(|required| required.iter().find(is_missing));
    let fields = value.as_object().into_iter().flatten();
    let mut of_fields = fields.filter_map(|(key, value)| {
        let at = format!("{at}/{key}");
        match schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]) {
            Value::Bool(false) => Some(at),
            field => mistake(field, value, &at),
        }
    });
    let here = (!is_fine || missing.is_some()).then(|| at.to_owned());
    here.or(of_items).or_else(|| of_fields.next())
}
