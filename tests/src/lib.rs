//! What is asked of all suites at once: which test shows which statement of the standard.
//!
//! `cargo run -p tests --bin conformance` writes the answer to `tests/CONFORMANCE.md`.
#![forbid(unsafe_code)]

pub mod matrix;
pub mod page;
pub mod proof;
