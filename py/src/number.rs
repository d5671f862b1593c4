//! Numbers that Python hands in.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// A number of an argument, or None. One that does not fit is a wrong value as any other:
/// ValueError, and not the OverflowError of a conversion. A bool is none: it would be a slip.
pub(crate) fn in_range<'py, T>(object: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: FromPyObjectOwned<'py>,
{
    if object.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err("int, not bool"));
    }
    object.extract::<T>().map_err(|error| {
        let error: PyErr = error.into();
        match error.is_instance_of::<PyOverflowError>(object.py()) {
            true => PyValueError::new_err(format!("{object} is out of range")),
            false => error,
        }
    })
}
