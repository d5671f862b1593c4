//! The numbered statements of the standard.

use crate::story::Version;
use crate::workspace_root;
use std::collections::BTreeMap;
use std::fs;

/// Statement ids of one version with the gist of each.
pub struct Statements(BTreeMap<String, String>);

impl Statements {
    /// The statements of MQTT 3.1.1 or 5.0; MQTT 3.1 has none of its own.
    ///
    /// # Errors
    /// The table can't be read.
    pub fn of(version: Version) -> Result<Self, String> {
        let file = match version {
            Version::V31 => return Ok(Self(BTreeMap::new())),
            Version::V311 => "mqtt311.tsv",
            Version::V5 => "mqtt5.tsv",
        };
        let path = workspace_root().join("tests/normative").join(file);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let rows = text.lines().filter(|l| l.starts_with("MQTT-"));
        Ok(Self(
            rows.filter_map(|row| {
                let mut columns = row.split('\t');
                let id = columns.next()?;
                Some((id.to_string(), columns.nth(1)?.to_string()))
            })
            .collect(),
        ))
    }

    /// The gist of a statement, if there is one with that id.
    pub fn gist(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_there() {
        let v5 = Statements::of(Version::V5).expect("MQTT 5");
        assert!(
            v5.gist("MQTT-3.1.0-1")
                .is_some_and(|g| g.contains("CONNECT"))
        );
        assert_eq!(v5.gist("MQTT-9.9.9-9"), None);
        let v311 = Statements::of(Version::V311).expect("MQTT 3.1.1");
        assert!(v311.gist("MQTT-6.0.0-4").is_some());
    }
}
