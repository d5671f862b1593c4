//! A configuration as it is written, with where each part of it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::problem::Problem;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File {
        /// `None` for a text without a file.
        path: Option<Arc<PathBuf>>,
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// The name of a variable.
    Environment(String),
    /// The name of an option.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => {
                if let Some(path) = path {
                    write!(f, "{}, ", path.display())?;
                }
                write!(f, "line {line}, column {column}")
            }
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::CommandLine(option) => write!(f, "command line, {option}"),
        }
    }
}

impl Origin {
    pub(crate) fn is_in_line_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::File { line: a, .. }, Self::File { line: b, .. }) if a == b)
    }

    pub(crate) fn json(&self) -> Json {
        match self {
            Self::File { path, line, column } => json!({ "from": "file",
                "file": path.as_ref().map(|path| path.display().to_string()),
                "line": line, "column": column }),
            Self::Environment(name) => json!({ "from": "environment", "variable": name }),
            Self::CommandLine(option) => json!({ "from": "command_line", "option": option }),
        }
    }
}

/// A value and where it comes from. Two are equal if they say the same, wherever.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Of its key, or of the value where it has none.
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Time(Datetime),
    List(Vec<Node>),
    Table(Map),
}

pub(crate) type Map = BTreeMap<String, Node>;

impl Node {
    pub(crate) fn table(map: Map, origin: Origin) -> Self {
        Self {
            origin,
            value: Value::Table(map),
        }
    }

    /// Without where it comes from.
    pub(crate) fn plain(&self) -> toml::Value {
        match &self.value {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) => text.clone().into(),
            Value::Time(time) => toml::Value::Datetime(*time),
            Value::List(nodes) => nodes.iter().map(Self::plain).collect::<Vec<_>>().into(),
            Value::Table(map) => toml::Value::Table(plain(map)),
        }
    }

    /// As it would be written. Nothing secret may be in it.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(text) => quoted(text),
            Value::Time(time) => time.to_string(),
            Value::List(nodes) => {
                let texts: Vec<String> = nodes.iter().map(Self::text).collect();
                format!("[{}]", texts.join(", "))
            }
            Value::Table(map) => {
                let line = |(key, node): (&String, &Self)| format!("{key} = {}", node.text());
                let lines: Vec<String> = map.iter().map(line).collect();
                format!("{{ {} }}", lines.join(", "))
            }
        }
    }
}

pub(crate) fn plain(map: &Map) -> toml::Table {
    map.iter()
        .map(|(key, node)| (key.clone(), node.plain()))
        .collect()
}

/// A text as TOML has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text whose parts have places.
pub(crate) struct Source<'a> {
    text: &'a str,
    path: Option<Arc<PathBuf>>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, path: Option<PathBuf>) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            path: path.map(Arc::new),
            lines: std::iter::once(0).chain(after).collect(),
        }
    }

    /// Reads all of it that can be read; what is wrong goes to `problems`.
    pub(crate) fn read(&self, problems: &mut Vec<Problem>) -> Map {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        // What follows the first error may be no more than its consequence, within one line it is.
        let mut seen = None;
        for error in errors {
            let origin = self.origin(&error.span().unwrap_or(0..0));
            if let Origin::File { line, .. } = &origin
                && seen.replace(*line) == Some(*line)
            {
                continue;
            }
            problems.push(Problem::new(origin, "", error.message()));
        }
        let place = |span: &Range<usize>| self.origin(span);
        map(table.into_inner(), &place, problems)
    }

    pub(crate) fn origin(&self, span: &Range<usize>) -> Origin {
        let mut at = span.start.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        Origin::File {
            path: self.path.clone(),
            line,
            column: self.text[start..at].chars().count() + 1,
        }
    }
}

fn map(
    table: DeTable<'_>,
    place: &dyn Fn(&Range<usize>) -> Origin,
    problems: &mut Vec<Problem>,
) -> Map {
    let mut made = Map::new();
    for (key, value) in table {
        let origin = place(&key.span());
        let name = key.into_inner().into_owned();
        let read = node(value, &name, place, problems);
        made.extend(read.map(|read| (name, Node { origin, ..read })));
    }
    made
}

/// A value. One that can't be told apart from others once it is read, or is none of this program's, is a
/// problem.
pub(crate) fn node(
    value: Spanned<DeValue<'_>>,
    name: &str,
    place: &dyn Fn(&Range<usize>) -> Origin,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let origin = place(&value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => {
                problems.push(Problem::new(origin, name, "no integer of 64 bits"));
                return None;
            }
        },
        DeValue::Float(float) => Value::Float(float.as_str().parse().ok()?),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(time) => Value::Time(time),
        DeValue::Array(array) => {
            let nodes = array.into_iter();
            Value::List(
                nodes
                    .filter_map(|value| node(value, name, place, problems))
                    .collect(),
            )
        }
        DeValue::Table(table) => Value::Table(map(table, place, problems)),
    };
    Some(Node { origin, value })
}
