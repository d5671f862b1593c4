//! Tags of normative statements, such as `[MQTT-3.1.0-1]`, name statements that exist.

use crate::{Finding, SourceFile};
use std::collections::BTreeSet;

/// Tags whose statement is in none of the tables of `tests/normative`.
pub fn unknown_statements(files: &[SourceFile]) -> Vec<Finding> {
    let known: BTreeSet<&str> = files
        .iter()
        .filter(|f| f.path.starts_with("tests/normative/"))
        .flat_map(|f| f.text.lines())
        .filter_map(|row| row.split('\t').next())
        .collect();
    let mut findings = Vec::new();
    for file in files {
        for (at, line) in file.text.lines().enumerate() {
            for id in tags(line).filter(|id| !known.contains(id)) {
                let message = format!("there is no statement {id}");
                findings.push(file.finding(at + 1, message));
            }
        }
    }
    findings
}

/// The ids in brackets on a line; `[MQTT-1.5.4-*]` and other patterns are prose.
fn tags(line: &str) -> impl Iterator<Item = &str> {
    line.split('[').skip(1).filter_map(|rest| {
        let id = rest.split(']').next()?;
        let number = id.strip_prefix("MQTT-")?;
        let plain = number
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.' || c == '-');
        (plain && number.contains('-')).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_without_a_statement_is_found() {
        let table = SourceFile::new("tests/normative/x.tsv", "MQTT-1.5.4-1\tboth\tgist\thigh");
        let text = concat!("// [MQTT", "-1.5.4-1] [MQTT", "-1.5.4-99] [MQTT-1.5.4-*]");
        let found = unknown_statements(&[table, SourceFile::new("a.rs", text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("1.5.4-99"));
    }
}
