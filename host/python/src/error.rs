//! The host's errors as Python's exceptions.

use plugfit::ErrorKind;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    plugfit,
    PluginError,
    PyRuntimeError,
    "A plug-in failed: it panicked, broke its word, or can't be loaded."
);

/// As an exception: what was asked wrongly is a ValueError, what a plug-in did wrong a PluginError.
pub fn raise(error: plugfit::Error) -> PyErr {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Plugin | ErrorKind::Crash => PluginError::new_err(text),
        ErrorKind::Interrupted => PyKeyboardInterrupt::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Of a `Result` of the host's, for `?`.
pub trait Raise<T> {
    /// # Errors
    /// The host's error as an exception.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> Raise<T> for plugfit::Result<T> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(raise)
    }
}
