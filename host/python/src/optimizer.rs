//! The Python class of optimizers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugfit::component::{self, OptimizerState, Updated};
use plugfit::network::Parameter;
use plugfit::{Error, Identifier};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{Borrowed, BorrowedMut, InputConverter};
use crate::error::Raise;
use crate::formula::{self, Texts};
use crate::host::host;
use crate::optimizer_state;

/// An optimizer, the base of the package's classes.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Optimizer {
    identifier: Identifier,
    #[pyo3(get)]
    name: String,
    #[pyo3(get, name = "_full_name")]
    full_name: String,
    inner: Arc<SharedState>,
}

/// A state that compiled functions share with the Python object.
pub type SharedState = Mutex<Inner>;

/// An optimizer with what its Python object needs.
pub struct Inner {
    optimizer: component::Optimizer,
    /// The conversion of each parameter's gradient.
    gradients: Vec<InputConverter>,
    /// The names of the parameters and of those without weight decay, for compiled functions.
    described: (Vec<String>, Vec<String>),
    /// The shapes of the parameters for which it was built.
    shapes: Vec<Vec<usize>>,
    /// A state to restore as soon as the optimizer is built.
    pending: Option<OptimizerState>,
}

impl Inner {
    /// Creates the slots for parameters of these names, shapes and values, unless they exist, and restores a state that
    /// waits for them. `excluded` are the names of the parameters without weight decay.
    ///
    /// # Errors
    /// Returns an error if the state belongs to other parameters, or if the plug-in fails. The optimizer can then be
    /// built for others.
    pub fn build(
        &mut self,
        names: &[String],
        shapes: Vec<Vec<usize>>,
        values: &[&[f32]],
        excluded: Vec<String>,
    ) -> plugfit::Result<()> {
        if self.optimizer.is_built() {
            return self.check_shapes(&shapes);
        }
        let built = self.build_and_restore(names, &shapes, values, excluded);
        match &built {
            Ok(()) => (self.shapes, self.pending) = (shapes, None),
            Err(_) => self.optimizer.unbuild(),
        }
        built
    }

    fn build_and_restore(
        &mut self,
        names: &[String],
        shapes: &[Vec<usize>],
        values: &[&[f32]],
        excluded: Vec<String>,
    ) -> plugfit::Result<()> {
        let described = |(name, shape): (&String, &Vec<usize>)| Parameter {
            name: name.clone(),
            path: name.clone(),
            shape: shape.clone(),
            trainable: true,
        };
        let parameters: Vec<Parameter> = names.iter().zip(shapes).map(described).collect();
        self.optimizer.exclude_paths_from_weight_decay(excluded)?;
        self.optimizer.build(&parameters, values)?;
        if let Some(state) = &self.pending {
            self.optimizer.restore(state)?;
        }
        self.gradients.resize_with(values.len(), InputConverter::of_weight);
        Ok(())
    }

    /// Checks that parameters have the shapes of those for which the optimizer was built.
    ///
    /// # Errors
    /// Returns an error if a shape or the number of parameters differs.
    fn check_shapes(&self, shapes: &[Vec<usize>]) -> plugfit::Result<()> {
        let known = &self.shapes;
        if !self.optimizer.is_built() || known == shapes {
            return Ok(());
        }
        let message = match known.iter().zip(shapes).enumerate().find(|(_, (known, given))| known != given) {
            Some((index, (known, given))) => {
                format!("parameter {index} has the shape {given:?}, and the optimizer was built for {known:?}")
            }
            None => format!("there are {} parameters, and the optimizer was built for {}", shapes.len(), known.len()),
        };
        Err(Error::usage(message))
    }

    /// Creates the slots like [`build`](Self::build), for parameters that were [described](Optimizer::_describe).
    ///
    /// # Errors
    /// Returns the errors of [`build`](Self::build), and an error if other parameters were described.
    pub fn build_described(&mut self, shapes: Vec<Vec<usize>>, values: &[&[f32]]) -> plugfit::Result<()> {
        if self.optimizer.is_built() {
            return self.check_shapes(&shapes);
        }
        let (names, excluded) = self.described.clone();
        if names.len() != values.len() {
            return Err(Error::usage("the optimizer belongs to other parameters").hint("compile the function again"));
        }
        self.build(&names, shapes, values, excluded)
    }

    /// Updates the parameters by one step. `rate` replaces the learning rate.
    ///
    /// # Errors
    /// Returns an error if lengths differ, or if the plug-in fails.
    pub fn step(
        &mut self,
        rate: Option<f64>,
        gradients: &[Option<&[f32]>],
        values: &mut [&mut [f32]],
    ) -> plugfit::Result<()> {
        // A rate comes in float32.
        if let Some(rate) = rate
            && self.optimizer.learning_rate() as f32 != rate as f32
        {
            self.optimizer.set_learning_rate(rate)?;
        }
        self.optimizer.apply(gradients, values)
    }

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

    /// Returns the state.
    pub fn shared(&self) -> &Arc<SharedState> {
        &self.inner
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
        let optimizer = py.detach(|| host.optimizer(identifier.clone())).or_raise()?;
        let (name, full_name) = (optimizer.name().to_owned(), optimizer.full_name());
        let inner = Inner {
            optimizer,
            gradients: Vec::new(),
            described: Default::default(),
            shapes: Vec::new(),
            pending: None,
        };
        Ok(Optimizer { identifier, name, full_name, inner: Arc::new(Mutex::new(inner)) })
    }

    /// Creates the slots for parameters of these names and values, unless they exist.
    fn _build(
        &self,
        py: Python<'_>,
        names: Vec<String>,
        params: Vec<Bound<'_, PyAny>>,
        excluded: Vec<String>,
    ) -> PyResult<()> {
        let mut written = written(&params, &names)?;
        let shapes = written.iter().map(BorrowedMut::shape).collect();
        let values: Vec<&[f32]> = written.iter_mut().map(|param| &*param.values()).collect();
        py.detach(|| self.lock().build(&names, shapes, &values, excluded)).or_raise()
    }

    /// Names the parameters, and those without weight decay, for compiled functions.
    fn _describe(&self, py: Python<'_>, names: Vec<String>, excluded: Vec<String>) {
        py.detach(|| self.lock().described = (names, excluded));
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
        let shapes: Vec<Vec<usize>> = written.iter().map(BorrowedMut::shape).collect();
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
        for ((index, shape), grad) in shapes.iter().enumerate().zip(&borrowed) {
            if let Some(grad) = grad {
                check_shape(&format!("grads[{index}]"), grad.shape(), shape)?;
            }
        }
        let gradient_values: Vec<_> = borrowed.iter().map(|grad| grad.as_ref().map(Borrowed::values)).collect();
        let mut values: Vec<&mut [f32]> = written.iter_mut().map(BorrowedMut::values).collect();
        py.detach(|| {
            let mut inner = self.lock();
            inner.check_shapes(&shapes)?;
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

    /// Returns the names of the slots of a parameter of this shape, or None if the slots aren't float32 arrays of it.
    fn _slot_names(&self, py: Python<'_>, shape: Vec<i64>) -> PyResult<Option<Vec<String>>> {
        py.detach(|| self.lock().optimizer.slot_names(&shape)).or_raise()
    }

    /// Updates the parameters in place by the plug-in's update alone. `slots` contains the slots of each parameter in
    /// the order of _slot_names. `number` is that of the update, from 0.
    fn _update<'py>(
        &self,
        py: Python<'py>,
        params: Vec<Bound<'py, PyAny>>,
        grads: Vec<Bound<'py, PyAny>>,
        slots: Vec<Vec<Bound<'py, PyAny>>>,
        rate: f64,
        number: u64,
    ) -> PyResult<()> {
        if params.len() != grads.len() || params.len() != slots.len() {
            return Err(PyValueError::new_err("each parameter needs a gradient and slots"));
        }
        let arrays: Vec<_> = params.iter().chain(&grads).chain(slots.iter().flatten()).cloned().collect();
        let named = |name: &'static str, count| (0..count).map(move |index| format!("{name}[{index}]"));
        let of_slots = slots
            .iter()
            .enumerate()
            .flat_map(|(index, slots)| (0..slots.len()).map(move |slot| (index, format!("slots[{index}][{slot}]"))));
        // The index of each array's parameter, and its name in errors.
        let described: Vec<(usize, String)> = named("params", params.len())
            .enumerate()
            .chain(named("grads", grads.len()).enumerate())
            .chain(of_slots)
            .collect();
        let names: Vec<String> = described.iter().map(|(_, name)| name.clone()).collect();
        let mut written = written(&arrays, &names)?;
        for ((parameter, name), array) in described.iter().zip(&written) {
            check_shape(name, &array.shape(), &written[*parameter].shape())?;
        }
        let shapes: Vec<Vec<i64>> = written[..params.len()]
            .iter()
            .map(|param| param.shape().iter().map(|&length| length as i64).collect())
            .collect();
        let mut values = written.iter_mut().map(BorrowedMut::values);
        let values_of_params: Vec<&mut [f32]> = values.by_ref().take(params.len()).collect();
        let gradients: Vec<&mut [f32]> = values.by_ref().take(params.len()).collect();
        let mut updated = Vec::with_capacity(params.len());
        for (((value, gradient), shape), slots) in values_of_params.into_iter().zip(gradients).zip(&shapes).zip(&slots)
        {
            let slots = values.by_ref().take(slots.len()).collect();
            updated.push(Updated { shape, value, gradient, slots });
        }
        py.detach(|| self.lock().optimizer.update(number, rate, updated)).or_raise()
    }

    /// Moves the parameters to the values at which they are evaluated.
    fn _finalize(&self, py: Python<'_>, params: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let names: Vec<String> = (0..params.len()).map(|index| format!("params[{index}]")).collect();
        let mut written = written(&params, &names)?;
        let shapes: Vec<Vec<usize>> = written.iter().map(BorrowedMut::shape).collect();
        let mut values: Vec<&mut [f32]> = written.iter_mut().map(BorrowedMut::values).collect();
        py.detach(|| {
            let mut inner = self.lock();
            inner.check_shapes(&shapes)?;
            inner.optimizer.finalize(&mut values)
        })
        .or_raise()
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
        py.detach(|| {
            let mut inner = self.lock();
            inner.optimizer.set_learning_rate(rate)?;
            if let Some(state) = &mut inner.pending {
                // It replaces the rate of the state.
                state.learning_rate = Some(rate);
            }
            Ok(())
        })
        .or_raise()
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
        let bytes = optimizer_state::write(&state).or_raise()?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Restores what get_state returned. Before the first step the state isn't checked against the parameters; the
    /// first step does that.
    fn set_state(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        let state = optimizer_state::read(state).or_raise()?;
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
        formula::texts(py.detach(|| self.lock().optimizer.formula()), false)
    }
}

/// Borrows arrays for writing.
///
/// # Errors
/// Raises an error if an array can't be written in place, or if two of them share memory.
fn written<'py>(params: &[Bound<'py, PyAny>], names: &[String]) -> PyResult<Vec<BorrowedMut<'py>>> {
    let written: Vec<BorrowedMut<'py>> =
        params.iter().zip(names).map(|(param, name)| BorrowedMut::new(param, name)).collect::<PyResult<_>>()?;
    let places = written.iter().map(BorrowedMut::bytes).zip(names);
    let mut places: Vec<_> = places.filter(|(place, _)| !place.is_empty()).collect();
    places.sort_by_key(|(place, _)| place.start);
    for ((place, name), (next, other)) in places.iter().zip(places.iter().skip(1)) {
        if place.end > next.start {
            return Err(PyValueError::new_err(format!("{name} and {other} share memory, and are written in place")));
        }
    }
    Ok(written)
}

fn check_shape(name: &str, shape: &[usize], parameter: &[usize]) -> PyResult<()> {
    if shape == parameter {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("{name} has the shape {shape:?}, its parameter has {parameter:?}")))
}
