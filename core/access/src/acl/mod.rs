//! Files of rules: TernMQ's own, and the `acl_file` of mosquitto.
//!
//! Each line of TernMQ's is a rule, and the first one that applies decides:
//!
//! ```text
//! # Words of a rule may stand in any order; `topic` comes last.
//! group sensors = s1 s2 "cellar 3" probe-*
//! allow group sensors publish qos 0,1 topic sensors/%u/#
//! allow user anna client desk-* address 192.0.2.0/24 topic lab/# tools/+/%c
//! deny nobody subscribe topic #
//! deny publish retain yes
//! ```

mod mosquitto;
mod own;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ternmq_broker::access::{MAX_RULES, Rule, Rules, Verdict};

use crate::text::{FileError, MAX_ERRORS, read_file};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines that begin with `allow`, `deny` or `group`; the first rule that applies decides.
    Own,
    /// mosquitto's `acl_file`: lines that begin with `user`, `topic` or `pattern`. In it what denies comes
    /// before what allows, a user's topics before patterns, and nothing else is allowed.
    ///
    /// A subscription is decided when it is made: its filter may match no topic that may not be read.
    /// mosquitto takes it and keeps back what may not be read. Names with `/` fit no place of a `pattern`
    /// either, not only those with `+` and `#`.
    Mosquitto,
}

/// Rules in order, with where each of them stands.
#[derive(Debug, Default)]
pub struct Acl {
    rules: Vec<Rule>,
    places: Vec<Place>,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file, as it was named.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: usize,
    /// What stands there, without blanks at its ends.
    pub text: Box<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Acl {
    /// Adds the rules of a file behind those that are there.
    ///
    /// # Errors
    /// The first twenty things that are wrong with it, in its order; then nothing is added.
    pub fn add_file(&mut self, path: &Path, format: Format) -> Result<(), Vec<FileError>> {
        self.add_text(&read_file(path)?, path, format)
    }

    /// Adds the rules of a text that stands in this file.
    ///
    /// # Errors
    /// As [`Acl::add_file`].
    pub fn add_text(
        &mut self,
        text: &str,
        path: &Path,
        format: Format,
    ) -> Result<(), Vec<FileError>> {
        let mut reading = Reading::new(path);
        match format {
            Format::Own => own::read(text, &mut reading),
            Format::Mosquitto => mosquitto::read(text, &mut reading),
        }
        if !reading.errors.is_empty() {
            return Err(reading.errors);
        }
        if self.rules.len() + reading.rules.len() > MAX_RULES {
            let what = format!("more than {MAX_RULES} rules");
            return Err(vec![FileError::of_all(path, what)]);
        }
        self.rules.append(&mut reading.rules);
        self.places.append(&mut reading.places);
        Ok(())
    }

    /// The rules for a broker, and what holds where none of them applies.
    ///
    /// # Panics
    /// Never: what can never apply was refused when it was read.
    #[must_use]
    pub fn rules(&self, otherwise: Verdict) -> Rules {
        Rules::new(self.rules.clone(), otherwise).expect("rules were looked at one by one")
    }

    /// The rules alone.
    pub(crate) fn into_rules(self) -> Vec<Rule> {
        self.rules
    }

    /// Where the rule at this place stands.
    #[must_use]
    pub fn place(&self, at: usize) -> Option<&Place> {
        self.places.get(at)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// A file that is being read.
struct Reading {
    file: Arc<Path>,
    rules: Vec<Rule>,
    places: Vec<Place>,
    errors: Vec<FileError>,
}

impl Reading {
    fn new(path: &Path) -> Self {
        Self {
            file: path.into(),
            rules: Vec::new(),
            places: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A rule that stands in this line, if it can ever apply.
    fn rule(&mut self, line: usize, text: &str, rule: Rule) {
        if Rules::new(vec![rule.clone()], Verdict::Deny).is_err() {
            return self.error(line, 1, "the rule can never apply");
        }
        self.rules.push(rule);
        self.places.push(Place {
            file: self.file.clone(),
            line,
            text: text.trim().into(),
        });
    }

    fn error(&mut self, line: usize, column: usize, what: impl Into<String>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors
                .push(FileError::at(&self.file, line, column, what));
        }
    }
}
