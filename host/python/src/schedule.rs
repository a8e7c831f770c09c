//! The Python class of learning-rate schedules.

use plugfit::component;
use plugfit_api::schedule::When;
use pyo3::prelude::*;

use crate::error::Raise;
use crate::formula::{self, Texts};
use crate::host::host;

/// A learning-rate schedule, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Schedule {
    schedule: component::Schedule,
}

#[pymethods]
impl Schedule {
    /// Creates a schedule from an identifier as JSON.
    #[new]
    fn new(identifier: &str) -> PyResult<Self> {
        Ok(Schedule { schedule: host()?.schedule(crate::host::identifier(identifier)?).or_raise()? })
    }

    /// Returns the learning rate of step number `step`, from 0.
    fn _at(&self, step: u64) -> PyResult<f64> {
        self.schedule.learning_rate(&When { step, epoch: 0, steps_per_epoch: None }).or_raise()
    }

    #[getter]
    fn name(&self) -> &str {
        self.schedule.name()
    }

    #[getter]
    fn _full_name(&self) -> String {
        self.schedule.full_name()
    }

    /// Returns the configuration as JSON.
    fn _config(&self) -> PyResult<String> {
        Ok(serde_json::Value::Object(self.schedule.get_config().or_raise()?).to_string())
    }

    /// Returns the formula's document, its text, and its LaTeX.
    fn _formula(&self, py: Python<'_>) -> PyResult<Texts> {
        formula::texts(py.detach(|| self.schedule.formula()), false)
    }
}
