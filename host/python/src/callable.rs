//! Python functions as losses, and as metrics that are the mean of their values.

use std::cell::Cell;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArrayDyn};
use plugfit::Identifier;
use plugfit::identifier::Component;
use plugfit_api::config::{ComponentSpec, TrialSpec};
use plugfit_api::loss::{Loss, LossInfo, LossOutput, LossTotals};
use plugfit_api::{Config, Error, Float, Host, Inputs, Tensor};
use pyo3::prelude::*;
use serde_json::{Map, Value};

/// A Python function from `y_true` and `y_pred` to values of any shape. The arrays are float32, or float64 if the loss
/// computes in float64. The attribute `gradient`, if there is one, is a function of the same arrays; it returns the
/// derivative of the sum of the values with respect to `y_pred`.
pub struct Callable {
    function: Py<PyAny>,
    gradient: Option<Py<PyAny>>,
}

thread_local! {
    /// The exception that a function raised, until [`run`] returns it.
    static RAISED: Cell<Option<PyErr>> = const { Cell::new(None) };
}

/// Runs `work` with the GIL released, and returns the exception that a Python function raised in it.
///
/// # Errors
/// Returns the function's exception.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    let (result, raised) = py.detach(|| {
        RAISED.take();
        (work(), RAISED.take())
    });
    raised.map_or(Ok(result), Err)
}

/// Returns the identifier in a JSON text, or one for a function; the text then contains the host's keys (name,
/// reduction).
pub fn identifier(text: &str, function: Option<&Bound<'_, PyAny>>) -> PyResult<Identifier> {
    let Some(function) = function else { return crate::host::identifier(text) };
    let gradient = function.getattr_opt("gradient")?.map(Bound::unbind);
    let callable = Callable { function: function.clone().unbind(), gradient };
    let instance = plugfit_api::instance::loss(callable);
    let mut identifier = Identifier::instance(Component::Loss(instance.into()));
    if let Value::Object(keys) = crate::host::json_of(text)? {
        for (key, value) in keys {
            identifier = identifier.with(key, value);
        }
    }
    Ok(identifier)
}

/// Copies a tensor to a NumPy array.
fn to_numpy<'py, F: Number>(
    py: Python<'py>,
    tensor: &Tensor<'_>,
    name: &str,
) -> plugfit_api::Result<Bound<'py, PyAny>> {
    let shape: Vec<usize> = tensor.shape().iter().map(|&length| length as usize).collect();
    let array = PyArray1::from_slice(py, tensor.floats::<F>(name)?);
    Ok(array.reshape(shape).map_err(keep)?.into_any())
}

/// Stores an exception for [`run`].
fn keep(error: PyErr) -> Error {
    let text = error.to_string();
    RAISED.set(Some(error));
    Error::input(text)
}

/// A dtype in which a function computes.
trait Number: Float + numpy::Element {
    /// The name of the function in `plugfit._arrays` that converts to an array of this dtype.
    const NAME: &str;
}

impl Number for f32 {
    const NAME: &str = "float32";
}

impl Number for f64 {
    const NAME: &str = "float64";
}

/// Calls a function with a batch and returns the shape of its values, and the values.
fn call<F: Number>(function: &Py<PyAny>, inputs: &Inputs<'_>) -> plugfit_api::Result<(Vec<i64>, Vec<F>)> {
    Python::attach(|py| {
        let y_true = to_numpy::<F>(py, &inputs.y_true()?, "y_true")?;
        let y_pred = to_numpy::<F>(py, &inputs.y_pred()?, "y_pred")?;
        let read = || -> PyResult<(Vec<i64>, Vec<F>)> {
            let returned = function.bind(py).call1((y_true, y_pred))?;
            let values = py.import("plugfit._arrays")?.getattr(F::NAME)?.call1((returned,))?;
            let values: PyReadonlyArrayDyn<'_, F> = values.extract()?;
            let array = values.as_array();
            Ok((array.shape().iter().map(|&length| length as i64).collect(), array.iter().copied().collect()))
        };
        read().map_err(keep)
    })
}

impl Config for Callable {
    const SPEC: ComponentSpec = ComponentSpec {
        name: "function",
        aliases: &[],
        doc: "A function.",
        version: 1,
        base: &[],
        fields: &[],
        examples: &[],
        trial: TrialSpec::ANY,
    };

    fn from_json(_: &Map<String, Value>) -> plugfit_api::Result<Self> {
        Err(Error::unsupported("a function can't be made from a configuration"))
    }

    fn to_json(&self) -> Map<String, Value> {
        Map::new()
    }
}

impl Loss for Callable {
    fn info(&self) -> LossInfo {
        LossInfo {
            differentiable: self.gradient.is_some(),
            rows_independent: false,
            float64: true,
            ..LossInfo::default()
        }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> plugfit_api::Result<Vec<i64>> {
        match inputs.y_pred()?.as_slice::<f64>() {
            Some(_) => Ok(call::<f64>(&self.function, inputs)?.0),
            None => Ok(call::<f32>(&self.function, inputs)?.0),
        }
    }

    fn call(&self, inputs: &Inputs<'_>, output: &mut LossOutput<'_>, _: &Host<'_>) -> plugfit_api::Result<LossTotals> {
        self.compute(inputs, output)
    }

    fn call_f64(
        &self,
        inputs: &Inputs<'_>,
        output: &mut LossOutput<'_, f64>,
        _: &Host<'_>,
    ) -> plugfit_api::Result<LossTotals> {
        self.compute(inputs, output)
    }
}

impl Callable {
    fn compute<F: Number>(
        &self,
        inputs: &Inputs<'_>,
        output: &mut LossOutput<'_, F>,
    ) -> plugfit_api::Result<LossTotals> {
        let (_, values) = call::<F>(&self.function, inputs)?;
        if values.is_empty() && !inputs.y_pred()?.is_empty() {
            return Err(Error::input("the function returned no values"));
        }
        let mut totals = LossTotals { count: values.len() as f64, ..LossTotals::default() };
        for (i, &value) in values.iter().enumerate() {
            // The host refuses another number of values than before.
            let weight = output.upstream.map_or(1.0, |upstream| upstream.get(i).map_or(0.0, |weight| weight.to_f64()));
            if weight != 0.0 {
                totals.value += value.to_f64() * weight;
                totals.weight += weight;
            }
        }
        if let Some(places) = output.values.as_deref_mut() {
            places.iter_mut().zip(&values).for_each(|(place, &value)| *place = value);
        }
        let (scale, upstream) = (output.scale, output.upstream);
        let Some(target) = output.gradient(1)? else { return Ok(totals) };
        let function = self.gradient.as_ref().ok_or_else(|| Error::unsupported("this function has no gradient"))?;
        let (_, derivatives) = call::<F>(function, inputs)?;
        if derivatives.len() != target.len() {
            return Err(Error::input(format!(
                "the gradient has {} numbers, y_pred has {}",
                derivatives.len(),
                target.len()
            )));
        }
        // Each value belongs to a block of consecutive elements of y_pred.
        let block = derivatives.len().checked_div(values.len()).unwrap_or(1).max(1);
        for (i, (place, derivative)) in target.iter_mut().zip(derivatives).enumerate() {
            let weight = upstream.map_or(F::ONE, |upstream| upstream.get(i / block).copied().unwrap_or(F::ONE));
            *place = if weight == F::ZERO { F::ZERO } else { derivative * scale * weight };
        }
        Ok(totals)
    }
}
