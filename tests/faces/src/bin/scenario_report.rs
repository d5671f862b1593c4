//! Prints which statements of the standard the scenarios have shown through which face, writes the
//! same to `target/scenario-report.md`, and fails when a performance failed or is missing.
#![forbid(unsafe_code)]

use std::fs;
use std::process::ExitCode;
use ternmq_test_faces::{report, story::Story, workspace_root};

fn main() -> ExitCode {
    match write() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("scenario-report: some scenarios failed or were not run");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("scenario-report: {e}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<bool, String> {
    let stories = Story::load_all(&workspace_root().join("tests/scenarios"))?;
    let (text, good) = report::write(&stories, &report::load_gaps()?)?;
    print!("{text}");
    let path = workspace_root().join("target/scenario-report.md");
    fs::write(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(good)
}
