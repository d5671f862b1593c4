//! What a key means, and what it is now.

use serde_json::{Value as Json, json};

use super::environment::{is_settable, variable};
use super::keys::ROOT;
use super::problem::Problem;
use super::schema::{Kind, Place, all, similar};
use super::tree::{Map, Node, Value};
use super::{json_schema, print};

/// The keys that a name stands for: the key, or all whose names begin with it; with those of its table.
///
/// # Errors
/// None, and which may have been meant.
pub(crate) fn find(name: &str) -> Result<Vec<Place>, Problem> {
    let places = all(&ROOT);
    let table = format!("{name}.");
    let is = |place: &Place| place.name() == name || place.name().starts_with(&table);
    let begins = |place: &Place| place.name().starts_with(name);
    let ends = |place: &Place| place.name().ends_with(&format!(".{name}"));
    for fits in [&is as &dyn Fn(&Place) -> bool, &begins, &ends] {
        let found: Vec<Place> = places.iter().filter(|place| fits(place)).cloned().collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let names: Vec<String> = places.iter().map(Place::name).collect();
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let lasts: Vec<String> = names.iter().map(|name| last(name)).collect();
    let by_last = similar(&last(name), lasts.iter().map(String::as_str));
    let known = similar(name, names.iter().map(String::as_str)).or_else(|| {
        let at = lasts.iter().position(|known| Some(&**known) == by_last)?;
        names.get(at).map(String::as_str)
    });
    let hint = known.map(|known| format!("did you mean `{known}`?"));
    Err(Problem::of_all(format!("there is no key {name:?}")).hint(hint))
}

/// For people.
pub(crate) fn text(place: &Place, map: &Map) -> String {
    let key = place.key;
    let mut out = format!("{}\n  {}\n", place.name(), key.doc);
    let unit = key
        .unit
        .map(|unit| format!(", in {unit}"))
        .unwrap_or_default();
    out.push_str(&format!("  type: {}{unit}\n", key.kind.describe()));
    let default = print::default(key).replace('`', "");
    if !default.is_empty() {
        out.push_str(&format!("  default: {default}\n"));
    }
    out.push_str(match place.live {
        true => "  changed: while the server runs, by SIGHUP\n",
        false => "  changed: by a restart\n",
    });
    if is_settable(place, &ROOT) {
        out.push_str(&format!("  environment: {}\n", variable(place)));
    }
    if key.table().is_none() {
        let values = values(place, map);
        for (name, node) in &values {
            let text = if key.secret {
                "(secret)".to_owned()
            } else {
                node.text()
            };
            out.push_str(&format!("  now: {name} = {text} ({})\n", node.origin));
        }
        if values.is_empty() && is_settable(place, &ROOT) && key.default.is_some() {
            out.push_str(&format!("  now: {default} (default)\n"));
        }
    } else {
        for (name, node) in values(place, map) {
            out.push_str(&format!("  now: {name} is there ({})\n", node.origin));
        }
    }
    out
}

/// For programs.
pub(crate) fn json(place: &Place, map: &Map) -> Json {
    let key = place.key;
    let now: Vec<Json> = values(place, map)
        .iter()
        .filter(|_| key.table().is_none())
        .map(|(name, node)| {
            let value = (!key.secret)
                .then(|| json_schema::json_of(&node.plain()))
                .flatten();
            json!({ "key": name, "value": value, "where": node.origin.json() })
        })
        .collect();
    let default = key.default.filter(|_| key.otherwise.is_none());
    json!({ "key": place.name(), "doc": key.doc, "type": key.kind.describe(), "unit": key.unit,
        "default": default.and_then(json_schema::value), "otherwise": key.otherwise,
        "live": place.live, "secret": key.secret,
        "environment": is_settable(place, &ROOT).then(|| variable(place)), "now": now })
}

/// All values of a key, each with its name: `listener[0].address`.
pub(crate) fn values<'a>(place: &Place, map: &'a Map) -> Vec<(String, &'a Node)> {
    let mut found = Vec::new();
    collect(map, &place.path, "", &mut found);
    found
}

fn collect<'a>(map: &'a Map, path: &[&str], name: &str, found: &mut Vec<(String, &'a Node)>) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(node) = map.get(*first) else {
        return;
    };
    let name = super::check::join(name, first);
    match (&node.value, rest.is_empty()) {
        (_, true) => found.push((name, node)),
        (Value::Table(map), false) => collect(map, rest, &name, found),
        (Value::List(nodes), false) => {
            for (at, node) in nodes.iter().enumerate() {
                if let Value::Table(map) = &node.value {
                    collect(map, rest, &format!("{name}[{at}]"), found);
                }
            }
        }
        _ => {}
    }
}

/// All that holds, as a file, each line with where it comes from. Secrets are left out.
pub(crate) fn show(map: &Map) -> String {
    let mut out = String::new();
    table(&ROOT, "", Some(map), &mut out);
    out
}

fn table(table: &'static super::schema::Table, name: &str, map: Option<&Map>, out: &mut String) {
    let node = |name: &str| map.and_then(|map| map.get(name));
    for key in table.keys {
        let there = node(key.name);
        let line = match (key.table(), there) {
            // One that is an entry of another table is written in its line.
            (Some(_), _) if key.example.is_none() => continue,
            (_, Some(_)) if key.secret => format!("# {} is not shown", key.name),
            (_, Some(node)) => format!("{} = {} # {}", key.name, node.text(), node.origin),
            (None, None) if key.otherwise.is_none() => match key.default {
                Some(text) => format!("{} = {text}", key.name),
                None => continue,
            },
            _ => continue,
        };
        out.push_str(&line);
        out.push('\n');
    }
    for key in table.keys {
        let name = super::check::join(name, key.name);
        match (key.kind, node(key.name).map(|node| &node.value)) {
            (Kind::Table(inner), value) if key.example.is_none() => {
                let map = match value {
                    Some(Value::Table(map)) => Some(map),
                    _ => None,
                };
                out.push_str(&format!("\n[{name}]\n"));
                self::table(inner, &name, map, out);
            }
            (Kind::Switch(inner), Some(Value::Table(map))) => {
                out.push_str(&format!("\n[{name}]\n"));
                self::table(inner, &name, Some(map), out);
            }
            (Kind::Tables(inner), Some(Value::List(nodes))) => {
                for node in nodes {
                    if let Value::Table(map) = &node.value {
                        out.push_str(&format!("\n[[{name}]] # {}\n", node.origin));
                        self::only(inner, map, out);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What is there of one of several tables: what would be there without a line depends on the others.
fn only(table: &'static super::schema::Table, map: &Map, out: &mut String) {
    for key in table.keys {
        let line = match map.get(key.name) {
            None => continue,
            Some(_) if key.secret => format!("# {} is not shown", key.name),
            Some(node) => format!("{} = {} # {}", key.name, node.text(), node.origin),
        };
        out.push_str(&line);
        out.push('\n');
    }
}
