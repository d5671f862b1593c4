//! What a configuration may say: the form in which [`keys`](super::keys) lists every key.

use toml::Value;

/// A table of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    /// Its keys, in the order in which people read them.
    pub(crate) keys: &'static [Key],
    /// What only all of its lines together can be asked.
    pub(crate) check: fn(&Value) -> Result<(), String>,
    /// Keys that belong together in an example of their own.
    pub(crate) groups: &'static [Group],
}

/// Keys of a table that make sense with certain others only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// Lines that they need.
    pub(crate) lines: &'static [&'static str],
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Option<&'static str>,
    /// What holds without it, as it would be written; `None`: something that can't be written, or nothing.
    pub(crate) default: Option<&'static str>,
    /// The same in words.
    pub(crate) otherwise: Option<&'static str>,
    pub(crate) example: Option<&'static str>,
    pub(crate) group: Option<&'static str>,
    /// Whether a running server takes it over when it reads its configuration again.
    pub(crate) live: bool,
    /// Never to be shown.
    pub(crate) secret: bool,
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    OneOf(&'static [&'static str]),
    Text(Form),
    Time,
    List(&'static Kind),
    Table(&'static Table),
    /// There only if it is written, and then with its defaults.
    Switch(&'static Table),
    Tables(&'static Table),
}

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) what: &'static str,
    pub(crate) check: fn(&str) -> Result<(), String>,
}

/// Nothing to ask.
pub(crate) fn anything(_: &Value) -> Result<(), String> {
    Ok(())
}

pub(crate) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        doc,
        kind,
        unit: None,
        default: None,
        otherwise: None,
        example: None,
        group: None,
        live: false,
        secret: false,
    }
}

pub(crate) const fn boolean(name: &'static str, doc: &'static str) -> Key {
    key(name, Kind::Boolean, doc)
}

pub(crate) const fn integer(name: &'static str, min: i64, max: i64, doc: &'static str) -> Key {
    key(name, Kind::Integer { min, max }, doc)
}

/// A number that may be as large as one likes.
pub(crate) const fn count(name: &'static str, doc: &'static str) -> Key {
    integer(name, 0, i64::MAX, doc)
}

pub(crate) const fn bytes(name: &'static str, doc: &'static str) -> Key {
    count(name, doc).unit("bytes")
}

pub(crate) const fn text(name: &'static str, form: Form, doc: &'static str) -> Key {
    key(name, Kind::Text(form), doc)
}

pub(crate) const fn one_of(
    name: &'static str,
    names: &'static [&'static str],
    doc: &'static str,
) -> Key {
    key(name, Kind::OneOf(names), doc)
}

impl Key {
    pub(crate) const fn unit(self, unit: &'static str) -> Self {
        Self {
            unit: Some(unit),
            ..self
        }
    }

    pub(crate) const fn default(self, text: &'static str) -> Self {
        Self {
            default: Some(text),
            ..self
        }
    }

    pub(crate) const fn otherwise(self, words: &'static str) -> Self {
        Self {
            otherwise: Some(words),
            ..self
        }
    }

    pub(crate) const fn example(self, text: &'static str) -> Self {
        Self {
            example: Some(text),
            ..self
        }
    }

    pub(crate) const fn group(self, name: &'static str) -> Self {
        Self {
            group: Some(name),
            ..self
        }
    }

    pub(crate) const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    pub(crate) const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    /// The table that it is, or that each of its elements is.
    pub(crate) const fn table(&self) -> Option<&'static Table> {
        self.kind.table()
    }
}

impl Kind {
    pub(crate) const fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Table(table) | Self::Switch(table) | Self::Tables(table) => Some(table),
            _ => None,
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } if *max == i64::MAX => {
                format!("an integer, {min} or more")
            }
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::OneOf(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                format!("one of {}", names.join(", "))
            }
            Self::Text(form) => form.what.to_owned(),
            Self::Time => "a time in UTC, as in 2026-12-31T23:59:59Z".to_owned(),
            Self::List(kind) => format!("a list of {}", kind.of_many()),
            Self::Table(_) => "a table".to_owned(),
            Self::Switch(_) => "a table, off without it".to_owned(),
            Self::Tables(_) => "tables, one for each".to_owned(),
        }
    }

    fn of_many(&self) -> String {
        match self {
            Self::Text(form) => format!("texts, each {}", form.what),
            other => format!("values, each {}", other.describe()),
        }
    }
}

/// A key with the names of the tables that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: Vec<&'static str>,
    pub(crate) key: &'static Key,
    /// Whether it, or the table that it is in, can be changed while the server runs.
    pub(crate) live: bool,
}

impl Place {
    /// As people write it: `limits.queue_messages`.
    pub(crate) fn name(&self) -> String {
        self.path.join(".")
    }
}

/// All keys below a table, tables before what is in them.
pub(crate) fn all(table: &'static Table) -> Vec<Place> {
    let mut places = Vec::new();
    add(table, &[], false, &mut places);
    places
}

fn add(table: &'static Table, path: &[&'static str], live: bool, places: &mut Vec<Place>) {
    for key in table.keys {
        let mut path = path.to_vec();
        path.push(key.name);
        places.push(Place {
            path: path.clone(),
            key,
            live: live || key.live,
        });
        if let Some(table) = key.table() {
            add(table, &path, live || key.live, places);
        }
    }
}

/// The name most like this one, if any is like it.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ENOUGH: f64 = 0.8;
    let rated = known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, known), known));
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= ENOUGH).then_some(best.1)
}
