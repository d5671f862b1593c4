//! What is written against what may be written.

use super::problem::Problem;
use super::schema::{Kind, Table, similar};
use super::tree::{Map, Node, Value};

/// Looks at all of it. What is wrong goes to `problems`; the check of a table as a whole comes only if
/// nothing else is wrong with it, for it would say the same in other words.
pub(crate) fn check(map: &Map, table: &Table, problems: &mut Vec<Problem>) {
    keys(map, table, "", problems);
}

fn keys(map: &Map, table: &Table, path: &str, problems: &mut Vec<Problem>) {
    for (name, node) in map {
        let path = join(path, name);
        match table.keys.iter().find(|key| key.name == name) {
            Some(key) => value(node, &key.kind, &path, problems),
            None => {
                let path = path_of_unknown(&path, name);
                let known = table.keys.iter().map(|key| key.name);
                let problem = Problem::new(node.origin.clone(), &path, "there is no such key");
                problems.push(problem.hint(Some(did_you_mean(name, known))));
            }
        }
    }
}

/// What is no name at all may be a secret that stands in the wrong place.
fn path_of_unknown(path: &str, name: &str) -> String {
    let named = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    match name.chars().all(named) && name.len() <= 64 {
        true => path.to_owned(),
        false => "(not shown)".to_owned(),
    }
}

/// A hint for a name that is none.
fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match similar(name, known.clone()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => {
            let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            format!("expected one of {}", known.join(", "))
        }
    }
}

fn value(node: &Node, kind: &Kind, path: &str, problems: &mut Vec<Problem>) {
    let mut wrong = |what: String| problems.push(Problem::new(node.origin.clone(), path, what));
    match (kind, &node.value) {
        (Kind::Boolean, Value::Boolean(_)) | (Kind::Time, Value::Time(_)) => {}
        (Kind::Integer { min, max }, Value::Integer(value)) => {
            if !(min..=max).contains(&value) {
                wrong(format!(
                    "{value} is out of range, expected {}",
                    kind.describe()
                ));
            }
        }
        (Kind::OneOf(names), Value::Text(text)) => {
            if !names.contains(&&**text) {
                let hint = similar(text, names.iter().copied())
                    .map(|name| format!("did you mean {name:?}?"));
                let what = format!("{text:?} is unknown, expected {}", kind.describe());
                let problem = Problem::new(node.origin.clone(), path, what);
                problems.push(problem.hint(hint));
            }
        }
        (Kind::Text(form), Value::Text(text)) => {
            if let Err(error) = (form.check)(text) {
                wrong(error);
            }
        }
        (Kind::List(kind), Value::List(nodes)) => {
            for (at, node) in nodes.iter().enumerate() {
                value(node, kind, &format!("{path}[{at}]"), problems);
            }
        }
        (Kind::Table(table) | Kind::Switch(table), Value::Table(_)) => {
            whole(node, table, path, problems);
        }
        (Kind::Tables(table), Value::List(nodes)) => {
            for (at, node) in nodes.iter().enumerate() {
                let path = format!("{path}[{at}]");
                match &node.value {
                    Value::Table(_) => whole(node, table, &path, problems),
                    other => {
                        let what = format!("expected a table, not {}", named(other));
                        problems.push(Problem::new(node.origin.clone(), &path, what));
                    }
                }
            }
        }
        (Kind::Tables(_), Value::Table(_)) => {
            let what = format!("there can be several: write [[{path}]], not [{path}]");
            wrong(what);
        }
        (_, other) => wrong(format!(
            "expected {}, not {}",
            kind.describe(),
            named(other)
        )),
    }
}

fn whole(node: &Node, table: &Table, path: &str, problems: &mut Vec<Problem>) {
    let Value::Table(map) = &node.value else {
        return;
    };
    let before = problems.len();
    keys(map, table, path, problems);
    if problems.len() == before
        && let Err(error) = (table.check)(&node.plain())
    {
        problems.push(Problem::new(node.origin.clone(), path, error));
    }
}

/// What sort of value it is, and no more: it may be a secret.
fn named(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Text(_) => "a text",
        Value::Time(_) => "a time",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    }
}
