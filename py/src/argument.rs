//! Arguments that Python hands in. What is wrong with one says whose name it has: TypeError for what is
//! something else, ValueError for what can't be that. PyO3 alone would put the name into a note, which
//! `str(error)` leaves out, and call a number that is too large an OverflowError.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::bytes::Payload;

/// What an argument may be.
pub(crate) trait Kind {
    /// As Python calls it.
    const NAME: &'static str;
    /// Whether it may be None too.
    const OPTIONAL: bool = false;
    /// From where to where, of a number. A bool is none: it would be a slip.
    const RANGE: Option<(u64, u64)> = None;
}

impl Kind for &str {
    const NAME: &'static str = "str";
}

impl Kind for String {
    const NAME: &'static str = "str";
}

impl Kind for bool {
    const NAME: &'static str = "bool";
}

impl Kind for &[u8] {
    const NAME: &'static str = "bytes";
}

impl Kind for Payload<'_> {
    const NAME: &'static str = "bytes, str or another buffer of bytes";
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl Kind for $kind {
            const NAME: &'static str = "int";
            const RANGE: Option<(u64, u64)> = Some((0, <$kind>::MAX as u64));
        })*
    };
}

numbers!(u8, u16, u32, usize);

impl<T: Kind> Kind for Option<T> {
    const NAME: &'static str = T::NAME;
    const OPTIONAL: bool = true;
    const RANGE: Option<(u64, u64)> = T::RANGE;
}

/// The value of the argument with this name.
pub(crate) fn named<'a, 'py, T>(object: &'a Bound<'py, PyAny>, name: &str) -> PyResult<T>
where
    T: Kind + FromPyObject<'a, 'py>,
{
    if T::RANGE.is_some() && object.is_instance_of::<PyBool>() {
        return Err(not_that::<T>(object, name));
    }
    object
        .extract::<T>()
        .map_err(|error| refusal::<T>(object, name, error.into()))
}

#[cold]
fn refusal<T: Kind>(object: &Bound<'_, PyAny>, name: &str, error: PyErr) -> PyErr {
    let py = object.py();
    if error.is_instance_of::<PyOverflowError>(py) {
        let (least, most) = T::RANGE.unwrap_or_default();
        // Of a number with thousands of digits Python makes no text.
        let got = object.str().map(|text| format!(", got {text}"));
        let got = got.unwrap_or_default();
        return PyValueError::new_err(format!("{name} must be from {least} to {most}{got}"));
    }
    if error.is_instance_of::<PyTypeError>(py) {
        return not_that::<T>(object, name);
    }
    // Half a surrogate pair in a str, for example.
    if error.is_instance_of::<PyValueError>(py) {
        return PyValueError::new_err(format!("{name}: {}", error.value(py)));
    }
    error
}

fn not_that<T: Kind>(object: &Bound<'_, PyAny>, name: &str) -> PyErr {
    let none = if T::OPTIONAL { " or None" } else { "" };
    let kind = object.get_type().name();
    let kind = kind.map_or_else(|_| "that".to_owned(), |kind| kind.to_string());
    PyTypeError::new_err(format!("{name} is {}{none}, not {kind}", T::NAME))
}

/// A Quality of Service, whose range is smaller than that of its type.
pub(crate) fn qos(object: &Bound<'_, PyAny>) -> PyResult<u8> {
    let py = object.py();
    named::<u8>(object, "qos").map_err(|error| match error.is_instance_of::<PyValueError>(py) {
        true => PyValueError::new_err("qos must be 0, 1 or 2"),
        false => error,
    })
}

macro_rules! arguments {
    ($($name:ident: $text:literal),* $(,)?) => {
        $(pub(crate) fn $name<'a, 'py, T>(object: &'a Bound<'py, PyAny>) -> PyResult<T>
        where
            T: Kind + FromPyObject<'a, 'py>,
        {
            named(object, $text)
        })*
    };
}

// For `#[pyo3(from_py_with = ...)]`, which takes no more than a function.
arguments! {
    client: "client",
    clean_start: "clean_start",
    client_id: "client_id",
    content_type: "content_type",
    correlation_data: "correlation_data",
    delay: "delay",
    expiry: "expiry",
    filter: "filter",
    identifier: "identifier",
    inflight: "inflight",
    keep_sessions: "keep_sessions",
    keepalive: "keepalive",
    max_packet_size: "max_packet_size",
    most: "most",
    outbox: "outbox",
    outbox_bytes: "outbox_bytes",
    password: "password",
    payload: "payload",
    payload_format: "payload_format",
    queue: "queue",
    reason: "reason",
    reason_code: "reason_code",
    receive_maximum: "receive_maximum",
    response_topic: "response_topic",
    retain: "retain",
    retain_handling: "retain_handling",
    session_expiry: "session_expiry",
    topic: "topic",
    username: "username",
}
