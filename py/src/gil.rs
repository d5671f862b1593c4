//! The one door through which the interpreter lock is released.

use pyo3::marker::Ungil;
use pyo3::prelude::*;

/// Runs `work`, which may block and must not need Python, while other Python threads go on.
pub(crate) fn released<T: Ungil + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Ungil + Send,
) -> T {
    py.detach(work)
}
