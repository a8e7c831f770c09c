//! Converts the host's errors to Python exceptions.

use plugfit::ErrorKind;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    plugfit,
    PluginError,
    PyRuntimeError,
    "A plug-in failed: it panicked, violated the interface, or can't be loaded."
);

/// Converts an error: a failure of a plug-in to `PluginError`, an interrupt to `KeyboardInterrupt`, and all others to
/// `ValueError`.
pub fn raise(error: plugfit::Error) -> PyErr {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Plugin | ErrorKind::Crash => PluginError::new_err(text),
        ErrorKind::Interrupted => PyKeyboardInterrupt::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Converts the host's `Result` for the `?` operator.
pub trait Raise<T> {
    /// Returns the value.
    ///
    /// # Errors
    /// Returns the host's error as an exception.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> Raise<T> for plugfit::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(raise)
    }
}
