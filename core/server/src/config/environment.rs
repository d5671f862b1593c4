//! `TERNMQ_LIMITS__QUEUE_MESSAGES=1000`: keys as variables of the environment.

use toml::de::DeValue;

use super::problem::Problem;
use super::schema::{Kind, Place, Table, all, similar};
use super::tree::{Map, Node, Origin, Value, node};

/// What each name begins with.
const PREFIX: &str = "TERNMQ_";

/// Variables that are no keys: of the clients, and of tests.
const OTHERS: &[&str] = &["TERNMQ_PASSWORD"];
const TESTS: &str = "TERNMQ_TEST_";

/// Puts what the environment says over what `map` says. A variable whose name begins like the keys of a table
/// and is none of them is a problem; one with any other name may be somebody else's (Kubernetes makes
/// TERNMQ_PORT for a service of that name), so it comes back as a warning.
pub(crate) fn apply(
    variables: impl IntoIterator<Item = (String, String)>,
    map: &mut Map,
    table: &'static Table,
    problems: &mut Vec<Problem>,
) -> Vec<Problem> {
    let places = all(table);
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    for (name, text) in variables {
        let other = OTHERS.contains(&&*name) || name.starts_with(TESTS);
        if other || !name.starts_with(PREFIX) {
            continue;
        }
        match places
            .iter()
            .find(|place| is_settable(place, table) && variable(place) == name)
        {
            Some(place) => found.push((place, name, text)),
            None => {
                let of_table = name.contains("__");
                let problem = unknown(name, &places, table);
                if of_table {
                    &mut *problems
                } else {
                    &mut warnings
                }
                .push(problem);
            }
        }
    }
    // What is said of a key holds before what is said of its table.
    found.sort_by_key(|(place, ..)| place.path.len());
    for (place, name, text) in found {
        let origin = Origin::Environment(name);
        if let Some(node) = read(place, &text, &origin, problems) {
            put(map, &place.path, node, &origin);
        }
    }
    warnings
}

/// The name of the variable for a key.
pub(crate) fn variable(place: &Place) -> String {
    format!("{PREFIX}{}", place.path.join("__").to_uppercase())
}

/// Whether it is one key: those of tables that there may be several of are not.
pub(crate) fn is_settable(place: &Place, root: &'static Table) -> bool {
    let mut table = root;
    for name in &place.path[..place.path.len() - 1] {
        match table
            .keys
            .iter()
            .find(|key| key.name == *name)
            .map(|key| key.kind)
        {
            Some(Kind::Table(inner) | Kind::Switch(inner)) => table = inner,
            _ => return false,
        }
    }
    true
}

fn unknown(name: String, places: &[Place], root: &'static Table) -> Problem {
    let names: Vec<String> = places
        .iter()
        .filter(|place| is_settable(place, root))
        .map(variable)
        .collect();
    let list = places.iter().find(|place| {
        matches!(place.key.kind, Kind::Tables(_))
            && name.starts_with(&format!("{}__", variable(place)))
    });
    let hint = match list {
        Some(place) => Some(format!("say all of them: {}='[{{...}}]'", variable(place))),
        None => similar(&name, names.iter().map(String::as_str))
            .map(|known| format!("did you mean {known}?")),
    };
    Problem::new(Origin::Environment(name), "", "there is no such key").hint(hint)
}

/// A value as TOML has it; a text may stand as it is.
fn read(place: &Place, text: &str, origin: &Origin, problems: &mut Vec<Problem>) -> Option<Node> {
    let bare = matches!(place.key.kind, Kind::Text(_) | Kind::OneOf(_));
    if bare && !text.starts_with(['"', '\'']) {
        return Some(Node {
            origin: origin.clone(),
            value: Value::Text(text.to_owned()),
        });
    }
    match DeValue::parse(text.trim()) {
        Ok(value) => node(value, &place.name(), &|_| origin.clone(), problems),
        Err(_) => {
            // What the parser says of it would be about a line that is none.
            let what = format!("no value of TOML, expected {}", place.key.kind.describe());
            problems.push(Problem::new(origin.clone(), &place.name(), what));
            None
        }
    }
}

fn put(map: &mut Map, path: &[&str], node: Node, origin: &Origin) {
    let (name, rest) = path.split_first().expect("a key has a name");
    if rest.is_empty() {
        match (map.get_mut(*name).map(|node| &mut node.value), node) {
            // Both hold, line by line.
            (
                Some(Value::Table(there)),
                Node {
                    value: Value::Table(more),
                    ..
                },
            ) => there.extend(more),
            (_, node) => drop(map.insert((*name).to_owned(), node)),
        }
        return;
    }
    let table = map
        .entry((*name).to_owned())
        .or_insert_with(|| Node::table(Map::new(), origin.clone()));
    // Anything else is wrong, and will be told so.
    if let Value::Table(inner) = &mut table.value {
        put(inner, rest, node, origin);
    }
}
