//! Numbers that Python hands in.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// A number of an argument, or None. One that does not fit is a wrong value as any other:
/// ValueError, and not the OverflowError of a conversion.
pub(crate) fn in_range<'py, T>(object: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: FromPyObjectOwned<'py>,
{
    object.extract::<T>().map_err(|error| {
        let error: PyErr = error.into();
        match error.is_instance_of::<PyOverflowError>(object.py()) {
            true => PyValueError::new_err(format!("{object} is out of range")),
            false => error,
        }
    })
}
