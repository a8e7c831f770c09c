//! The Python class of losses.

use std::sync::{Mutex, PoisonError};

use numpy::{PyArray1, PyArrayMethods};
use plugfit::compile::{Accepted, Values};
use plugfit::component::{self, LossValue};
use plugfit::{Error, Identifier};
use plugfit_api::{Element, Tensor, TensorMut};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::Borrowed;
use crate::batch::{Batch, BatchConverter};
use crate::callable;
use crate::error::Raise;
use crate::formula::{self, Texts};
use crate::host::host;
use crate::metric::float64;

/// A loss, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Loss {
    identifier: Identifier,
    #[pyo3(get)]
    name: String,
    #[pyo3(get, name = "_full_name")]
    full_name: String,
    /// The configuration as JSON. It is outside of the lock, because a Python function that the locked loss calls may
    /// request it.
    config: String,
    /// The reduction's name.
    #[pyo3(get)]
    reduction: &'static str,
    is_float64: bool,
    /// The names of the inputs that are given by name.
    #[pyo3(get, name = "_further")]
    further: Vec<String>,
    inner: Mutex<Computation>,
}

/// A loss with the memory for conversions of its arguments.
pub struct Computation {
    pub loss: component::Loss,
    converter: BatchConverter,
}

impl Computation {
    /// Prepares the conversions that the loss needs.
    pub fn new(loss: component::Loss) -> Self {
        let info = loss.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32"]);
        let weight = if loss.is_float64() { Accepted::f64() } else { Accepted::f32() };
        let further = component::further_inputs(&info.inputs).map(|name| (name.to_owned(), declared(name))).collect();
        let converter = BatchConverter::new(declared("y_true"), declared("y_pred"), weight, further);
        Computation { loss, converter }
    }

    /// Returns the loss of a batch, and writes the gradient if it is wanted.
    ///
    /// # Errors
    /// Returns an error if the arrays don't fit, if there is no gradient, or if the plug-in fails.
    pub fn compute(
        &mut self,
        values: &Batch<Values<'_>>,
        gradient: Option<&mut TensorMut<'_>>,
    ) -> plugfit::Result<LossValue<'_>> {
        let Computation { loss, converter } = self;
        loss.check_inputs(&values.further_names())?;
        let Batch { y_true, y_pred, weight, mask, further } = converter.convert(values)?;
        let further: Vec<(&str, Tensor<'_>)> = further.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
        // Every batch of a loss is created with labels.
        let y_true = y_true.ok_or_else(|| Error::usage("y_true is missing"))?;
        match gradient {
            None => loss.value_with(y_true, y_pred, &further, weight, mask),
            Some(_) if !loss.info().differentiable => Err(Error::usage(format!("{} has no gradient", loss.name()))),
            Some(gradient) => loss.value_and_gradient_with((y_true, y_pred), &further, (weight, mask), 1.0, gradient),
        }
    }
}

/// The result of a call, copied from the loss's memory.
enum Result {
    Scalar(f64),
    Array(Vec<usize>, Vec<f32>),
    Array64(Vec<usize>, Vec<f64>),
}

impl Loss {
    /// Returns an identifier that creates this loss again.
    pub fn identifier(&self) -> Identifier {
        self.identifier.clone()
    }

    fn call(&self, py: Python<'_>, batch: &Arguments<'_>, gradient: Option<&mut TensorMut<'_>>) -> PyResult<Result> {
        let values = batch.values();
        let called = callable::run(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let value = inner.compute(&values, gradient)?;
            let lengths = |shape: &[i64]| shape.iter().map(|&length| length as usize).collect();
            Ok(match value {
                LossValue::Scalar(value) => Result::Scalar(value),
                LossValue::Array { shape, values } => Result::Array(lengths(shape), values.to_vec()),
                LossValue::Array64 { shape, values } => Result::Array64(lengths(shape), values.to_vec()),
            })
        })?;
        called.or_raise()
    }

    fn with_gradient<'py>(&self, py: Python<'py>, batch: &Arguments<'py>) -> PyResult<(Result, Bound<'py, PyAny>)> {
        if self.is_float64 { self.gradient_in::<f64>(py, batch) } else { self.gradient_in::<f32>(py, batch) }
    }

    /// Returns the loss and its gradient, an array of `F`, the dtype in which the loss computes.
    fn gradient_in<'py, F: Element + numpy::Element>(
        &self,
        py: Python<'py>,
        batch: &Arguments<'py>,
    ) -> PyResult<(Result, Bound<'py, PyAny>)> {
        let shape = batch.y_pred.shape().to_vec();
        let lengths: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let gradient = PyArray1::<F>::zeros(py, [shape.iter().product()], false);
        // SAFETY: the array was just created, and no other reference to it exists.
        let mut derivatives = TensorMut::new(unsafe { gradient.as_slice_mut() }?, &lengths);
        let value = self.call(py, batch, Some(&mut derivatives))?;
        Ok((value, gradient.reshape(shape)?.into_any()))
    }

    fn to_python<'py>(&self, py: Python<'py>, value: Result) -> PyResult<Bound<'py, PyAny>> {
        match value {
            Result::Scalar(value) if self.is_float64 => float64(py, value),
            Result::Scalar(value) => float32(py, value),
            Result::Array(shape, values) => Ok(PyArray1::from_vec(py, values).reshape(shape)?.into_any()),
            Result::Array64(shape, values) => Ok(PyArray1::from_vec(py, values).reshape(shape)?.into_any()),
        }
    }
}

/// The arrays of a call.
type Arguments<'py> = Batch<Borrowed<'py>>;

/// Returns a NumPy scalar of float32.
fn float32(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    static FLOAT32: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    FLOAT32.import(py, "numpy", "float32")?.call1((value,))
}

#[pymethods]
impl Loss {
    /// Creates a loss from an identifier as JSON, or from a callable with the host's keys as JSON.
    #[new]
    #[pyo3(signature = (identifier, callable=None))]
    fn new(py: Python<'_>, identifier: &str, callable: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let identifier = callable::identifier(identifier, callable.as_ref())?;
        let host = host()?;
        let loss = py.detach(|| host.loss(identifier.clone())).or_raise()?;
        Ok(Loss {
            name: loss.name().to_owned(),
            full_name: loss.plugin().full_name(),
            config: serde_json::Value::Object(loss.get_config().or_raise()?).to_string(),
            reduction: loss.reduction().name(),
            is_float64: loss.is_float64(),
            further: component::further_inputs(&loss.info().inputs).map(str::to_owned).collect(),
            identifier,
            inner: Mutex::new(Computation::new(loss)),
        })
    }

    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None, **inputs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch = Batch::new(Some(y_true), (y_pred, "y_pred"), sample_weight, mask, inputs)?;
        self.to_python(py, self.call(py, &batch, None)?)
    }

    /// Returns the gradient of the reduced loss with respect to y_pred, in its shape. If the loss isn't reduced, it is
    /// the gradient of the sum.
    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None, **inputs))]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let batch = Batch::new(Some(y_true), (y_pred, "y_pred"), sample_weight, mask, inputs)?;
        Ok(self.with_gradient(py, &batch)?.1)
    }

    /// Returns the loss and its gradient, computed in one pass.
    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None, **inputs))]
    fn value_and_gradient<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
        inputs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let batch = Batch::new(Some(y_true), (y_pred, "y_pred"), sample_weight, mask, inputs)?;
        let (value, gradient) = self.with_gradient(py, &batch)?;
        Ok((self.to_python(py, value)?, gradient))
    }

    /// Returns the configuration as JSON.
    fn _config(&self) -> &str {
        &self.config
    }

    /// Returns the formula's document, its text, and its LaTeX.
    fn _formula(&self, py: Python<'_>) -> PyResult<Texts> {
        formula::texts(py.detach(|| self.inner.lock().unwrap_or_else(PoisonError::into_inner).loss.formula()), true)
    }
}
