//! What `publish` returns: how a message fares, and waiting for it.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::rc;
use crate::wait;

/// What all infos of a client share: where to wait, and who must not.
#[derive(Default)]
pub(super) struct Progress {
    lock: Mutex<()>,
    changed: Condvar,
    waiting: AtomicUsize,
    /// The thread that runs callbacks, 0 for none: whoever waits there waits for himself.
    dispatching: AtomicUsize,
}

impl Progress {
    /// Says that this thread begins to run callbacks, or has ended to.
    pub(super) fn set_dispatching(&self, on: bool) {
        let thread = if on { this_thread() } else { 0 };
        self.dispatching.store(thread, Ordering::Relaxed);
    }

    pub(super) fn is_dispatching_here(&self) -> bool {
        self.dispatching.load(Ordering::Relaxed) == this_thread()
    }

    /// Wakes who waits. Costs one load when nobody does.
    pub(super) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }

    /// Waits until `done` or the time; true if done.
    fn wait_until(&self, until: Instant, done: impl Fn() -> bool) -> bool {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while !done() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        done()
    }
}

/// A number that no other living thread has.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place) as usize)
}

/// The result of a publish: `rc` and `mid`, also by index and by unpacking.
#[pyclass(
    frozen,
    subclass,
    name = "MQTTMessageInfo",
    module = "ternmq.paho.client"
)]
pub(crate) struct MessageInfo {
    mid: AtomicU16,
    rc: AtomicI32,
    published: AtomicBool,
    place: AtomicU8,
    progress: Arc<Progress>,
}

impl MessageInfo {
    pub(super) fn made(mid: u16, rc: i32, progress: Arc<Progress>) -> Self {
        Self {
            mid: AtomicU16::new(mid),
            rc: AtomicI32::new(rc),
            published: AtomicBool::new(false),
            place: AtomicU8::new(0),
            progress,
        }
    }

    pub(super) fn mid(&self) -> u16 {
        self.mid.load(Ordering::Relaxed)
    }

    /// The message is done with; `code` says how.
    pub(super) fn finish(&self, code: i32) {
        if code != rc::SUCCESS {
            self.rc.store(code, Ordering::Relaxed);
        }
        self.published.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> PyResult<()> {
        match self.rc.load(Ordering::Relaxed) {
            rc::QUEUE_SIZE => Err(PyValueError::new_err(
                "the message was not taken: the queue is full (MQTT_ERR_QUEUE_SIZE)",
            )),
            code if code > rc::SUCCESS => Err(PyRuntimeError::new_err(format!(
                "the message was not published: error {code} of MQTTErrorCode"
            ))),
            _ => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.published.load(Ordering::SeqCst)
    }
}

#[pymethods]
impl MessageInfo {
    #[new]
    fn new(mid: u16) -> Self {
        Self::made(mid, rc::SUCCESS, Arc::default())
    }

    #[getter(mid)]
    fn mid_of(&self) -> u16 {
        self.mid()
    }

    #[setter]
    fn set_mid(&self, mid: u16) {
        self.mid.store(mid, Ordering::Relaxed);
    }

    #[getter]
    fn rc<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        error_code(py, self.rc.load(Ordering::Relaxed))
    }

    #[setter]
    fn set_rc(&self, rc: i32) {
        self.rc.store(rc, Ordering::Relaxed);
    }

    /// Whether the message is out of the client's hands: sent with QoS 0, acknowledged otherwise.
    fn is_published(&self) -> PyResult<bool> {
        self.check()?;
        Ok(self.is_done())
    }

    /// Waits until `is_published`, at most `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn wait_for_publish(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        self.check()?;
        if self.is_done() {
            return Ok(());
        }
        if timeout.is_none() && self.progress.is_dispatching_here() {
            return Err(PyRuntimeError::new_err(
                "wait_for_publish() in a callback would wait for ever: nothing is sent or received \
                 until the callback has returned",
            ));
        }
        wait::in_slices(py, wait::seconds(timeout)?, |until| {
            self.progress
                .wait_until(until, || self.is_done())
                .then_some(())
        })?;
        self.check()
    }

    fn _set_as_published(&self) {
        self.finish(rc::SUCCESS);
        self.progress.notify();
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf.get().place.store(0, Ordering::Relaxed);
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let place = self.place.fetch_add(1, Ordering::Relaxed);
        match place {
            0 | 1 => self.__getitem__(py, place.into()),
            _ => {
                self.place.store(2, Ordering::Relaxed);
                Err(PyStopIteration::new_err(()))
            }
        }
    }

    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.__next__(py)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        match index {
            0 => self.rc(py),
            1 => Ok(self.mid().into_pyobject(py)?.into_any()),
            _ => Err(PyIndexError::new_err("there are rc and mid, 0 and 1")),
        }
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("({}, {})", self.rc(py)?.repr()?, self.mid()))
    }
}

/// A number as a `MQTTErrorCode`.
fn error_code(py: Python<'_>, code: i32) -> PyResult<Bound<'_, PyAny>> {
    static SUCCESS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = |code: i32| {
        let class = py.import("ternmq.paho.enums")?.getattr("MQTTErrorCode")?;
        class.call1((code,))
    };
    if code == rc::SUCCESS {
        let success = SUCCESS.get_or_try_init(py, || make(code).map(Bound::unbind))?;
        return Ok(success.bind(py).clone());
    }
    make(code)
}
