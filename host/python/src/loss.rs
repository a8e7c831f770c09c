//! The Python class of losses.

use std::sync::{Mutex, PoisonError};

use numpy::{PyArray1, PyArrayMethods};
use plugfit::compile::Accepted;
use plugfit::component::{self, LossValue};
use plugfit::{Error, Identifier};
use plugfit_api::TensorMut;
use pyo3::prelude::*;

use crate::arrays::{Borrowed, Lender};
use crate::callable;
use crate::error::Raise;
use crate::fork;
use crate::host::host;

/// A loss, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Loss {
    identifier: Identifier,
    name: String,
    full_name: String,
    /// The configuration as JSON. It is outside of the lock, because a Python function that the locked loss calls may
    /// request it.
    config: String,
    reduction: &'static str,
    is_float64: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    loss: component::Loss,
    y_true: Lender,
    y_pred: Lender,
    weight: Lender,
    mask: Lender,
}

/// The result of a call, copied from the loss's memory.
enum Result {
    Scalar(f64),
    Array(Vec<usize>, Vec<f32>),
    Scalar64(f64),
    Array64(Vec<usize>, Vec<f64>),
}

impl Loss {
    /// Returns an identifier that creates this loss again.
    pub fn identifier(&self) -> Identifier {
        self.identifier.clone()
    }

    fn call(&self, py: Python<'_>, arguments: &Arguments<'_>, gradient: Option<Gradient<'_>>) -> PyResult<Result> {
        let (y_true, y_pred) = (arguments.y_true.values(), arguments.y_pred.values());
        let weight = arguments.weight.as_ref().map(Borrowed::values);
        let mask = arguments.mask.as_ref().map(Borrowed::values);
        let called = callable::run(py, || {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let inner = &mut *inner;
            let y_true = inner.y_true.lend(&y_true, "y_true")?;
            let y_pred = inner.y_pred.lend(&y_pred, "y_pred")?;
            let weight = weight.as_ref().map(|weight| inner.weight.lend(weight, "sample_weight")).transpose()?;
            let mask = mask.as_ref().map(|mask| inner.mask.lend(mask, "mask")).transpose()?;
            let value = match gradient {
                None => inner.loss.value(y_true, y_pred, weight, mask)?,
                Some(_) if !inner.loss.info().differentiable => {
                    return Err(Error::usage(format!("{} has no gradient", inner.loss.name())));
                }
                Some(Gradient { derivatives, shape }) => {
                    let mut gradient = match derivatives {
                        Derivatives::Single(derivatives) => TensorMut::new(derivatives, shape),
                        Derivatives::Double(derivatives) => TensorMut::new(derivatives, shape),
                    };
                    inner.loss.value_and_gradient(y_true, y_pred, weight, mask, 1.0, &mut gradient)?
                }
            };
            let lengths = |shape: &[i64]| shape.iter().map(|&length| length as usize).collect();
            Ok(match value {
                LossValue::Scalar(value) if self.is_float64 => Result::Scalar64(value),
                LossValue::Scalar(value) => Result::Scalar(value),
                LossValue::Array { shape, values } => Result::Array(lengths(shape), values.to_vec()),
                LossValue::Array64 { shape, values } => Result::Array64(lengths(shape), values.to_vec()),
            })
        })?;
        called.or_raise()
    }

    fn with_gradient<'py>(&self, py: Python<'py>, arguments: &Arguments<'py>) -> PyResult<(Result, Bound<'py, PyAny>)> {
        let shape = arguments.y_pred.shape().to_vec();
        let lengths: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let count = shape.iter().product::<usize>();
        if self.is_float64 {
            let gradient = PyArray1::<f64>::zeros(py, [count], false);
            // SAFETY: the array was just created, and no other reference to it exists.
            let derivatives = Derivatives::Double(unsafe { gradient.as_slice_mut() }?);
            let value = self.call(py, arguments, Some(Gradient { derivatives, shape: &lengths }))?;
            return Ok((value, gradient.reshape(shape)?.into_any()));
        }
        let gradient = PyArray1::<f32>::zeros(py, [count], false);
        // SAFETY: the array was just created, and no other reference to it exists.
        let derivatives = Derivatives::Single(unsafe { gradient.as_slice_mut() }?);
        let value = self.call(py, arguments, Some(Gradient { derivatives, shape: &lengths }))?;
        Ok((value, gradient.reshape(shape)?.into_any()))
    }
}

/// Memory for a gradient.
struct Gradient<'g> {
    derivatives: Derivatives<'g>,
    shape: &'g [i64],
}

/// Memory for derivatives, in the dtype in which the loss computes.
enum Derivatives<'g> {
    Single(&'g mut [f32]),
    Double(&'g mut [f64]),
}

/// The arrays of a call.
struct Arguments<'py> {
    y_true: Borrowed<'py>,
    y_pred: Borrowed<'py>,
    weight: Option<Borrowed<'py>>,
    mask: Option<Borrowed<'py>>,
}

impl<'py> Arguments<'py> {
    fn new(
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let of_pred = match mask {
            None => keras_mask(y_pred)?,
            Some(mask) => Some(mask.clone()),
        };
        Ok(Arguments {
            y_true: Borrowed::new(y_true, "y_true")?,
            y_pred: Borrowed::new(y_pred, "y_pred")?,
            weight: weight.map(|weight| Borrowed::new(weight, "sample_weight")).transpose()?,
            mask: of_pred.map(|mask| Borrowed::new(&mask, "mask")).transpose()?,
        })
    }
}

/// Returns the mask that Keras's layers attach to their output.
pub fn keras_mask<'py>(y_pred: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if y_pred.is_exact_instance_of::<numpy::PyUntypedArray>() {
        return Ok(None);
    }
    let mask = y_pred.getattr_opt(pyo3::intern!(y_pred.py(), "_keras_mask"))?;
    Ok(mask.filter(|mask| !mask.is_none()))
}

fn to_python(py: Python<'_>, value: Result) -> PyResult<Bound<'_, PyAny>> {
    match value {
        Result::Scalar(value) => float32(py, value),
        Result::Array(shape, values) => Ok(PyArray1::from_vec(py, values).reshape(shape)?.into_any()),
        Result::Scalar64(value) => float64(py, value),
        Result::Array64(shape, values) => Ok(PyArray1::from_vec(py, values).reshape(shape)?.into_any()),
    }
}

/// Returns a NumPy scalar of float32.
pub fn float32(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    static FLOAT32: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    FLOAT32.import(py, "numpy", "float32")?.call1((value,))
}

/// Returns a NumPy scalar of float64.
fn float64(py: Python<'_>, value: f64) -> PyResult<Bound<'_, PyAny>> {
    static FLOAT64: pyo3::sync::PyOnceLock<Py<PyAny>> = pyo3::sync::PyOnceLock::new();
    FLOAT64.import(py, "numpy", "float64")?.call1((value,))
}

#[pymethods]
impl Loss {
    /// Creates a loss from an identifier as JSON, or from a callable with the host's keys as JSON.
    #[new]
    #[pyo3(signature = (identifier, callable=None))]
    fn new(py: Python<'_>, identifier: &str, callable: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let identifier = match callable {
            None => crate::host::identifier(identifier)?,
            Some(function) => callable::loss(&function, identifier)?,
        };
        let host = host()?;
        let loss = fork::run(py, || host.loss(identifier.clone())).or_raise()?;
        let info = loss.info();
        let declared = |input: &str| Accepted::declared(input, &info.inputs, &info.dtypes, &["float32"]);
        let (y_true, y_pred) = (Lender::new(declared("y_true")), Lender::new(declared("y_pred")));
        let of_float64 = || Lender::new(Accepted::f64());
        let weight = if loss.is_float64() { of_float64() } else { Lender::of_weight() };
        Ok(Loss {
            name: loss.name().to_owned(),
            full_name: loss.plugin().full_name(),
            config: serde_json::Value::Object(loss.get_config().or_raise()?).to_string(),
            reduction: loss.reduction().name(),
            is_float64: loss.is_float64(),
            identifier,
            inner: Mutex::new(Inner { loss, y_true, y_pred, weight, mask: Lender::of_mask() }),
        })
    }

    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = Arguments::new(y_true, y_pred, sample_weight, mask)?;
        to_python(py, self.call(py, &arguments, None)?)
    }

    /// Returns the gradient of the reduced loss with respect to y_pred, in its shape. If the loss isn't reduced, it is
    /// the gradient of the sum.
    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None))]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = Arguments::new(y_true, y_pred, sample_weight, mask)?;
        Ok(self.with_gradient(py, &arguments)?.1)
    }

    /// Returns the loss and its gradient, computed in one pass.
    #[pyo3(signature = (y_true, y_pred, sample_weight=None, mask=None))]
    fn value_and_gradient<'py>(
        &self,
        py: Python<'py>,
        y_true: &Bound<'py, PyAny>,
        y_pred: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        mask: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let arguments = Arguments::new(y_true, y_pred, sample_weight, mask)?;
        let (value, gradient) = self.with_gradient(py, &arguments)?;
        Ok((to_python(py, value)?, gradient))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn _full_name(&self) -> &str {
        &self.full_name
    }

    /// Returns the configuration as JSON.
    fn _config(&self) -> &str {
        &self.config
    }

    /// The reduction's name.
    #[getter]
    fn reduction(&self) -> &'static str {
        self.reduction
    }
}
