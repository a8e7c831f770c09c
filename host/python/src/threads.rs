//! The number of threads.

use plugfit::threads;
use pyo3::exceptions::{PyRuntimeWarning, PyValueError};
use pyo3::prelude::*;

use crate::error::Raise;

/// Notes that this process was forked. Python calls it in the child.
#[pyfunction]
pub fn after_fork() {
    threads::after_fork();
}

/// Sets the number of threads that components use from now on, from 1 to 1024. It doesn't change any result.
///
/// Raises ValueError for another number.
#[pyfunction]
pub fn set_threads(number: i64) -> PyResult<()> {
    let number =
        usize::try_from(number).map_err(|_| PyValueError::new_err(format!("{number} threads can't be used")))?;
    threads::set(number).or_raise()
}

/// Returns the number of threads that components use.
#[pyfunction]
pub fn get_threads() -> usize {
    threads::count()
}

/// Warns if the environment variable has another value than a number of threads.
///
/// # Errors
/// Returns an error if warnings are errors.
pub fn check_environment(py: Python<'_>) -> PyResult<()> {
    let Err(error) = threads::from_environment() else { return Ok(()) };
    let message = std::ffi::CString::new(format!("{} (it is ignored)", error.message()))?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1)
}
