//! The program that these tests are about.

use std::ffi::OsString;

/// The binary of this package, or what `TERNMQ_TEST_PROGRAM` names: whatever else is the command `ternmq`
/// has to pass the same tests.
pub(crate) fn program() -> OsString {
    let own = || env!("CARGO_BIN_EXE_ternmq").into();
    std::env::var_os("TERNMQ_TEST_PROGRAM").unwrap_or_else(own)
}
