//! Statements joined with the tests that show them and the reasons of those that no test shows.

use crate::proof::{self, Proof, Side};
use ternmq_test_tidy::SourceFile;
use ternmq_test_tidy::statements::{self, Standard, Statement};

/// The file of reasons, from the workspace root: statement, text, side, reason.
pub const REASONS: &str = "tests/normative/unobservable.tsv";

/// Why no test shows a statement for one side or for both.
#[derive(Clone, Debug)]
pub struct Reason<'a> {
    /// Whose text the statement is of.
    pub standard: Standard,
    /// The statement.
    pub id: &'a str,
    /// Of which side no test can tell.
    pub side: Side,
    /// Why.
    pub reason: &'a str,
}

/// One statement and all there is to say about it.
pub struct Row<'a> {
    /// The statement.
    pub statement: Statement<'a>,
    /// Whom it binds.
    pub binds: Side,
    /// The tests that show it.
    pub proofs: Vec<&'a Proof>,
    /// Why there is none for a side.
    pub reasons: Vec<Reason<'a>>,
}

impl Row<'_> {
    /// The roles that the statement binds.
    pub fn roles(&self) -> impl Iterator<Item = Side> {
        let binds = self.binds;
        let roles = [Side::Server, Side::Client].into_iter();
        roles.filter(move |role| binds.covers(*role))
    }

    /// Whether a test shows it for `role`.
    pub fn is_shown(&self, role: Side) -> bool {
        self.proofs.iter().any(|p| p.side.covers(role))
    }

    /// Whether a reason says why no test does.
    pub fn is_excused(&self, role: Side) -> bool {
        self.reasons.iter().any(|r| r.side.covers(role))
    }
}

/// The rows of both texts, in the order of their tables.
///
/// # Errors
/// A table that can't be read, or a reason for a statement that does not exist.
pub fn join<'a>(files: &'a [SourceFile], proofs: &'a [Proof]) -> Result<Vec<Row<'a>>, String> {
    let mut rows = Vec::new();
    for statement in statements::all(files) {
        let binds = Side::parse(statement.binds)
            .ok_or_else(|| format!("{} binds `{}`", statement.id, statement.binds))?;
        let same = |p: &&Proof| p.standard == statement.standard && p.id == statement.id;
        rows.push(Row {
            statement,
            binds,
            proofs: proofs.iter().filter(same).collect(),
            reasons: Vec::new(),
        });
    }
    for reason in reasons(files)? {
        let same = |row: &&mut Row| {
            row.statement.standard == reason.standard && row.statement.id == reason.id
        };
        match rows.iter_mut().find(same) {
            Some(row) => row.reasons.push(reason),
            None => {
                return Err(format!(
                    "{REASONS}: there is no {} in {}",
                    reason.id, reason.standard
                ));
            }
        }
    }
    Ok(rows)
}

/// What is wrong with the rows: neither test nor reason for a side that is bound, or both at once.
pub fn gaps(rows: &[Row<'_>]) -> Vec<String> {
    let mut gaps = Vec::new();
    for row in rows {
        let Statement {
            standard, id, gist, ..
        } = row.statement;
        for role in row.roles() {
            match (row.is_shown(role), row.is_excused(role)) {
                (false, false) => gaps.push(format!(
                    "MQTT {standard} {id} ({role}): no test and no reason: {gist}"
                )),
                (true, true) => gaps.push(format!(
                    "MQTT {standard} {id} ({role}): has a test, so strike it from {REASONS}"
                )),
                _ => {}
            }
        }
        for reason in &row.reasons {
            if !row.binds.covers(reason.side) && row.binds != reason.side {
                gaps.push(format!(
                    "MQTT {standard} {id}: does not bind the {}, so strike it from {REASONS}",
                    reason.side
                ));
            }
        }
    }
    gaps
}

/// Collects, joins and hands over the rows.
///
/// # Errors
/// As [`proof::collect`] and [`join`].
pub fn with_rows<T>(files: &[SourceFile], what: impl FnOnce(&[Row<'_>]) -> T) -> Result<T, String> {
    let proofs = proof::collect(files)?;
    Ok(what(&join(files, &proofs)?))
}

fn reasons(files: &[SourceFile]) -> Result<Vec<Reason<'_>>, String> {
    let file = files
        .iter()
        .find(|f| f.path == REASONS)
        .ok_or(format!("{REASONS} is missing"))?;
    let mut reasons = Vec::new();
    for row in file.text.lines().filter(|l| l.starts_with("MQTT-")) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [id, standard, side, reason] = columns[..] else {
            return Err(format!("{REASONS}: four columns wanted in `{row}`"));
        };
        let standard = Standard::ALL
            .into_iter()
            .find(|s| s.to_string() == standard);
        let (Some(standard), Some(side)) = (standard, Side::parse(side)) else {
            return Err(format!("{REASONS}: no such text or side in `{row}`"));
        };
        if reason.trim().is_empty() {
            return Err(format!("{REASONS}: no reason in `{row}`"));
        }
        reasons.push(Reason {
            standard,
            id,
            side,
            reason,
        });
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "MQTT-1.0.0-1\tserver\tgist\thigh\nMQTT-1.0.0-2\tboth\tgist\thigh";

    /// The gaps when a test of the broker shows `tags` and these reasons are given.
    fn gaps_of(tags: &[&str], reasons: &str) -> Vec<String> {
        let tags: String = tags.iter().map(|id| format!("// [{id}]\n")).collect();
        let files = [
            SourceFile::new(Standard::V5.table(), TABLE),
            SourceFile::new(REASONS, reasons),
            SourceFile::new(
                "core/broker/tests/a.rs",
                &format!("{tags}#[test]\nfn shows() {{}}"),
            ),
        ];
        with_rows(&files, gaps).unwrap_or_else(|e| vec![e])
    }

    #[test]
    fn a_statement_needs_a_test_or_a_reason_for_each_side_it_binds() {
        let both = ["MQTT-1.0.0-1", "MQTT-1.0.0-2"];
        assert_eq!(
            gaps_of(&both, "").len(),
            1,
            "the client's half of the second"
        );
        assert_eq!(gaps_of(&both[1..], "").len(), 2);
        assert_eq!(gaps_of(&both, "MQTT-1.0.0-2\t5.0\tclient\tso"), [""; 0]);
        let all = "MQTT-1.0.0-1\t5.0\tserver\tso\nMQTT-1.0.0-2\t5.0\tboth\tso";
        assert_eq!(gaps_of(&[], all), [""; 0]);
    }

    #[test]
    fn a_reason_that_has_no_place_is_found() {
        let both = ["MQTT-1.0.0-1", "MQTT-1.0.0-2"];
        let client = "MQTT-1.0.0-2\t5.0\tclient\tso\n";
        for bad in [
            "MQTT-1.0.0-1\t5.0\tserver\tthere is a test",
            "MQTT-1.0.0-1\t5.0\tclient\tit binds no client",
            "MQTT-1.0.0-3\t5.0\tserver\tno such statement",
            "MQTT-1.0.0-1\t3.1.1\tserver\tno such statement there",
            "MQTT-1.0.0-1\t5.0\tserver\t ",
            "MQTT-1.0.0-1\t5\tserver\tno such text",
        ] {
            assert_eq!(gaps_of(&both, &format!("{client}{bad}")).len(), 1, "{bad}");
        }
    }
}
