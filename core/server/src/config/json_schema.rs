//! The configuration as a JSON Schema, for editors and programs.

use serde_json::{Map, Value, json};

use super::keys::ROOT;
use super::schema::{Key, Kind, Table};

/// The whole, by the 2020-12 draft. `x-unit` is the unit of a number, `x-reload` says when a change holds:
/// "live" when the configuration is read again, "restart" when the server starts again.
pub(crate) fn schema() -> Value {
    let mut schema = table(&ROOT, false);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "ternmq serve --config FILE".into();
    schema
}

fn table(table: &Table, live: bool) -> Value {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key, live || key.live)))
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(key: &Key, live: bool) -> Value {
    let mut schema = of(&key.kind, live);
    schema["description"] = key.doc.into();
    schema["x-reload"] = if live { "live" } else { "restart" }.into();
    if let Some(unit) = key.unit {
        schema["x-unit"] = unit.into();
    }
    if key.secret {
        schema["writeOnly"] = true.into();
    }
    match (key.otherwise, key.default.and_then(value)) {
        (Some(words), _) => schema["x-default"] = words.into(),
        (None, Some(default)) => schema["default"] = default,
        (None, None) => {}
    }
    if let Some(example) = key.example.and_then(value) {
        schema["examples"] = json!([example]);
    }
    schema
}

fn of(kind: &Kind, live: bool) -> Value {
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } if *max == i64::MAX => {
            json!({ "type": "integer", "minimum": min })
        }
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::OneOf(names) => json!({ "type": "string", "enum": names }),
        Kind::Text(form) => json!({ "type": "string", "title": form.what }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::List(kind) => json!({ "type": "array", "items": of(kind, live) }),
        Kind::Table(inner) | Kind::Switch(inner) => table(inner, live),
        Kind::Tables(inner) => json!({ "type": "array", "items": table(inner, live) }),
    }
}

/// A value as it is written, in JSON.
pub(crate) fn value(text: &str) -> Option<Value> {
    json_of(&plain(text)?)
}

pub(crate) fn plain(text: &str) -> Option<toml::Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.remove("value")
}

pub(crate) fn json_of(value: &toml::Value) -> Option<Value> {
    match value {
        // JSON has no times.
        toml::Value::Datetime(time) => Some(time.to_string().into()),
        other => serde_json::to_value(other).ok(),
    }
}
