//! The one door through which the interpreter lock is released, and the one through which threads of ours
//! come to Python.

use std::cell::Cell;
use std::sync::{RwLock, RwLockWriteGuard, TryLockError};
use std::thread::sleep;
use std::time::Duration;

use pyo3::marker::Ungil;
use pyo3::prelude::*;

/// Runs `work`, which may block and must not need Python, while other Python threads go on.
pub(crate) fn released<T: Ungil + Send>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Ungil + Send,
) -> T {
    py.detach(work)
}

/// Read by who is about to become a thread of Python's, written by who is about to fork. Before 3.13 CPython
/// keeps its list of threads under a lock that a new one takes without the interpreter lock; a process that is
/// forked meanwhile waits for it for ever, in `fork`.
static ENTERING: RwLock<()> = RwLock::new(());

/// How often a fork looks whether nobody enters, a millisecond apart. Who enters needs the interpreter lock
/// only, which is free meanwhile; when the time is over it is forked all the same.
const LOOKS: u32 = 1_000;

thread_local! {
    /// What the thread that forks holds until it has.
    static FORKING: Cell<Option<RwLockWriteGuard<'static, ()>>> = const { Cell::new(None) };
}

/// Runs `work` with Python, on a thread that is none of Python's. `None` when the interpreter ends.
pub(crate) fn attached<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let entering = ENTERING.read();
    Python::try_attach(|py| {
        drop(entering);
        work(py)
    })
}

/// To be called before a fork, and [`after_fork`] behind it in both processes.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    for _ in 0..LOOKS {
        match ENTERING.try_write() {
            Ok(guard) => return FORKING.set(Some(guard)),
            // Nothing is kept below the lock that a panic could have left half done.
            Err(TryLockError::Poisoned(error)) => return FORKING.set(Some(error.into_inner())),
            Err(TryLockError::WouldBlock) => released(py, || sleep(Duration::from_millis(1))),
        }
    }
}

#[pyfunction]
pub(crate) fn after_fork() {
    FORKING.take();
}
