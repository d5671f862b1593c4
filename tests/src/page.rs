//! The matrix as a page.

use crate::matrix::Row;
use crate::proof::{Proof, Side};
use std::fmt::Write as _;
use ternmq_test_tidy::statements::Standard;

/// Where the page stands, from the workspace root.
pub const PATH: &str = "tests/CONFORMANCE.md";

/// The page, which depends on nothing but the rows.
pub fn write(rows: &[Row<'_>]) -> String {
    let mut text = String::from(
        "# Statements of the standard, and what shows them\n\n\
         Written by `cargo run -p tests --bin conformance`; a test fails when it is out of date, and when a \
         statement has neither a test nor a reason for each side that it binds. Tests of the codec, of topics and \
         of the parts that both roles' sessions share, and stories that a client and a broker of ours play together, \
         count for both sides.\n\n\
         | | statements | binding a server | shown | reason | binding a client | shown | reason |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for standard in Standard::ALL {
        let of = || {
            rows.iter()
                .filter(move |r| r.statement.standard == standard)
        };
        let _ = write!(text, "| MQTT {standard} | {} |", of().count());
        for role in [Side::Server, Side::Client] {
            let bound = || of().filter(move |r| r.binds.covers(role));
            let shown = bound().filter(|r| r.is_shown(role)).count();
            let excused = bound().filter(|r| r.is_excused(role)).count();
            let _ = write!(text, " {} | {shown} | {excused} |", bound().count());
        }
        text.push('\n');
    }
    for standard in Standard::ALL {
        let _ = write!(
            text,
            "\n## MQTT {standard}\n\n| statement | binds | gist | shown by |\n|---|---|---|---|\n"
        );
        for row in rows.iter().filter(|r| r.statement.standard == standard) {
            let id = row.statement.id;
            let gist = row.statement.gist.replace('|', "\\|");
            let _ = writeln!(
                text,
                "| {id} | {} | {gist} | {} |",
                row.binds,
                shown_by(row)
            );
        }
    }
    text
}

/// Tests by the side they look at, then the reasons.
fn shown_by(row: &Row<'_>) -> String {
    let mut parts = Vec::new();
    for side in [Side::Server, Side::Client, Side::Both] {
        let links: Vec<String> = row
            .proofs
            .iter()
            .filter(|p| p.side == side)
            .map(|p| link(p))
            .collect();
        if !links.is_empty() {
            parts.push(format!("{side}: {}", links.join(", ")));
        }
    }
    for reason in &row.reasons {
        parts.push(format!("no test of {}: {}", reason.side, reason.reason));
    }
    parts.join("; ")
}

/// A link from the page to the file of a test.
fn link(proof: &Proof) -> String {
    let path = match proof.path.strip_prefix("tests/") {
        Some(inside) => inside.to_string(),
        None => format!("../{}", proof.path),
    };
    format!("[{}]({path})", proof.name)
}
