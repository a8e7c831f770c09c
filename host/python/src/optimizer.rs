//! The Python class of optimizers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugfit::component::{self, OptimizerState};
use plugfit::network::Parameter;
use plugfit::plugin::SlotValues;
use plugfit::{Error, Identifier};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::arrays::{Borrowed, BorrowedMut, InputConverter};
use crate::error::Raise;
use crate::fork;
use crate::formula::{self, Texts};
use crate::host::host;

/// An optimizer, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Optimizer {
    identifier: Identifier,
    #[pyo3(get)]
    name: String,
    #[pyo3(get, name = "_full_name")]
    full_name: String,
    inner: Mutex<Inner>,
}

struct Inner {
    optimizer: component::Optimizer,
    /// The conversion of each parameter's gradient.
    gradients: Vec<InputConverter>,
    /// A state to restore as soon as the optimizer is built.
    pending: Option<OptimizerState>,
}

impl Inner {
    fn state(&self) -> OptimizerState {
        match &self.pending {
            Some(state) if !self.optimizer.is_built() => state.clone(),
            _ => self.optimizer.state(),
        }
    }
}

impl Optimizer {
    /// Returns an identifier that creates this optimizer again.
    pub fn identifier(&self) -> Identifier {
        self.identifier.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Optimizer {
    /// Creates an optimizer from an identifier as JSON.
    #[new]
    fn new(py: Python<'_>, identifier: &str) -> PyResult<Self> {
        let identifier = crate::host::identifier(identifier)?;
        let host = host()?;
        let optimizer = fork::run(py, || host.optimizer(identifier.clone())).or_raise()?;
        let (name, full_name) = (optimizer.name().to_owned(), optimizer.full_name());
        let inner = Mutex::new(Inner { optimizer, gradients: Vec::new(), pending: None });
        Ok(Optimizer { identifier, name, full_name, inner })
    }

    /// Creates the slots for parameters of these names and values, unless they exist.
    fn _build(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        params: Vec<Bound<'_, PyAny>>,
        excluded: Vec<String>,
    ) -> PyResult<()> {
        let host = host()?;
        let mut written = written(&params, &names)?;
        let parameters: Vec<Parameter> = names
            .iter()
            .zip(&written)
            .map(|(name, param)| Parameter {
                name: name.clone(),
                path: name.clone(),
                shape: param.shape(),
                trainable: true,
            })
            .collect();
        let values: Vec<&[f32]> = written.iter_mut().map(|param| &*param.values()).collect();
        fork::run(py, || {
            let mut inner = self.lock();
            if !inner.optimizer.is_built() {
                inner.optimizer.exclude_paths_from_weight_decay(excluded)?;
                inner.optimizer.build(&parameters, &values)?;
            }
            if let Some(state) = inner.pending.clone() {
                if let Err(error) = inner.optimizer.restore(&state) {
                    // Undo the build, so that the optimizer can be built for the parameters of the state.
                    inner.optimizer = host.optimizer(self.identifier.clone())?;
                    inner.optimizer.restore(&state)?;
                    return Err(error);
                }
                inner.pending = None;
            }
            inner.gradients.resize_with(values.len(), InputConverter::of_weight);
            Ok(())
        })
        .or_raise()
    }

    /// Updates the parameters in place; a gradient of None skips its parameter.
    fn _apply<'py>(
        &self,
        py: Python<'py>,
        grads: Vec<Option<Bound<'py, PyAny>>>,
        params: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let names: Vec<String> = (0..params.len()).map(|index| format!("params[{index}]")).collect();
        let mut written = written(&params, &names)?;
        let places: Vec<_> = written.iter().map(BorrowedMut::bytes).collect();
        // A gradient that shares memory with a parameter is copied, since parameters are borrowed mutably.
        let copy_if_shared = |grad: Borrowed<'py>| {
            let bytes = grad.bytes();
            let is_written = places.iter().any(|place| place.start < bytes.end && bytes.start < place.end);
            if is_written { grad.copied() } else { Ok(grad) }
        };
        let borrowed: Vec<Option<Borrowed<'py>>> = grads
            .iter()
            .enumerate()
            .map(|(index, grad)| {
                let grad =
                    grad.as_ref().map(|grad| Borrowed::new(grad, &format!("grads[{index}]")).and_then(copy_if_shared));
                grad.transpose()
            })
            .collect::<PyResult<_>>()?;
        for ((index, param), grad) in written.iter().enumerate().zip(&borrowed) {
            if let Some(grad) = grad
                && grad.shape() != param.shape()
            {
                let message =
                    format!("grads[{index}] has the shape {:?}, its parameter has {:?}", grad.shape(), param.shape());
                return Err(PyValueError::new_err(message));
            }
        }
        let gradient_values: Vec<_> = borrowed.iter().map(|grad| grad.as_ref().map(Borrowed::values)).collect();
        let mut values: Vec<&mut [f32]> = written.iter_mut().map(BorrowedMut::values).collect();
        fork::run(py, || {
            let mut inner = self.lock();
            let Inner { optimizer, gradients, .. } = &mut *inner;
            let gradients: Vec<Option<&[f32]>> = gradient_values
                .iter()
                .zip(gradients)
                .map(|(grad, converter)| {
                    let tensor = grad.as_ref().map(|grad| converter.convert(grad, "a gradient")).transpose()?;
                    Ok(tensor.and_then(|tensor| tensor.as_slice::<f32>()))
                })
                .collect::<plugfit::Result<_>>()?;
            optimizer.apply(&gradients, &mut values)
        })
        .or_raise()
    }

    /// Moves the parameters to the values at which they are evaluated.
    fn _finalize(&self, py: Python<'_>, params: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let names: Vec<String> = (0..params.len()).map(|index| format!("params[{index}]")).collect();
        let mut written = written(&params, &names)?;
        let mut values: Vec<&mut [f32]> = written.iter_mut().map(BorrowedMut::values).collect();
        fork::run(py, || self.lock().optimizer.finalize(&mut values)).or_raise()
    }

    #[getter]
    fn _is_built(&self, py: Python<'_>) -> bool {
        py.detach(|| self.lock().optimizer.is_built())
    }

    /// The number of updates so far: steps // gradient_accumulation_steps.
    #[getter]
    fn iterations(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.lock().optimizer.iterations())
    }

    /// Returns the learning rate of the next step.
    fn _learning_rate(&self, py: Python<'_>) -> f64 {
        py.detach(|| self.lock().optimizer.learning_rate())
    }

    fn _set_learning_rate(&self, py: Python<'_>, rate: f64) -> PyResult<()> {
        py.detach(|| self.lock().optimizer.set_learning_rate(rate)).or_raise()
    }

    /// The factor by which a loss must be multiplied before its gradients are computed.
    #[getter]
    fn loss_scale(&self, py: Python<'_>) -> f64 {
        py.detach(|| self.lock().optimizer.loss_scale())
    }

    /// Sets the seed of random numbers. Call it before the first step.
    fn set_seed(&self, py: Python<'_>, seed: u64) {
        py.detach(|| self.lock().optimizer.set_seed(seed));
    }

    /// Returns everything except configuration and parameters on which later steps depend, as a safetensors file.
    fn get_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = py.detach(|| self.lock().state());
        let bytes = write(&state).or_raise()?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Restores what get_state returned. Before the first step the state isn't checked against the parameters; the
    /// first step does that.
    fn set_state(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        let state = read(state).or_raise()?;
        py.detach(|| {
            let mut inner = self.lock();
            // An optimizer that isn't built restores only the step count. `_build` restores the slots.
            inner.optimizer.restore(&state)?;
            if !inner.optimizer.is_built() {
                inner.pending = Some(state);
            }
            Ok(())
        })
        .or_raise()
    }

    /// Returns the configuration as JSON.
    fn _config(&self, py: Python<'_>) -> PyResult<String> {
        let config = py.detach(|| self.lock().optimizer.get_config());
        Ok(serde_json::Value::Object(config.or_raise()?).to_string())
    }

    /// Returns the formula's document, its text, and its LaTeX.
    fn _formula(&self, py: Python<'_>) -> PyResult<Texts> {
        formula::texts(fork::run(py, || self.lock().optimizer.formula()), false)
    }
}

/// Borrows parameters for writing.
///
/// # Errors
/// Raises an error if a parameter can't be written in place, or if two of them share memory.
fn written<'py>(params: &[Bound<'py, PyAny>], names: &[String]) -> PyResult<Vec<BorrowedMut<'py>>> {
    let written: Vec<BorrowedMut<'py>> =
        params.iter().zip(names).map(|(param, name)| BorrowedMut::new(param, name)).collect::<PyResult<_>>()?;
    let mut places: Vec<_> = written.iter().map(BorrowedMut::bytes).filter(|place| !place.is_empty()).collect();
    places.sort_by_key(|place| place.start);
    match places.windows(2).any(|pair| pair[0].end > pair[1].start) {
        true => Err(PyValueError::new_err("two of the parameters share memory")),
        false => Ok(written),
    }
}

/// Writes a state as a safetensors file: a tensor per slot, and one each for the step count and the learning rate.
fn write(state: &OptimizerState) -> plugfit::Result<Vec<u8>> {
    let mut tensors = vec![("steps".to_owned(), Dtype::U64, state.steps.to_le_bytes().to_vec())];
    if let Some(rate) = state.learning_rate {
        tensors.push(("learning_rate".into(), Dtype::F64, rate.to_le_bytes().to_vec()));
    }
    for (name, values) in &state.tensors {
        tensors.push(match values {
            SlotValues::Single(values) => (format!("slot {name}"), Dtype::F32, bytes(values, f32::to_le_bytes)),
            SlotValues::Double(values) => (format!("slot {name}"), Dtype::F64, bytes(values, f64::to_le_bytes)),
        });
    }
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        let size = if *dtype == Dtype::F32 { 4 } else { 8 };
        TensorView::new(*dtype, vec![bytes.len() / size], bytes).map(|view| (name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| Error::failure(error.to_string()))?;
    safetensors::serialize(views, None).map_err(|error| Error::failure(error.to_string()))
}

/// Returns the concatenated bytes of each number.
fn bytes<T: Copy, const N: usize>(numbers: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().map(|&number| to_bytes(number)).collect::<Vec<_>>().into_flattened()
}

/// Reads a state from a safetensors file.
fn read(bytes: &[u8]) -> plugfit::Result<OptimizerState> {
    let damaged = || Error::failure("this isn't the state of an optimizer, or it is damaged");
    let file = SafeTensors::deserialize(bytes).map_err(|_| damaged())?;
    let doubles = |data: &[u8]| -> Vec<[u8; 8]> { data.as_chunks::<8>().0.to_vec() };
    let mut state = OptimizerState { steps: 0, learning_rate: None, tensors: Vec::new() };
    let mut has_steps = false;
    for (name, view) in file.tensors() {
        let data = view.data();
        match (name.as_str(), view.dtype()) {
            ("steps", Dtype::U64) => {
                state.steps = u64::from_le_bytes(*doubles(data).first().ok_or_else(damaged)?);
                has_steps = true;
            }
            ("learning_rate", Dtype::F64) => {
                state.learning_rate = Some(f64::from_le_bytes(*doubles(data).first().ok_or_else(damaged)?));
            }
            (name, dtype) => {
                let name = name.strip_prefix("slot ").ok_or_else(damaged)?.to_owned();
                let values = match dtype {
                    Dtype::F32 => SlotValues::Single(
                        data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                    ),
                    Dtype::F64 => SlotValues::Double(doubles(data).into_iter().map(f64::from_le_bytes).collect()),
                    _ => return Err(damaged()),
                };
                state.tensors.push((name, values));
            }
        }
    }
    if has_steps { Ok(state) } else { Err(damaged()) }
}
