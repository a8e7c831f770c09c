//! The Python class of metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArrayMethods};
use plugfit::compile::{Accepted, Values};
use plugfit::{Identifier, component};
use plugfit_api::Tensor;
use plugfit_api::metric::{Direction, Outcome};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde_json::{Map, Value};

use crate::batch::{Batch, BatchConverter};
use crate::callable;
use crate::error::Raise;
use crate::formula::{self, Texts};
use crate::host::host;

/// The prefix of every saved state.
const MARK: &[u8] = b"plugfit\0";

/// A metric, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Metric {
    identifier: Identifier,
    #[pyo3(get)]
    name: String,
    #[pyo3(get, name = "_full_name")]
    full_name: String,
    /// Whether the metric takes `values` instead of targets and predictions.
    #[pyo3(get, name = "_takes_values")]
    takes_values: bool,
    /// The names of the inputs that are given by name.
    #[pyo3(get, name = "_further")]
    further: Vec<String>,
    /// The configuration as JSON. It is outside of the lock, because a Python function that the locked metric calls may
    /// request it.
    config: String,
    /// The prefix of this metric's saved states; see [`mark`].
    mark: Vec<u8>,
    inner: Arc<SharedState>,
}

/// A state that compiled functions share with the Python object.
pub type SharedState = Mutex<Inner>;

/// A metric with the memory for conversions of its arguments.
pub struct Inner {
    pub metric: component::Metric,
    converter: BatchConverter,
    has_usual_inputs: bool,
}

impl Inner {
    /// Updates the state with a batch. That of a metric without targets has no `y_true`.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, or if the plug-in fails.
    pub fn update(&mut self, values: &Batch<Values<'_>>) -> plugfit::Result<()> {
        let Inner { metric, converter, .. } = self;
        if !(values.further.is_empty() && self.has_usual_inputs) {
            metric.check_inputs(&values.further_names())?;
            let Batch { y_true, y_pred, weight, mask, further } = converter.convert(values)?;
            let y_pred = (if y_true.is_none() { "values" } else { "y_pred" }, y_pred);
            let mut inputs: Vec<(&str, Tensor<'_>)> = y_true.map(|y_true| ("y_true", y_true)).into_iter().collect();
            inputs.push(y_pred);
            inputs.extend(further.iter().map(|(name, tensor)| (name.as_str(), *tensor)));
            return metric.update(&inputs, weight, mask);
        }
        let Batch { y_true, y_pred, weight, mask, .. } = converter.convert(values)?;
        match y_true {
            None => metric.update_values(y_pred, weight, mask),
            Some(y_true) => metric.update_state(y_true, y_pred, weight, mask),
        }
    }
}

impl Metric {
    /// Returns an identifier that creates this metric again.
    pub fn identifier(&self) -> Identifier {
        self.identifier.clone()
    }

    /// Returns the state.
    pub fn shared(&self) -> &Arc<SharedState> {
        &self.inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the prefix of a metric's saved states: its class and its settings without the key `name`. With it, a metric
/// refuses the states of other metrics.
fn mark(full_name: &str, mut config: Map<String, Value>) -> Vec<u8> {
    config.remove("name");
    let text = serde_json::json!([full_name, config]).to_string();
    [MARK, &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

#[pymethods]
impl Metric {
    /// Creates a metric from an identifier as JSON, or from a callable with the host's keys as JSON.
    #[new]
    #[pyo3(signature = (identifier, callable=None))]
    fn new(py: Python<'_>, identifier: &str, callable: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let identifier = callable::identifier(identifier, callable.as_ref())?;
        let host = host()?;
        let metric = py.detach(|| host.metric(identifier.clone())).or_raise()?;
        let info = metric.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32", "float64"]);
        let takes_values = info.inputs.first().is_some_and(|input| input == "values");
        let y_pred = declared(if takes_values { "values" } else { "y_pred" });
        let further = component::further_inputs(&info.inputs).map(str::to_owned).collect::<Vec<_>>();
        let accepted = further.iter().map(|name| (name.clone(), declared(name))).collect();
        let converter = BatchConverter::new(declared("y_true"), y_pred, Accepted::f32(), accepted);
        let (full_name, config) = (metric.full_name(), metric.get_config().or_raise()?);
        Ok(Metric {
            name: metric.name().to_owned(),
            config: Value::Object(config.clone()).to_string(),
            mark: mark(&full_name, config),
            full_name,
            takes_values,
            identifier,
            inner: Arc::new(Mutex::new(Inner { metric, converter, has_usual_inputs: further.is_empty() })),
            further,
        })
    }

    /// Updates the state with a batch. A metric without targets takes `values` and `sample_weight`. Further inputs of the
    /// metric are given by name.
    #[pyo3(signature = (y_true=None, y_pred=None, sample_weight=None, mask=None, *, values=None, **inputs))]
    #[allow(clippy::too_many_arguments)]
    fn update_state<'py>(
        &self,
        py: Python<'py>,
        y_true: Option<&Bound<'py, PyAny>>,
        y_pred: Option<&Bound<'py, PyAny>>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        values: Option<&Bound<'py, PyAny>>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let missing = |name: &str| PyTypeError::new_err(format!("{} needs {name}", self.name));
        let (y_true, y_pred, weight) = if self.takes_values {
            let values = values.or(y_true).ok_or_else(|| missing("values"))?;
            (None, values, if sample_weight.is_some() { sample_weight } else { y_pred })
        } else {
            let y_true = y_true.ok_or_else(|| missing("y_true"))?;
            (Some(y_true), y_pred.ok_or_else(|| missing("y_pred"))?, sample_weight)
        };
        let y_pred = (y_pred, if self.takes_values { "values" } else { "y_pred" });
        let batch = Batch::new(y_true, y_pred, weight, mask, inputs)?;
        let values = batch.values();
        callable::run(py, || self.lock().update(&values))?.or_raise()
    }

    /// Returns the result: a float64, an array of them or a dict, or None if it is undefined.
    fn _result<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let outcome = py.detach(|| self.lock().metric.result()).or_raise()?;
        Ok(Some(match outcome {
            Outcome::Undefined => return Ok(None),
            Outcome::Scalar(value) => float64(py, value)?,
            Outcome::Array { shape, values } => PyArray1::from_vec(py, values).reshape(shape)?.into_any(),
            Outcome::Named(named) => {
                let dict = PyDict::new(py);
                for (name, value) in named {
                    dict.set_item(name, float64(py, value)?)?;
                }
                dict.into_any()
            }
        }))
    }

    /// Resets the state.
    fn reset_state(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lock().metric.reset_state()).or_raise()
    }

    /// Merges the states of other metrics of the same class and configuration into this one.
    fn merge_state(&self, py: Python<'_>, metrics: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let host = host()?;
        for other in metrics {
            let other = other.cast::<Metric>().map_err(|_| {
                PyTypeError::new_err("merge_state takes a list of metrics of the same class and configuration")
            })?;
            // Merge a copy: locking two metrics at once could deadlock, as when a metric is merged into itself.
            let other = other.get();
            py.detach(|| {
                let state = other.lock().metric.get_state()?;
                let mut copy = host.metric(other.identifier.clone())?;
                copy.set_state(&state)?;
                self.lock().metric.merge_state(&copy)
            })
            .or_raise()?;
        }
        Ok(())
    }

    /// Returns the state as bytes, exact to the bit.
    fn get_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = py.detach(|| self.lock().metric.get_state()).or_raise()?;
        Ok(PyBytes::new(py, &[&self.mark[..], &state].concat()))
    }

    /// Restores what get_state returned. An error leaves the state unchanged.
    fn set_state(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        let state = match state.strip_prefix(&*self.mark) {
            None if state.starts_with(MARK) => {
                let message = format!("the state is of another metric than {}, or of other settings", self.full_name);
                return Err(PyValueError::new_err(message));
            }
            // A state that wasn't saved from Python has no mark.
            None => state,
            Some(state) => state,
        };
        let set = py.detach(|| self.lock().metric.set_state(state));
        // A ValueError for any kind of error, because the caller passed the bytes.
        set.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Whether the metric is the mean of the values of a loss or a function.
    #[getter]
    fn _is_of_loss(&self, py: Python<'_>) -> bool {
        py.detach(|| self.lock().metric.is_of_loss())
    }

    /// "maximize" if greater values are better, "minimize" if smaller ones are, else None.
    #[getter]
    fn direction(&self, py: Python<'_>) -> Option<&'static str> {
        match py.detach(|| self.lock().metric.direction()) {
            Direction::Maximize => Some("maximize"),
            Direction::Minimize => Some("minimize"),
            Direction::Neither => None,
        }
    }

    /// Returns the configuration as JSON.
    fn _config(&self) -> &str {
        &self.config
    }

    /// Returns the formula's document, its text, and its LaTeX.
    fn _formula(&self, py: Python<'_>) -> PyResult<Texts> {
        formula::texts(py.detach(|| self.lock().metric.formula()), false)
    }
}

/// Returns a NumPy scalar of float64.
pub fn float64(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    static FLOAT64: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    FLOAT64.import(py, "numpy", "float64")?.call1((value,))
}
