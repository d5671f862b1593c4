//! Scenario files run against every face of the client.
//!
//! A scenario is a story of named steps, `tests/scenarios/NAME.story`; its syntax is described in
//! `tests/scenarios/README.md`. Each face (a language and a style of calling) is driven through one
//! small program, its shim, which reads a step from its standard input and writes the outcome to its
//! standard output (`tests/shims/README.md`). What a face can't do is written with its reason in
//! `tests/scenarios/gaps.toml`; the report lists the standard's statements by face.
#![forbid(unsafe_code)]

pub mod face;
pub mod normative;
pub mod report;
pub mod shim;
pub mod stage;
pub mod story;
pub mod telling;

use std::path::{Path, PathBuf};

/// The workspace root, found from this crate's own place in it.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/faces lies two folders below the root")
        .to_path_buf()
}
