//! The rules of the house, as functions over the source tree.
//!
//! A rule takes [`SourceFile`]s and returns [`Finding`]s; it never touches the disk itself, so that
//! each rule is shown a bad sample in its own tests before `tests/tree.rs` runs it over the tree.
#![forbid(unsafe_code)]

pub mod layers;
pub mod safety;
pub mod size;
pub mod statements;
pub mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The languages whose files the rules read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `.rs`
    Rust,
    /// `.py`, `.pyi`
    Python,
    /// `.c`, `.h`
    C,
    /// `Cargo.toml`, `.toml`
    Toml,
    /// Scripts, prose and everything else that is text.
    Text,
}

/// One file of the tree, read into memory.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path from the workspace root, with `/` between its parts.
    pub path: String,
    /// What the name says the file holds.
    pub language: Language,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// A file as the rules see it; the language comes from the path.
    pub fn new(path: &str, text: &str) -> Self {
        let language = match path.rsplit('.').next().unwrap_or("") {
            "rs" => Language::Rust,
            "py" | "pyi" => Language::Python,
            "c" | "h" => Language::C,
            "toml" => Language::Toml,
            _ => Language::Text,
        };
        Self {
            path: path.to_string(),
            language,
            text: text.to_string(),
        }
    }

    /// The parsed syntax of a Rust file; `None` for other languages.
    ///
    /// # Panics
    /// When a Rust file of the tree does not parse: the compiler says the same, better.
    pub fn syntax(&self) -> Option<syn::File> {
        (self.language == Language::Rust).then(|| {
            syn::parse_file(&self.text)
                .unwrap_or_else(|e| panic!("{}: does not parse as Rust: {e}", self.path))
        })
    }

    /// Whether the file belongs to the test suites or to the test modules of a crate.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/")
    }

    /// A finding in this file.
    pub fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// One place where the tree breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Path from the workspace root.
    pub path: String,
    /// Line, from 1; 0 when the finding is about the whole file.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The workspace root, found from this crate's own place in it.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/tidy lies two folders below the root")
        .to_path_buf()
}

/// Every text file below `root`, without build output, virtual environments and the folder of the
/// version control; binary files (seed corpora) are left out.
pub fn load(root: &Path) -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display()));
        for entry in entries.map(|e| e.expect("a readable folder entry")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a file type");
            if SKIPPED.contains(&name.as_str()) || name.ends_with(".egg-info") {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let path = entry.path();
                let inside = path.strip_prefix(root).expect("a path below the root");
                files.push(SourceFile::new(&inside.to_string_lossy(), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// `.git` is a file in a linked working tree.
const SKIPPED: [&str; 8] = [
    "target",
    ".git",
    ".venv",
    "__pycache__",
    ".pytest_cache",
    "corpus",
    "artifacts",
    "node_modules",
];
