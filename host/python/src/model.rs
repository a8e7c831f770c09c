//! The Python class of a model: the embedded network, with its compile configuration.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use numpy::{PyArray1, PyArrayDyn, PyArrayMethods};
use plugfit::compile::{Compile, Compiled, LogValue, Logs, LossWeights, PerOutput};
use plugfit::data::{Array, Dataset, FurtherInput, Inputs, Rows, Target};
use plugfit::network::{Network, NetworkConfig, Parameter, Sequential, layer_names};
use plugfit::train::model_file::{self, ModelFile, Parts};
use plugfit::train::{self, Ended, Epoch, Fit, FitConfig, History, Trainer, Watch, callbacks};
use plugfit::{Error, Identifier};
use plugfit_api::Tensor;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use serde_json::{Value, json};

use crate::arrays::{Borrowed, InputConverter};
use crate::callable;
use crate::error::Raise;
use crate::host::{host, json_of};
use crate::loss::Loss;
use crate::metric::Metric;
use crate::optimizer::Optimizer;

/// A network that can be compiled and trained, the base of the package's `Model`.
#[pyclass(subclass, frozen, module = "plugfit._native")]
pub struct Model {
    config: NetworkConfig,
    inner: Mutex<Inner>,
    /// The thread that currently runs the model, if that work may call Python functions.
    worker: Mutex<Option<ThreadId>>,
}

#[derive(Default)]
struct Inner {
    network: Option<Sequential>,
    compiled: Option<Compiled>,
}

/// Converts losses or metrics: None, an identifier, a list or a dict of them.
fn per_output(object: &Bound<'_, PyAny>) -> PyResult<PerOutput> {
    if object.is_none() {
        return Ok(PerOutput::none());
    }
    if let Ok(list) = object.cast::<PyList>() {
        return Ok(PerOutput::List(list.iter().map(|entry| per_output(&entry)).collect::<PyResult<_>>()?));
    }
    if let Ok(table) = object.cast::<PyDict>() {
        let entries = table.iter().map(|(name, entry)| Ok((name.extract()?, per_output(&entry)?)));
        return Ok(PerOutput::Table(entries.collect::<PyResult<_>>()?));
    }
    Ok(PerOutput::One(identifier(object)?))
}

/// Converts an identifier: None, JSON text, or a component.
fn identifier(object: &Bound<'_, PyAny>) -> PyResult<Identifier> {
    if object.is_none() {
        Ok(Identifier::none())
    } else if let Ok(text) = object.cast::<PyString>() {
        crate::host::identifier(text.to_cow()?.as_ref())
    } else if let Ok(loss) = object.cast::<Loss>() {
        Ok(loss.get().identifier())
    } else if let Ok(metric) = object.cast::<Metric>() {
        Ok(metric.get().identifier())
    } else if let Ok(optimizer) = object.cast::<Optimizer>() {
        Ok(optimizer.get().identifier())
    } else {
        Err(PyTypeError::new_err(format!("{object} isn't an identifier")))
    }
}

fn loss_weights(value: &Value) -> PyResult<LossWeights> {
    let number = |value: &Value| value.as_f64().ok_or_else(|| PyValueError::new_err("loss_weights must be numbers"));
    Ok(match value {
        Value::Null => LossWeights::None,
        Value::Array(list) => LossWeights::List(list.iter().map(number).collect::<PyResult<_>>()?),
        Value::Object(table) => {
            let entries = table.iter().map(|(name, value)| Ok((name.clone(), number(value)?)));
            LossWeights::Table(entries.collect::<PyResult<_>>()?)
        }
        one => LossWeights::All(number(one)?),
    })
}

fn targets(object: &Bound<'_, PyAny>, outputs: &[String]) -> PyResult<Vec<Target>> {
    if object.is_none() {
        return Ok(Vec::new());
    }
    if let Ok(table) = object.cast::<PyDict>() {
        return table.iter().map(|(name, values)| target(&name.extract::<String>()?, &values)).collect();
    }
    match outputs {
        [name] => Ok(vec![target(name, object)?]),
        names => Err(PyValueError::new_err(format!(
            "the network has {} outputs: y must be a dict of arrays for {}",
            names.len(),
            names.join(", ")
        ))),
    }
}

fn target(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Target> {
    let values = array(object, name)?;
    values.check_targets(name).or_raise()?;
    Ok(Target { name: name.to_owned(), values, class_names: None })
}

/// Copies an array and keeps its dtype.
fn array(object: &Bound<'_, PyAny>, name: &str) -> PyResult<Array> {
    let borrowed = Borrowed::new(object, name)?;
    let (values, shape) = (borrowed.values(), borrowed.shape());
    // uint64 isn't listed, so it is converted to the first dtype, int64.
    let dtypes = ["int64", "float32", "float64", "int32", "uint8"];
    let accepted = plugfit::compile::Accepted::declared("", &[], &[], &dtypes);
    let mut converter = InputConverter::new(accepted);
    let tensor: Tensor<'_> = converter.convert(&values, name).or_raise()?;
    let array = if let Some(numbers) = tensor.as_slice::<f32>() {
        Array::F32(Rows::new(numbers.to_vec(), shape).or_raise()?)
    } else if let Some(numbers) = tensor.as_slice::<f64>() {
        Array::F64(Rows::new(numbers.to_vec(), shape).or_raise()?)
    } else if let Some(numbers) = tensor.as_slice::<i32>() {
        Array::I32(Rows::new(numbers.to_vec(), shape).or_raise()?)
    } else if let Some(numbers) = tensor.as_slice::<i64>() {
        Array::I64(Rows::new(numbers.to_vec(), shape).or_raise()?)
    } else {
        Array::U8(Rows::new(tensor.as_slice::<u8>().unwrap_or_default().to_vec(), shape).or_raise()?)
    };
    Ok(array)
}

/// Checks for Ctrl-C during training, and reports each epoch to a Python function.
struct Monitor {
    on_epoch: Option<Py<PyAny>>,
    last_check: Instant,
    error: Option<PyErr>,
    stopped: std::cell::Cell<bool>,
}

/// The interval between checks for Ctrl-C.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

impl Watch for Monitor {
    fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    fn batch_ended(&mut self, _: u64, _: usize, _: usize, _: &Compiled) {
        if self.last_check.elapsed() >= CHECK_INTERVAL {
            self.last_check = Instant::now();
            if let Err(error) = Python::attach(|py| py.check_signals()) {
                self.error = Some(error);
                self.stopped.set(true);
            }
        }
    }

    fn epoch_ended(&mut self, epoch: &Epoch, epochs: u64) {
        let Some(function) = &self.on_epoch else { return };
        let text = epoch_json(epoch).to_string();
        if let Err(error) = Python::attach(|py| function.call1(py, (text, epochs)).map(drop)) {
            self.error = Some(error);
            self.stopped.set(true);
        }
    }
}

/// Converts logs to JSON, as a list of pairs to keep their order.
fn logs_json(logs: &Logs) -> Value {
    let value = |value: &LogValue| match value {
        LogValue::Number(number) if !number.is_finite() => json!(number.to_string()),
        other => other.to_json(),
    };
    logs.entries().iter().map(|(name, entry)| json!([name, value(entry)])).collect()
}

fn epoch_json(epoch: &Epoch) -> Value {
    json!({
        "epoch": epoch.epoch,
        "logs": logs_json(&epoch.logs),
        "learning_rate": epoch.learning_rate,
        "seconds": epoch.seconds,
    })
}

impl Model {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks like [`lock`](Self::lock), for work that may call Python functions.
    fn lock_to_work(&self) -> Working<'_> {
        let inner = self.lock();
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        Working { inner, worker: &self.worker }
    }

    /// Calls `f` with the locked contents, once no other call uses the model.
    ///
    /// # Errors
    /// Raises `RuntimeError` if a Python function that this model is calling uses the model: it would deadlock.
    fn with<T: Send>(&self, py: Python<'_>, f: impl FnOnce(&mut Inner) -> T + Send) -> PyResult<T> {
        let worker = *self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker == Some(std::thread::current().id()) {
            let message = "the model is at work: it can't be used by a function that its own fit or evaluate calls";
            return Err(PyRuntimeError::new_err(message));
        }
        Ok(py.detach(|| f(&mut self.lock())))
    }

    fn outputs(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |inner| inner.network.as_ref().map(|network| network.output_names().to_vec()).unwrap_or_default())
    }

    fn dataset(
        &self,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        weight: Option<&Bound<'_, PyAny>>,
        further: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Dataset> {
        let named = |(name, values): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            let name: String = name.extract()?;
            Ok(FurtherInput { values: array(&values, &name)?, name })
        };
        let further = further.into_iter().flatten().map(named).collect::<PyResult<Vec<_>>>()?;
        let inputs = array(x, "x")?.into_inputs(None, "x").or_raise()?;
        let weight = weight.map(|weight| array(weight, "sample_weight")?.into_weights("sample_weight").or_raise());
        let weight = weight.transpose()?;
        let dataset = Dataset::new(Inputs::from(inputs), targets(y, &self.outputs(x.py())?)?, weight);
        dataset.and_then(|dataset| dataset.with_further(further)).or_raise()
    }
}

type Validation<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyDict>>);

#[pymethods]
impl Model {
    /// Creates a model from a network's configuration as JSON.
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let config = NetworkConfig::from_json(&json_of(config)?).or_raise()?;
        Ok(Model { config, inner: Mutex::default(), worker: Mutex::default() })
    }

    /// Returns the network as JSON: its configuration, the names of its layers, and its input shape if it is built.
    fn _network(&self, py: Python<'_>) -> PyResult<String> {
        let names = layer_names(&self.config).or_raise()?;
        let input_shape =
            self.with(py, |inner| inner.network.as_ref().map(|network| network.input_shape().to_vec()))?;
        let network = json!({"config": self.config.to_json(), "names": names, "input_shape": input_shape});
        Ok(network.to_string())
    }

    fn _compile(
        &self,
        py: Python<'_>,
        optimizer: &Bound<'_, PyAny>,
        loss: &Bound<'_, PyAny>,
        loss_weights_json: &str,
        metrics: &Bound<'_, PyAny>,
        weighted_metrics: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let compile = Compile {
            optimizer: identifier(optimizer)?,
            loss: per_output(loss)?,
            loss_weights: loss_weights(&json_of(loss_weights_json)?)?,
            metrics: per_output(metrics)?,
            weighted_metrics: per_output(weighted_metrics)?,
            outputs: self.config.outputs.iter().map(|(name, _)| name.clone()).collect(),
            ..Compile::default()
        };
        let host = host()?;
        let compiled = py.detach(|| host.compile(compile)).or_raise()?;
        self.with(py, |inner| inner.compiled = Some(compiled))
    }

    /// Returns the bytes of the model's file.
    fn _to_bytes<'py>(&self, py: Python<'py>, seed: u64) -> PyResult<Bound<'py, PyBytes>> {
        let host = host()?;
        let bytes = self.with(py, |inner| {
            let parts = Parts {
                config: &self.config,
                seed,
                network: inner.network.as_ref(),
                compiled: inner.compiled.as_ref(),
            };
            parts.to_bytes(host)
        })?;
        Ok(PyBytes::new(py, &bytes.or_raise()?))
    }

    /// Restores the weights, the compile configuration and the optimizer's state from the bytes of a file.
    fn _restore(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        let host = host()?;
        let restored = py.detach(|| ModelFile::read(bytes)?.restore(host));
        let (network, compiled) = restored.or_raise()?;
        self.with(py, |inner| *inner = Inner { network, compiled })
    }

    /// Initialises the weights for samples of this shape, unless the network is built.
    fn _build(&self, py: Python<'_>, input_shape: Vec<usize>, seed: u64) -> PyResult<()> {
        let built: plugfit::Result<()> = self.with(py, |inner| {
            if inner.network.is_none() {
                inner.network = Some(Sequential::new(&self.config, &input_shape, seed)?);
            }
            Ok(())
        })?;
        built.or_raise()
    }

    #[pyo3(signature = (x, y, sample_weight, inputs, validation, validation_split, config, on_epoch))]
    #[allow(clippy::too_many_arguments)]
    fn _fit(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        inputs: Option<&Bound<'_, PyDict>>,
        validation: Option<Validation<'_>>,
        validation_split: f64,
        config: &str,
        on_epoch: Option<Py<PyAny>>,
    ) -> PyResult<(String, Option<String>)> {
        let config: FitConfig =
            serde_json::from_value(json_of(config)?).map_err(|error| PyValueError::new_err(error.to_string()))?;
        config.check().or_raise()?;
        let mut training = self.dataset(x, y, sample_weight, inputs)?;
        let validation =
            validation.map(|(x, y, weight, inputs)| self.dataset(&x, &y, weight.as_ref(), inputs.as_ref()));
        let mut validating = validation.transpose()?;
        if validating.is_none() && validation_split > 0.0 {
            let (rest, split) = training.split(validation_split).or_raise()?;
            training = rest;
            validating = Some(split);
        }
        let host = host()?;
        let mut monitor = Monitor { on_epoch, last_check: Instant::now(), error: None, stopped: false.into() };
        let mut history = History::default();
        let ended = callable::run(py, || {
            let mut working = self.lock_to_work();
            let Inner { network, compiled } = &mut *working.inner;
            let network = network.as_mut().ok_or_else(|| Error::usage("the network isn't built"))?;
            let compiled = compiled.as_mut().ok_or_else(not_compiled)?;
            let mut callbacks = callbacks::read(host, &config.callbacks)?;
            compiled.check_trainable()?;
            let mut trainer = Trainer::new(network, compiled, &training)?;
            let mut fit = Fit { config: &config, callbacks: &mut callbacks, folder: None };
            fit.run(&mut trainer, (&training, validating.as_ref()), &mut history, &mut monitor)
        })?;
        if let Some(error) = monitor.error {
            return Err(error);
        }
        let reason = match ended.or_raise()? {
            Ended::Early { epoch, reason } => Some(format!("ended in epoch {epoch}: {reason}")),
            Ended::Done | Ended::Stopped { .. } => None,
        };
        let epochs: Value = history.epochs.iter().map(epoch_json).collect();
        Ok((epochs.to_string(), reason))
    }

    fn _evaluate(
        &self,
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        sample_weight: Option<&Bound<'_, PyAny>>,
        inputs: Option<&Bound<'_, PyDict>>,
        batch_size: usize,
    ) -> PyResult<String> {
        let dataset = self.dataset(x, y, sample_weight, inputs)?;
        let logs = callable::run(py, || {
            let mut working = self.lock_to_work();
            let Inner { network, compiled } = &mut *working.inner;
            let network = network.as_mut().ok_or_else(|| Error::usage("the network isn't built"))?;
            let compiled = compiled.as_mut().ok_or_else(not_compiled)?;
            Trainer::new(network, compiled, &dataset)?.evaluate(&dataset, batch_size.max(1), &|| false)
        })?;
        Ok(logs_json(&logs.or_raise()?).to_string())
    }

    /// Returns each output's name and its predictions.
    fn _predict<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        batch_size: usize,
    ) -> PyResult<Vec<(String, Bound<'py, PyArrayDyn<f32>>)>> {
        let inputs = Inputs::from(array(x, "x")?.into_inputs(None, "x").or_raise()?);
        let names = self.outputs(py)?;
        let outputs = py
            .detach(|| {
                let mut inner = self.lock();
                let network = inner.network.as_mut().ok_or_else(|| Error::usage("the network isn't built"))?;
                train::predict(network, &inputs, batch_size.max(1))
            })
            .or_raise()?;
        let outputs = outputs.into_iter().map(|output| PyArrayDyn::from_owned_array(py, output));
        Ok(names.into_iter().zip(outputs).collect())
    }

    /// Returns each parameter's path and values.
    fn _weights<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let copied = self.with(py, |inner| {
            let network = inner.network.as_ref()?;
            let copy = |(index, parameter): (usize, &Parameter)| {
                (parameter.path.clone(), parameter.shape.clone(), network.parameter(index).to_vec())
            };
            Some(network.parameters().iter().enumerate().map(copy).collect::<Vec<_>>())
        })?;
        let copied = copied.ok_or_else(|| PyRuntimeError::new_err("the network isn't built"))?;
        let array =
            |(path, shape, values)| Ok((path, PyArray1::from_vec(py, values).reshape::<Vec<usize>>(shape)?.into_any()));
        copied.into_iter().map(array).collect()
    }

    /// Sets the values of a parameter.
    fn _set_weight(&self, py: Python<'_>, path: &str, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let rows = Borrowed::new(values, path)?;
        let values = rows.values();
        let mut converter = InputConverter::of_weight();
        let numbers = converter.convert(&values, path).or_raise()?;
        let (numbers, given) = (numbers.as_slice::<f32>().unwrap_or_default(), rows.shape());
        let set: plugfit::Result<()> = self.with(py, |inner| {
            let network = inner.network.as_mut().ok_or_else(|| Error::usage("the network isn't built"))?;
            let place = network.parameters().iter().position(|parameter| parameter.path == path);
            let place = place.ok_or_else(|| Error::usage(format!("the network has no parameter {path}")))?;
            let shape = &network.parameters()[place].shape;
            if shape != given {
                return Err(Error::usage(format!("{path} has the shape {shape:?}, not {given:?}")));
            }
            network.parameter_mut(place).copy_from_slice(numbers);
            Ok(())
        })?;
        set.or_raise()
    }

    /// Returns the network in one line, or None if it isn't built.
    #[getter]
    fn _summary(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |inner| inner.network.as_ref().map(|network| network.summary().to_owned()))
    }

    #[getter]
    fn _is_compiled(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |inner| inner.compiled.is_some())
    }
}

/// Returns the configuration of the network as JSON, and the seed, from the bytes of a model's file.
#[pyfunction]
pub fn read_model(bytes: &[u8]) -> PyResult<(String, u64)> {
    let file = ModelFile::read(bytes).or_raise()?;
    Ok((file.config().to_json().to_string(), file.seed()))
}

/// Writes the bytes of a model's file. An existing file is an error unless `overwrite` is true.
#[pyfunction]
pub fn write_model(py: Python<'_>, bytes: &[u8], path: PathBuf, overwrite: bool) -> PyResult<()> {
    py.detach(|| model_file::write(bytes, &path, overwrite)).map_err(|error| PyOSError::new_err(error.to_string()))
}

/// A lock of a model during work that may call Python functions.
struct Working<'m> {
    inner: MutexGuard<'m, Inner>,
    worker: &'m Mutex<Option<ThreadId>>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn not_compiled() -> Error {
    Error::usage("the model isn't compiled").hint("call compile(optimizer, loss, metrics) first")
}
