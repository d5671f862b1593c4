//! What has been performed, and the table of statements by face.

use crate::face::{self, plays};
use crate::normative::Statements;
use crate::story::{Story, Version};
use crate::workspace_root;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// A scenario that a face does not play, with the reason.
#[derive(Clone, Debug)]
pub struct Gap {
    /// One of [`face::all`].
    pub face: String,
    /// A story's name, or `*` for all.
    pub story: String,
    /// The only version the gap is about; all when absent.
    pub version: Option<String>,
    /// Why.
    pub reason: String,
}

impl Gap {
    /// Whether the gap covers this performance.
    pub fn covers(&self, face: &str, story: &Story, version: Version) -> bool {
        self.face == face
            && (self.story == "*" || self.story == story.name)
            && self
                .version
                .as_ref()
                .is_none_or(|v| *v == version.to_string())
    }
}

/// The gaps of `tests/scenarios/gaps.toml`.
///
/// # Errors
/// The file is malformed, or a gap has no face, no story or no reason.
pub fn load_gaps() -> Result<Vec<Gap>, String> {
    let path = workspace_root().join("tests/scenarios/gaps.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("gaps.toml: {e}"))?;
    parse_gaps(&text)
}

fn parse_gaps(text: &str) -> Result<Vec<Gap>, String> {
    let table: toml::Table = text.parse().map_err(|e| format!("gaps.toml: {e}"))?;
    let rows = table.get("gap").and_then(|g| g.as_array());
    let mut gaps = Vec::new();
    for row in rows.into_iter().flatten() {
        let text = |key: &str| row.get(key).and_then(|v| v.as_str()).map(str::to_string);
        let need = |key: &str| {
            text(key)
                .filter(|t| !t.is_empty())
                .ok_or(format!("gaps.toml: a gap without {key}"))
        };
        let gap = Gap {
            face: need("face")?,
            story: need("story")?,
            version: text("version"),
            reason: need("reason")?,
        };
        if !face::all().any(|name| name == gap.face) {
            return Err(format!("gaps.toml: there is no face {}", gap.face));
        }
        gaps.push(gap);
    }
    Ok(gaps)
}

/// Forgets or writes down how a performance went, for the report.
///
/// # Errors
/// The disk.
pub fn record(face: &str, story: &Story, version: Version, good: bool) -> Result<(), String> {
    let path = result_path(face, story, version);
    fs::create_dir_all(path.parent().expect("a folder")).map_err(|e| e.to_string())?;
    fs::write(&path, if good { "passed" } else { "failed" }).map_err(|e| e.to_string())
}

/// The report in Markdown, and whether every performance that should have been passed.
///
/// # Errors
/// A table of statements can't be read.
pub fn write(stories: &[Story], gaps: &[Gap]) -> Result<(String, bool), String> {
    let mut text = String::from("# Scenarios by face\n\n");
    let mut cells: BTreeMap<(Version, String), BTreeMap<&str, Tally>> = BTreeMap::new();
    let mut totals: BTreeMap<&str, Tally> = BTreeMap::new();
    for story in stories {
        for &version in &story.versions {
            for face in face::all().filter(|face| plays(face, story)) {
                let outcome = outcome(face, story, version, gaps);
                totals.entry(face).or_default().add(outcome);
                for (_, id) in story.proves.iter().filter(|p| p.0 == version) {
                    let row = cells.entry((version, id.clone())).or_default();
                    row.entry(face).or_default().add(outcome);
                }
            }
        }
    }
    let _ = writeln!(
        text,
        "| face | passed | failed | not run | gaps |\n|---|---|---|---|---|"
    );
    for face in face::all() {
        let Some(t) = totals.get(face) else {
            continue;
        };
        let _ = writeln!(
            text,
            "| {face} | {} | {} | {} | {} |",
            t.passed, t.failed, t.not_run, t.gaps
        );
    }
    write_statements(&mut text, &cells)?;
    write_gaps(&mut text, gaps);
    let good = totals.values().all(|t| t.failed == 0 && t.not_run == 0);
    Ok((text, good))
}

#[derive(Clone, Copy)]
enum Outcome {
    Passed,
    Failed,
    NotRun,
    Gap,
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    not_run: usize,
    gaps: usize,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::NotRun => self.not_run += 1,
            Outcome::Gap => self.gaps += 1,
        }
    }

    fn cell(&self) -> String {
        let parts = [
            (self.passed, "passed"),
            (self.failed, "FAILED"),
            (self.not_run, "not run"),
            (self.gaps, "gap"),
        ];
        let words = parts.iter().filter(|p| p.0 > 0).map(|(n, word)| match n {
            1 => (*word).to_string(),
            n => format!("{n} {word}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

fn outcome(face: &str, story: &Story, version: Version, gaps: &[Gap]) -> Outcome {
    if gaps.iter().any(|g| g.covers(face, story, version)) {
        return Outcome::Gap;
    }
    match fs::read_to_string(result_path(face, story, version)).as_deref() {
        Ok("passed") => Outcome::Passed,
        Ok(_) => Outcome::Failed,
        Err(_) => Outcome::NotRun,
    }
}

fn result_path(face: &str, story: &Story, version: Version) -> PathBuf {
    let folder = workspace_root().join("target/scenario-results").join(face);
    folder.join(format!("{}-{version}", story.name))
}

fn write_statements(
    text: &mut String,
    cells: &BTreeMap<(Version, String), BTreeMap<&str, Tally>>,
) -> Result<(), String> {
    let faces: Vec<&str> = face::all().collect();
    let versions: BTreeSet<Version> = cells.keys().map(|k| k.0).collect();
    for version in versions {
        let statements = Statements::of(version)?;
        let _ = writeln!(text, "\n## Statements of MQTT {version}\n");
        let _ = writeln!(text, "| statement | | {} |", faces.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(faces.len()));
        for ((_, id), row) in cells.iter().filter(|((v, _), _)| *v == version) {
            let row: Vec<String> = faces
                .iter()
                .map(|face| row.get(face).map_or_else(String::new, Tally::cell))
                .collect();
            let gist = statements.gist(id).unwrap_or("?");
            let _ = writeln!(text, "| {id} | {gist} | {} |", row.join(" | "));
        }
    }
    Ok(())
}

fn write_gaps(text: &mut String, gaps: &[Gap]) {
    if gaps.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## Gaps\n\n| face | story | version | reason |\n|---|---|---|---|"
    );
    for g in gaps {
        let version = g.version.as_deref().unwrap_or("all");
        let _ = writeln!(
            text,
            "| {} | {} | {version} | {} |",
            g.face, g.story, g.reason
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_needs_a_known_face_and_a_reason() {
        let good = "[[gap]]\nface = \"rust\"\nstory = \"*\"\nreason = \"because\"";
        assert_eq!(parse_gaps(good).expect("a gap").len(), 1);
        for bad in [
            "[[gap]]\nface = \"rust\"\nstory = \"*\"",
            "[[gap]]\nface = \"rust\"\nstory = \"*\"\nreason = \"\"",
            "[[gap]]\nface = \"cobol\"\nstory = \"*\"\nreason = \"x\"",
        ] {
            assert!(parse_gaps(bad).is_err(), "{bad}");
        }
    }
}
