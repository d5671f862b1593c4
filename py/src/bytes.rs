//! Bytes that Python hands in: any buffer, or text as UTF-8.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{Borrowed, Bound};

/// A payload argument. `bytes` and `str` are borrowed, other buffers are copied: they might change
/// while they are being read.
pub(crate) enum Payload<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
    Copy(Vec<u8>),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            // Its UTF-8 form was made when the argument was taken, and is kept by the object.
            Self::Text(text) => text.to_str().unwrap_or_default().as_bytes(),
            Self::Copy(bytes) => bytes,
        }
    }
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Self::Copy(Vec::new())
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Payload<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.to_owned()));
        }
        if let Ok(text) = object.cast::<PyString>() {
            text.to_str()?;
            return Ok(Self::Text(text.to_owned()));
        }
        let Ok(buffer) = PyBuffer::<u8>::get(&object) else {
            let kind = object.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "a payload is bytes, str or another buffer of bytes, not {kind}"
            )));
        };
        buffer.to_vec(object.py()).map(Self::Copy)
    }
}
