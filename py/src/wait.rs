//! Blocking calls that leave Python alive: other threads run, and Ctrl-C is seen.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::marker::Ungil;
use pyo3::prelude::*;
use ternmq_client::blocking::block_until;

use crate::gil;

/// A signal arrives in whatever thread the system likes, so a waiting one looks this often.
const SLICE: Duration = Duration::from_millis(50);

/// Waits for the future without the interpreter lock; `None` when `timeout` has passed, and an error
/// when a signal handler raised one. In both cases the future goes with this call.
pub(crate) fn wait<F>(
    py: Python<'_>,
    timeout: Option<Duration>,
    future: F,
) -> PyResult<Option<F::Output>>
where
    F: Future + Send,
    F::Output: Ungil + Send,
{
    let mut future = std::pin::pin!(future);
    in_slices(py, timeout, |until| {
        let future: Pin<&mut F> = future.as_mut();
        block_until(future, Some(until))
    })
}

/// As [`wait`], for work that is cut into slices by itself: each ends at the given time.
pub(crate) fn in_slices<T: Ungil + Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    mut work: impl FnMut(Instant) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let slice = Instant::now() + SLICE;
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        if let Some(result) = gil::released(py, || work(until)) {
            return Ok(Some(result));
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

/// Seconds as Python gives them.
pub(crate) fn seconds(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        // Longer than anybody waits, and than an Instant can be.
        Some(seconds) if seconds >= 1e9 => Ok(None),
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err(
            "a timeout is a number of seconds, or None",
        )),
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds.max(0.0)))),
        None => Ok(None),
    }
}
