//! Python's exceptions, which are defined in Python: `ternmq.errors`.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::IntoPyDict;
use ternmq_client::{ConnectError, OutboxStatus, SubscribeError};
use ternmq_protocol::client::{PublishRefused, RequestRefused};
use ternmq_protocol::codec::PropertiesBuf;
use ternmq_protocol::{EncodeError, ReasonCode};

use crate::gil;

/// ForkError in a process other than that which made something: the threads are missing there, and
/// whoever waited for them would wait for ever.
pub(crate) fn check_process(py: Python<'_>, made_in: u32, text: &str) -> PyResult<()> {
    match made_in == std::process::id() {
        true => Ok(()),
        false => Err(raise(py, "ForkError", text)),
    }
}

/// How often this process and those before it were forked, as far as Python did it.
static FORKS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// To be called in the child of a fork. What the child makes itself begins anew: the IO thread, too.
#[pyfunction]
pub(crate) fn forked() {
    gil::after_fork();
    FORKS.fetch_add(1, Ordering::Relaxed);
    ternmq_client::forked();
}

/// Has Python say so in every child, and wait before it forks until that is safe.
pub(crate) fn watch_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import("os")?;
    if let Some(register) = os.getattr_opt("register_at_fork")? {
        let arguments = [
            ("before", module.getattr("before_fork")?),
            ("after_in_parent", module.getattr("after_fork")?),
            ("after_in_child", module.getattr("forked")?),
        ];
        let arguments = arguments.into_py_dict(py)?;
        register.call((), Some(&arguments))?;
    }
    Ok(())
}

/// As [`check_process`], by [`forks`]: a load instead of a system call, for what is asked with every
/// message.
pub(crate) fn check_forks(py: Python<'_>, made_at: u32, text: &str) -> PyResult<()> {
    match made_at == forks() {
        true => Ok(()),
        false => Err(raise(py, "ForkError", text)),
    }
}

/// An exception of `ternmq.errors`, or whatever went wrong in making one.
pub(crate) fn raise(py: Python<'_>, class: &str, text: impl ToString) -> PyErr {
    let made = || {
        let class = py.import("ternmq.errors")?.getattr(class)?;
        class.call1((text.to_string(),))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

/// The same with a reason code of the server and the properties of its packet.
pub(crate) fn raise_with(
    py: Python<'_>,
    class: &str,
    text: impl ToString,
    reason: ReasonCode,
    properties: &PropertiesBuf,
) -> PyErr {
    let made = || {
        let class = py.import("ternmq.errors")?.getattr(class)?;
        let properties = crate::properties::to_dict(py, properties.get())?;
        class.call1((text.to_string(), reason.0, properties))
    };
    made().map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn connect_error(py: Python<'_>, error: &ConnectError) -> PyErr {
    match error {
        ConnectError::Refused { reason, properties } => {
            let text = "the server refuses the connection";
            raise_with(py, "ConnectError", text, *reason, properties)
        }
        ConnectError::Timeout => raise(py, "ConnectTimeoutError", error),
        ConnectError::Options(_) | ConnectError::Uri(_) => PyValueError::new_err(error.to_string()),
        _ => raise(py, "ConnectError", error),
    }
}

pub(crate) fn subscribe_error(py: Python<'_>, error: &SubscribeError) -> PyErr {
    match error {
        SubscribeError::Rejected {
            reason,
            codes,
            properties,
        } => {
            let text = "the server refuses the subscription";
            let error = raise_with(py, "SubscribeError", text, *reason, properties);
            let codes: Vec<u16> = codes.iter().map(|code| code.0.into()).collect();
            let refuse = || error.value(py).call_method1("_refused", (codes,));
            refuse().err().unwrap_or(error)
        }
        SubscribeError::Filter(_) => PyValueError::new_err(format!("filter: {error}")),
        SubscribeError::NotSent(refused) => request_refused(py, refused),
        SubscribeError::Timeout => raise(py, "MqttTimeoutError", error),
        SubscribeError::Dropped(_) | SubscribeError::Closed => {
            raise(py, "ConnectionLostError", error)
        }
    }
}

/// What is wrong with the arguments of a message whose properties were found to be right.
pub(crate) fn not_a_message(error: EncodeError) -> PyErr {
    let argument = match error {
        EncodeError::PacketTooLarge => "payload",
        _ => "topic",
    };
    PyValueError::new_err(format!("{argument}: {error}"))
}

pub(crate) fn publish_refused(py: Python<'_>, refused: PublishRefused) -> PyErr {
    let class = match refused {
        PublishRefused::Full | PublishRefused::NoPacketId => "QueueFullError",
        PublishRefused::NotConnected => "ConnectionLostError",
        _ => "PublishError",
    };
    raise(py, class, refused)
}

/// As [`publish_refused`], with what the disk said.
pub(crate) fn not_taken(
    py: Python<'_>,
    refused: PublishRefused,
    outbox: Option<&OutboxStatus>,
) -> PyErr {
    let said = outbox.and_then(OutboxStatus::last_error);
    match (refused, said) {
        (PublishRefused::NotKept, Some(said)) => {
            raise(py, "PublishError", format!("{refused}: {said}"))
        }
        _ => publish_refused(py, refused),
    }
}

pub(crate) fn request_refused(py: Python<'_>, refused: &RequestRefused) -> PyErr {
    let class = match refused {
        RequestRefused::NotConnected => "ConnectionLostError",
        RequestRefused::NoPacketId => "QueueFullError",
        RequestRefused::NotSupported(_) => "SubscribeError",
        RequestRefused::Encode(error) => {
            return PyValueError::new_err(format!("filter: {error}"));
        }
    };
    raise(py, class, refused)
}

/// Of a DISCONNECT, which has no filters.
pub(crate) fn farewell_refused(py: Python<'_>, refused: &RequestRefused) -> PyErr {
    match refused {
        RequestRefused::Encode(error) => PyValueError::new_err(format!("properties: {error}")),
        _ => request_refused(py, refused),
    }
}

/// The standard's name of a reason code, None for a number that it does not list.
#[pyfunction]
pub(crate) fn reason_code_name(code: u8) -> Option<&'static str> {
    Some(ReasonCode(code).name()).filter(|name| *name != "Unknown reason code")
}
