//! The `ternmq` command.
#![forbid(unsafe_code)]
fn main() {}
