//! The numbered statements of the standard, and the tags that name them.
//!
//! A tag such as `[MQTT-3.1.0-2]` in a comment names a statement of MQTT 5.0. Behind the number of the
//! older version on the same line it names one of that text, for the same numbers mean other things there.

use crate::{Finding, SourceFile};
use std::fmt;

/// A text of the standard that has numbered statements; MQTT 3.1 has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// MQTT 3.1.1
    V311,
    /// MQTT 5.0
    V5,
}

impl Standard {
    /// Both, the older first.
    pub const ALL: [Self; 2] = [Self::V311, Self::V5];

    /// Where its statements stand, from the workspace root.
    pub fn table(self) -> &'static str {
        match self {
            Self::V311 => "tests/normative/mqtt311.tsv",
            Self::V5 => "tests/normative/mqtt5.tsv",
        }
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}

/// A row of a table of statements.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// Whose it is.
    pub standard: Standard,
    /// `MQTT-3.1.0-1`
    pub id: &'a str,
    /// `server`, `client` or `both`.
    pub binds: &'a str,
    /// What it says, in our words.
    pub gist: &'a str,
}

/// Every statement of both texts, in the order of the tables.
pub fn all(files: &[SourceFile]) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    for standard in Standard::ALL {
        let table = files.iter().filter(|f| f.path == standard.table());
        for row in table.flat_map(|f| f.text.lines()) {
            let mut columns = row.split('\t');
            let (Some(id), Some(binds), Some(gist)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue; // a remark
            };
            if id.starts_with("MQTT-") {
                statements.push(Statement {
                    standard,
                    id,
                    binds,
                    gist,
                });
            }
        }
    }
    statements
}

/// Tags whose statement is not in the table of the text they mean.
pub fn unknown_statements(files: &[SourceFile]) -> Vec<Finding> {
    let known = all(files);
    let mut findings = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            for (standard, id) in tags(line) {
                if !known.iter().any(|s| s.standard == standard && s.id == id) {
                    let message = format!("MQTT {standard} has no statement {id}");
                    findings.push(file.finding(at + 1, message));
                }
            }
        }
    }
    findings
}

/// The statements that a line names in brackets; `[MQTT-1.5.4-*]` and other patterns are prose.
pub fn tags(line: &str) -> impl Iterator<Item = (Standard, &str)> {
    let mut standard = Standard::V5;
    line.split('[').enumerate().filter_map(move |(at, part)| {
        let (inside, behind) = match (at, part.split_once(']')) {
            (0, _) | (_, None) => ("", part),
            (_, Some(halves)) => halves,
        };
        let tag = inside.strip_prefix("MQTT-").filter(|number| {
            let plain = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
            number.contains('-') && number.chars().all(plain)
        });
        let tag = tag.map(|_| (standard, inside));
        if behind.contains("3.1.1") {
            standard = Standard::V311;
        }
        tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_without_a_statement_is_found() {
        let row = "MQTT-1.5.4-1\tboth\tgist\thigh";
        let table = SourceFile::new(Standard::V5.table(), row);
        let text = concat!("// [MQTT", "-1.5.4-1] [MQTT", "-1.5.4-99] [MQTT-1.5.4-*]");
        let other = concat!("// in MQTT 3.1.1 [MQTT", "-1.5.4-1]");
        let files = [
            table,
            SourceFile::new("a.rs", text),
            SourceFile::new("b.rs", other),
        ];
        let found = unknown_statements(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0]
                .message
                .contains("5.0 has no statement MQTT-1.5.4-99")
        );
        assert!(found[1].message.contains("3.1.1 has no"));
    }

    #[test]
    fn a_tag_means_the_older_text_behind_its_number() {
        let line = concat!(
            "// [MQTT",
            "-1.2.3-4]: so. In MQTT 3.1.1 [MQTT",
            "-5.6.7-8] [x]"
        );
        let found: Vec<_> = tags(line).collect();
        let wanted = [
            (Standard::V5, "MQTT-1.2.3-4"),
            (Standard::V311, "MQTT-5.6.7-8"),
        ];
        assert_eq!(found, wanted);
    }
}
