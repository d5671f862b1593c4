//! The lines of mosquitto.conf, with those of the folders that it includes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders within folders.
const DEPTH: usize = 8;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) file: Arc<PathBuf>,
    pub(super) number: usize,
    pub(super) key: String,
    pub(super) value: String,
}

impl Line {
    /// `None`: it says neither.
    pub(super) fn truth(&self) -> Option<bool> {
        match &*self.value.to_ascii_lowercase() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        self.value.parse().ok()
    }
}

/// All lines that say something, in their order.
///
/// # Errors
/// A file or folder that can't be read.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    add(path, DEPTH, &mut lines)?;
    Ok(lines)
}

fn add(path: &Path, depth: usize, lines: &mut Vec<Line>) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let file = Arc::new(path.to_owned());
    for (at, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let line = Line {
            file: file.clone(),
            number: at + 1,
            key: key.to_owned(),
            value: value.trim().to_owned(),
        };
        if line.key != "include_dir" {
            lines.push(line);
            continue;
        }
        let Some(depth) = depth.checked_sub(1) else {
            let place = format!("{}, line {}", path.display(), line.number);
            return Err(format!("{place}: folders include each other"));
        };
        for included in included(Path::new(&line.value))? {
            add(&included, depth, lines)?;
        }
    }
    Ok(())
}

/// The files of a folder whose names end in .conf, by their names.
fn included(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("cannot read {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "conf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
