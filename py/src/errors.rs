//! Python's exceptions, which are defined in Python: `ternmq.errors`.

use pyo3::prelude::*;
use ternmq_protocol::ReasonCode;
use ternmq_protocol::client::{PublishRefused, RequestRefused};

/// An exception of `ternmq.errors`, or whatever went wrong in making one.
pub(crate) fn raise(py: Python<'_>, class: &str, text: impl ToString) -> PyErr {
    let made = || {
        let class = py.import("ternmq.errors")?.getattr(class)?;
        class.call1((text.to_string(),))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn publish_refused(py: Python<'_>, refused: PublishRefused) -> PyErr {
    let class = match refused {
        PublishRefused::Full | PublishRefused::NoPacketId => "QueueFullError",
        PublishRefused::NotConnected => "ConnectionLostError",
        _ => "PublishError",
    };
    raise(py, class, refused)
}

pub(crate) fn request_refused(py: Python<'_>, refused: &RequestRefused) -> PyErr {
    let class = match refused {
        RequestRefused::NotConnected => "ConnectionLostError",
        RequestRefused::NoPacketId => "QueueFullError",
        RequestRefused::NotSupported(_) => "SubscribeError",
        RequestRefused::Encode(error) => {
            return pyo3::exceptions::PyValueError::new_err(error.to_string());
        }
    };
    raise(py, class, refused)
}

/// The standard's name of a reason code, None for a number that it does not list.
#[pyfunction]
pub(crate) fn reason_code_name(code: u8) -> Option<&'static str> {
    Some(ReasonCode(code).name()).filter(|name| *name != "Unknown reason code")
}
