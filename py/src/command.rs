//! The command `ternmq` out of the Python package.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::gil;

/// Runs the command `ternmq`, and returns its exit status. The first argument is what it is called by.
/// It takes the signals of the process, and may end it.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    gil::released(py, || ternmq_server::run(arguments))
}
