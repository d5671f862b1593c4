//! What is wrong with a configuration.

use std::fmt;

use serde_json::{Value, json};

use super::tree::Origin;

/// One thing that is wrong, where, and what may help. No secret is in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// `None` where it can't be said.
    origin: Option<Origin>,
    /// The key, with its tables; empty where there is none.
    key: String,
    what: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(origin: Origin, key: &str, what: impl Into<String>) -> Self {
        Self {
            origin: Some(origin),
            key: key.to_owned(),
            what: what.into(),
            hint: None,
        }
    }

    /// Something that is wrong with the whole.
    pub(crate) fn of_all(what: impl Into<String>) -> Self {
        Self {
            origin: None,
            key: String::new(),
            what: what.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "where": self.origin.as_ref().map(Origin::json),
            "key": Some(&self.key).filter(|key| !key.is_empty()),
            "what": self.what, "hint": self.hint })
    }

    /// The place in one file: those of the environment and of the whole come after those of the file.
    fn order(&self) -> (usize, usize) {
        match &self.origin {
            Some(Origin::File { line, column, .. }) => (*line, *column),
            _ => (usize::MAX, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// All that is wrong, at least one thing, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// # Errors
    /// There are some.
    pub(crate) fn none(mut problems: Vec<Problem>) -> Result<(), Self> {
        // A line that can't be read is nothing else as well; what it seems to say may be in the wrong place.
        let unread: Vec<Origin> = (problems.iter())
            .filter(|problem| problem.key.is_empty())
            .filter_map(|problem| problem.origin.clone())
            .collect();
        problems.retain(|problem| {
            let same = |origin: &Origin| {
                problem
                    .origin
                    .as_ref()
                    .is_some_and(|own| own.is_in_line_of(origin))
            };
            problem.key.is_empty() || !unread.iter().any(same)
        });
        problems.sort_by_key(Problem::order);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Self(problems)),
        }
    }

    pub(crate) fn list(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
