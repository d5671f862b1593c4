//! Writes `tests/CONFORMANCE.md`, and fails when a statement has neither a test nor a reason.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use ternmq_test_tidy::{load, workspace_root};
use tests::{matrix, page};

fn main() -> ExitCode {
    match write() {
        Ok(gaps) if gaps.is_empty() => ExitCode::SUCCESS,
        Ok(gaps) => {
            for gap in &gaps {
                eprintln!("conformance: {gap}");
            }
            eprintln!("conformance: {} gaps", gaps.len());
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("conformance: {e}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<Vec<String>, String> {
    let root = workspace_root();
    let (text, gaps) =
        matrix::with_rows(&load(&root), |rows| (page::write(rows), matrix::gaps(rows)))?;
    fs::write(root.join(page::PATH), text).map_err(|e| format!("{}: {e}", page::PATH))?;
    Ok(gaps)
}
