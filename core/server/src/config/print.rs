//! The configuration as people read it: the file with all keys and their defaults, and the reference.

use super::keys::ROOT;
use super::schema::{Group, Key, Kind, Place, Table, all};

const HEAD: &str = "\
# The configuration of `ternmq serve --config FILE`.
#
# A line with one # before a key says what holds when the key isn't there. Lines with two are
# examples of what isn't there by default. `ternmq config explain KEY` says more about each.
# SIGHUP changes a key while the server runs, unless it says \"Changed by a restart.\"
";

/// Units that are not what a key is about.
const MEASURES: &[&str] = &["bytes", "seconds", "milliseconds"];

/// Columns of a comment.
const WIDTH: usize = 100;

/// The file that says what holds without any. The same text is `default.toml` in the source.
pub(crate) fn default_file() -> String {
    let mut out = HEAD.to_owned();
    for key in ROOT.keys {
        out.push('\n');
        comment(&mut out, &doc(key, false));
        match key.kind {
            Kind::Table(table) => section(&mut out, key, table, "#"),
            Kind::Switch(table) => section(&mut out, key, table, "##"),
            Kind::Tables(table) => list(&mut out, key.name, table, key.name != "listener"),
            _ => line(&mut out, key, "#"),
        }
    }
    out
}

fn section(out: &mut String, section: &Key, table: &'static Table, mark: &str) {
    let name = section.name;
    // Of what is there or not the first comment has said how it changes.
    let said = section.live || matches!(section.kind, Kind::Switch(_));
    out.push_str(&format!("{mark}[{name}]\n"));
    let (lists, lines): (Vec<&Key>, Vec<&Key>) =
        (table.keys.iter()).partition(|key| matches!(key.kind, Kind::Tables(_)));
    for key in lines {
        comment(out, &doc(key, said));
        line(out, key, mark);
    }
    for key in lists {
        comment(out, &doc(key, said));
        if let Kind::Tables(table) = key.kind {
            list(out, &format!("{name}.{}", key.name), table, true);
        }
    }
}

fn list(out: &mut String, name: &str, table: &'static Table, examples: bool) {
    let mark = if examples { "##" } else { "#" };
    block(out, name, table, None, mark);
    for group in table.groups {
        comment(out, group.doc);
        block(out, name, table, Some(group), "##");
    }
}

fn block(out: &mut String, name: &str, table: &Table, group: Option<&Group>, mark: &str) {
    out.push_str(&format!("{mark}[[{name}]]\n"));
    for text in group.map_or(&[][..], |group| group.lines) {
        out.push_str(&format!("{mark}{text}\n"));
    }
    let name = group.map(|group| group.name);
    for key in table.keys.iter().filter(|key| key.group == name) {
        comment(out, &doc(key, true));
        line(out, key, mark);
    }
}

/// What is said of it in a file: its meaning, its unit, what holds without it if no line can say that, and how
/// it changes, where that is not said of all around it.
fn doc(key: &Key, said: bool) -> String {
    let mut doc = key.doc.to_owned();
    let mut also = Vec::new();
    // What is counted the words say already.
    let measured = key
        .unit
        .filter(|unit| MEASURES.contains(unit) && !doc.contains(unit));
    also.extend(measured.map(|unit| format!("In {unit}.")));
    if let Kind::OneOf(names) = key.kind {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        also.push(format!("One of {}.", names.join(", ")));
    }
    also.extend(key.otherwise.map(|words| format!("Without it: {words}.")));
    if key.example.is_some()
        && let Some(table) = key.table()
    {
        let names: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        also.push(format!("Keys: {}.", names.join(", ")));
    }
    if !said && !key.live && !matches!(key.kind, Kind::Table(_)) {
        also.push("Changed by a restart.".to_owned());
    }
    for words in also {
        doc.push(' ');
        doc.push_str(&words);
    }
    doc
}

fn line(out: &mut String, key: &Key, mark: &str) {
    let (name, example) = (key.name, key.example);
    let text = match key.default {
        _ if mark == "##" && example.is_some() => example.map(|text| format!("##{name} = {text}")),
        Some(text) => Some(format!("{mark}{name} = {text}")),
        None => example.map(|text| format!("##{name} = {text}")),
    };
    match text {
        Some(text) => out.push_str(&text),
        None => out.push_str(&format!("# {name} = ...")),
    }
    out.push('\n');
}

fn comment(out: &mut String, text: &str) {
    let mut column = 1;
    out.push('#');
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if column + length > WIDTH {
            out.push_str("\n#");
            column = 1;
        }
        out.push(' ');
        out.push_str(word);
        column += length;
    }
    out.push('\n');
}

/// All keys as a page of Markdown. The same text is `CONFIGURATION.md` in the source.
pub(crate) fn reference() -> String {
    let mut out = "\
# Configuration

Every key of the file for `ternmq serve --config FILE`, made by `ternmq config reference`. A key of the \
environment is `TERNMQ_` and the key in capitals, with `__` between a table and what is in it: \
`TERNMQ_LIMITS__QUEUE_MESSAGES=1000`; lists of tables are one variable, as TOML. The command line holds \
before the environment, and that before the file.

| key | type | without it | changed by | what it is |
|---|---|---|---|---|
"
    .to_owned();
    for place in all(&ROOT) {
        let key = place.key;
        let unit = key.unit.map(|unit| format!(", {unit}")).unwrap_or_default();
        let cells = [
            format!("`{}`", name(&place)),
            format!("{}{unit}", key.kind.describe()),
            default(key),
            match (key.kind, place.live) {
                // Each of its keys says it.
                (Kind::Table(_), false) => "",
                (_, true) => "SIGHUP",
                (_, false) => "restart",
            }
            .to_owned(),
            key.doc.to_owned(),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out.push_str(&crate::metrics::reference());
    out
}

/// With brackets as in the file where it is a table.
fn name(place: &Place) -> String {
    match place.key.kind {
        Kind::Tables(_) => format!("[[{}]]", place.name()),
        Kind::Table(_) | Kind::Switch(_) => format!("[{}]", place.name()),
        _ => place.name(),
    }
}

/// What holds without a key.
pub(crate) fn default(key: &Key) -> String {
    match (key.otherwise, key.default) {
        (Some(words), _) => words.to_owned(),
        (None, Some(text)) => format!("`{text}`"),
        (None, None) => String::new(),
    }
}
