//! The result of `compile`: losses and gradients, optimizer steps, metrics.

use std::sync::Arc;

use ndarray::{ArrayViewD, IxDyn};
use plugfit_api::metric::Direction;
use serde_json::Value;

use super::accuracy_and_crossentropy::OutputShapes;
use super::components::Components;
use super::logs::{LogValue, Logs};
use super::mean::Mean;
use super::place::at;
use super::plan::{self, Plan};
use super::{Compile, parts};
use crate::component::{DtypeCache, Output, Parameter, Values};
use crate::{Error, Result, component};

/// A compiled model's optimizer, losses and metrics.
///
/// In a custom training loop for one output, a step consists of [`value_and_gradient`](Self::value_and_gradient), the
/// model's backward pass, [`apply`](Self::apply) and [`update_metrics`](Self::update_metrics). For several outputs, use
/// [`value_and_gradients`](Self::value_and_gradients). If not all outputs are available at once, call
/// [`begin_batch`](Self::begin_batch), then [`output_loss`](Self::output_loss) and
/// [`update_output_metrics`](Self::update_output_metrics) for each output, then [`end_batch`](Self::end_batch).
///
/// Arrays are borrowed, not copied. If a component doesn't accept an array's dtype, the array is converted once per
/// batch.
pub struct Compiled {
    host: Arc<dyn Components>,
    compile: Compile,
    optimizer: Option<component::Optimizer>,
    pub(super) plan: Option<Plan>,
    pub(super) total: Mean,
    /// The number of samples of the current batch.
    batch: Option<usize>,
    gradient: Vec<f32>,
    gradient_shape: Vec<usize>,
    /// Buffer for further losses of the same output.
    more_gradient: Vec<f32>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compiled").field(&self.compile).finish()
    }
}

impl Compiled {
    pub(crate) fn new(host: Arc<dyn Components>, compile: Compile) -> Result<Self> {
        let optimizer = match compile.optimizer.is_none() {
            true => None,
            false => {
                let mut optimizer = at("compile.optimizer", host.optimizer(compile.optimizer.clone()))?;
                optimizer.set_groups(compile.groups.clone())?;
                Some(optimizer)
            }
        };
        plan::check(&*host, &compile)?;
        Ok(Compiled {
            host,
            compile,
            optimizer,
            plan: None,
            total: Mean::default(),
            batch: None,
            gradient: Vec::new(),
            gradient_shape: Vec::new(),
            more_gradient: Vec::new(),
        })
    }

    /// Resolves identifiers that depend on the shapes ("accuracy", "crossentropy") and names the log's columns. The
    /// first batch calls it; further calls do nothing. The length of the first axis doesn't matter.
    ///
    /// # Errors
    /// Returns an error if the outputs don't match those that losses and metrics are configured for.
    pub fn build(&mut self, shapes: &[OutputShapes<'_>]) -> Result<()> {
        if self.plan.is_some() {
            return Ok(());
        }
        let names = self.compile.outputs.len();
        if shapes.is_empty() || names != 0 && names != shapes.len() {
            return Err(Error::usage(format!(
                "compile has the names of {names} outputs, and {} outputs are given",
                shapes.len()
            )));
        }
        self.plan = Some(Plan::new(&*self.host, &self.compile, shapes)?);
        Ok(())
    }

    /// Returns whether [`build`](Self::build) was called, directly or by a batch.
    pub fn is_built(&self) -> bool {
        self.plan.is_some()
    }

    /// Returns notes for the user on how the configuration was interpreted.
    pub fn notes(&self) -> &[String] {
        self.plan.as_ref().map_or(&[], |plan| &plan.notes)
    }

    /// Checks that the model can be trained: it has an optimizer, and losses with gradients.
    ///
    /// # Errors
    /// Returns an error if the model can't be trained.
    pub fn check_trainable(&self) -> Result<()> {
        if self.optimizer.is_none() {
            return Err(no_optimizer());
        }
        if let Some(part) = self.losses().find(|part| !part.loss.info().differentiable) {
            return Err(part.no_gradient());
        }
        if self.plan.is_some() && self.losses().next().is_none() {
            return Err(Error::usage("cannot train without a loss").with("in", "compile.loss"));
        }
        Ok(())
    }

    /// Returns whether an output has a loss, and thus a gradient.
    pub fn has_loss(&self, output: usize) -> bool {
        self.losses().any(|part| part.output == output)
    }

    /// Returns each loss with the index of its output, in order. Empty before [`build`](Self::build).
    pub fn component_losses(&self) -> impl Iterator<Item = (usize, &component::Loss)> {
        self.losses().map(|part| (part.output, &part.loss))
    }

    /// Returns each metric with its column and the index of its output, in the log's order. Empty before
    /// [`build`](Self::build).
    pub fn component_metrics(&self) -> impl Iterator<Item = (&str, usize, &component::Metric)> {
        let metrics = self.plan.iter().flat_map(|plan| &plan.metrics);
        metrics.map(|part| (part.column.as_str(), part.output, &part.metric))
    }

    /// Checks that the further inputs of the losses and metrics are those of these names, after [`build`](Self::build).
    ///
    /// # Errors
    /// Returns an error if a loss or a metric needs another input, or if none of them has one of these.
    pub fn check_inputs(&self, names: &[&str]) -> Result<()> {
        let losses = self.losses().map(|part| (part.loss.name(), &part.loss.info().inputs));
        let metrics = self.component_metrics().map(|(column, _, metric)| (column, &metric.info().inputs));
        let mut known: Vec<&str> = Vec::new();
        for (component, inputs) in losses.chain(metrics) {
            for input in component::further_inputs(inputs) {
                if !names.contains(&input) {
                    return Err(component::missing(component, input));
                }
                known.push(input);
            }
        }
        match names.iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) if known.is_empty() => Err(Error::usage(format!("no loss or metric has an input \"{name}\""))
                .hint("leave it out: they take only targets and predictions")),
            Some(name) => Err(Error::usage(format!("no loss or metric has an input \"{name}\""))
                .near_or_all(name, known.iter().copied())),
        }
    }

    /// Begins a batch with this number of samples.
    pub fn begin_batch(&mut self, samples: usize) {
        self.batch = Some(samples);
        if let Some(plan) = &mut self.plan {
            plan.caches.iter_mut().for_each(DtypeCache::forget);
            plan.losses.iter_mut().for_each(|part| part.value = None);
        }
    }

    /// Returns the loss of one output of the batch, multiplied by its loss weight; 0 for an output without a loss. If
    /// `gradient` is given, overwrites it with the derivative with respect to `y_pred`; its length must be that of
    /// `y_pred`. Without a loss, the gradient is 0.
    ///
    /// # Errors
    /// Returns an error if no batch was begun, if nothing was built, if an array doesn't fit, or if the loss fails.
    pub fn output_loss(&mut self, index: usize, output: &Output<'_>, gradient: Option<&mut [f32]>) -> Result<f64> {
        if self.batch.is_none() {
            return Err(Error::usage("a loss was requested outside of a batch").hint("call begin_batch first"));
        }
        output.check()?;
        let scale = self.optimizer.as_ref().map_or(1.0, component::Optimizer::loss_scale);
        let Compiled { plan, more_gradient, .. } = self;
        let plan = plan.as_mut().ok_or_else(not_built)?;
        let cache = plan.caches.get_mut(index).ok_or_else(|| no_output(index))?;
        let mut gradient = gradient;
        let mut written = false;
        let mut total = 0.0;
        for part in plan.losses.iter_mut().filter(|part| part.output == index && part.counts) {
            if output.y_true.is_none() {
                return Err(Error::usage(format!("the output \"{}\" has a loss and no targets", part.label))
                    .hint("give it y_true, or null as its loss"));
            }
            if let Some(gradient) = &gradient {
                let shape = output.y_pred.shape();
                if shape.iter().product::<i64>() != gradient.len() as i64 {
                    let message = format!("a gradient of {} numbers for y_pred of shape {shape:?}", gradient.len());
                    return Err(Error::usage(message));
                }
                if !part.loss.info().differentiable {
                    return Err(part.no_gradient());
                }
            }
            let scale = part.weight * scale;
            let value = match gradient.as_deref_mut() {
                Some(gradient) if written => {
                    more_gradient.clear();
                    more_gradient.resize(gradient.len(), 0.0);
                    let value = part.loss.of_output(output, cache, Some(&mut *more_gradient), scale)?;
                    gradient.iter_mut().zip(&*more_gradient).for_each(|(sum, more)| *sum += more);
                    value
                }
                gradient => part.loss.of_output(output, cache, gradient, scale)?,
            };
            written = true;
            part.value = Some(value);
            total += part.weighted(value);
        }
        if let (false, Some(gradient)) = (written, gradient) {
            gradient.fill(0.0);
        }
        Ok(total)
    }

    /// Ends the batch: adds the losses of its outputs to the log and returns their total. `additional` is the model's
    /// own part of the loss (regularisation), or 0.
    ///
    /// # Errors
    /// Returns an error if no batch was begun, or if the loss of an output wasn't computed.
    pub fn end_batch(&mut self, additional: f64) -> Result<f64> {
        let samples = self.batch.take().ok_or_else(|| Error::usage("no batch was begun"))?;
        let mut total = additional;
        for part in self.plan.iter_mut().flat_map(|plan| &mut plan.losses).filter(|part| part.counts) {
            let value = part.value.take().ok_or_else(|| {
                Error::usage(format!("the loss of output \"{}\" wasn't requested in this batch", part.label))
            })?;
            part.mean.add(value, samples);
            total += part.weighted(value);
        }
        self.total.add(total, samples);
        Ok(total)
    }

    /// Updates the metrics of one output with the batch. `metrics` ignore the sample weights, `weighted_metrics` use
    /// them, and both use the mask.
    ///
    /// # Errors
    /// Returns an error if nothing was built, if an array doesn't fit, or if a metric fails.
    pub fn update_output_metrics(&mut self, index: usize, output: &Output<'_>) -> Result<()> {
        output.check()?;
        let plan = self.plan.as_mut().ok_or_else(not_built)?;
        let cache = plan.caches.get_mut(index).ok_or_else(|| no_output(index))?;
        if self.batch.is_none() {
            cache.forget();
        }
        plan.metrics.iter_mut().filter(|part| part.output == index).try_for_each(|part| part.update(output, cache))
    }

    /// Returns the loss of a batch.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`output_loss`](Self::output_loss).
    pub fn value(&mut self, outputs: &[Output<'_>]) -> Result<f64> {
        self.begin(outputs)?;
        for (index, output) in outputs.iter().enumerate() {
            self.output_loss(index, output, None)?;
        }
        self.end_batch(0.0)
    }

    /// Returns the loss of a batch with several outputs. Writes the derivative with respect to each `y_pred` to the
    /// buffer for that output. Outputs without a loss need no buffer.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`output_loss`](Self::output_loss).
    pub fn value_and_gradients(&mut self, outputs: &[Output<'_>], gradients: &mut [Option<&mut [f32]>]) -> Result<f64> {
        if outputs.len() != gradients.len() {
            return Err(Error::usage(format!("{} outputs and {} gradients", outputs.len(), gradients.len())));
        }
        self.begin(outputs)?;
        for (index, (output, gradient)) in outputs.iter().zip(gradients).enumerate() {
            self.output_loss(index, output, gradient.as_deref_mut())?;
        }
        self.end_batch(0.0)
    }

    /// Returns the loss of a batch with one output, and its derivative with respect to `y_pred`, in the shape of
    /// `y_pred`.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`output_loss`](Self::output_loss).
    pub fn value_and_gradient<'a>(
        &mut self,
        y_true: impl Into<Values<'a>>,
        y_pred: impl Into<Values<'a>>,
    ) -> Result<(f64, ArrayViewD<'_, f32>)> {
        self.value_and_gradient_of(&Output::new(y_true, y_pred))
    }

    /// Like [`value_and_gradient`](Self::value_and_gradient), for an output with weights or a mask.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`output_loss`](Self::output_loss).
    pub fn value_and_gradient_of(&mut self, output: &Output<'_>) -> Result<(f64, ArrayViewD<'_, f32>)> {
        output.check()?;
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.resize(output.y_pred.shape().iter().product::<i64>() as usize, 0.0);
        let value = self.value_and_gradients(&[*output], &mut [Some(&mut gradient)]);
        self.gradient = gradient;
        let value = value?;
        self.gradient_shape.clear();
        self.gradient_shape.extend(output.y_pred.shape().iter().map(|&length| length as usize));
        let view = ArrayViewD::from_shape(IxDyn(&self.gradient_shape), &self.gradient);
        Ok((value, view.map_err(|error| Error::failure(format!("the gradient has the wrong length: {error}")))?))
    }

    /// Updates the metrics with a batch that has one output.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update_output_metrics`](Self::update_output_metrics).
    pub fn update_metrics<'a>(&mut self, y_true: impl Into<Values<'a>>, y_pred: impl Into<Values<'a>>) -> Result<()> {
        self.update_metrics_of(&[Output::new(y_true, y_pred)])
    }

    /// Updates the metrics of all outputs with a batch.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update_output_metrics`](Self::update_output_metrics).
    pub fn update_metrics_of(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        self.build_for(outputs)?;
        outputs.iter().enumerate().try_for_each(|(index, output)| self.update_output_metrics(index, output))
    }

    /// Returns the values since the last [`reset_metrics`](Self::reset_metrics): the total loss, the metrics, the
    /// weighted metrics, and, if there are several losses, each loss without its weight.
    ///
    /// # Errors
    /// Returns an error if a metric fails.
    pub fn logs(&self) -> Result<Logs> {
        let mut logs = Logs::default();
        logs.push("loss", self.total.value());
        let Some(plan) = &self.plan else { return Ok(logs) };
        for part in &plan.metrics {
            logs.push_outcome(&part.column, part.result()?);
        }
        if plan.lists_losses() {
            for part in &plan.losses {
                let value = if part.counts { part.mean.value() } else { LogValue::Number(0.0) };
                logs.push(format!("{}_loss", part.label), value);
            }
        }
        Ok(logs)
    }

    /// Returns the direction in which an entry of the log is better; `None` if there is no such entry. The validation
    /// prefix `val_` is ignored.
    pub fn direction(&self, name: &str) -> Option<Direction> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let plan = self.plan.as_ref();
        let metrics = || plan.iter().flat_map(|plan| &plan.metrics);
        if let Some(part) = metrics().find(|part| part.column == name) {
            return Some(part.metric.direction());
        }
        let is_loss = name.strip_suffix("_loss").is_some_and(|label| self.losses().any(|part| part.label == label));
        if name == "loss" || is_loss {
            return Some(Direction::Minimize);
        }
        // One of several named numbers of a metric.
        let is_part =
            |part: &&parts::CompiledMetric| name.strip_prefix(&part.column).is_some_and(|rest| rest.starts_with('_'));
        metrics().find(is_part).map(|part| part.metric.direction())
    }

    /// Resets the accumulated losses and metrics, at the start of an epoch.
    ///
    /// # Errors
    /// Returns an error if a metric fails.
    pub fn reset_metrics(&mut self) -> Result<()> {
        self.total = Mean::default();
        self.batch = None;
        let Some(plan) = &mut self.plan else { return Ok(()) };
        plan.losses.iter_mut().for_each(|part| part.mean = Mean::default());
        plan.metrics.iter_mut().try_for_each(|part| part.reset())
    }

    /// Returns the crashes of isolated metrics since the last call. Training continues without these metrics; their
    /// results are undefined from then on. See
    /// [`Isolation::continue_on_crash`](crate::plugin::Isolation::continue_on_crash).
    pub fn take_crashes(&mut self) -> Vec<Error> {
        let metrics = self.plan.iter_mut().flat_map(|plan| &mut plan.metrics);
        metrics.filter_map(parts::CompiledMetric::take_crash).collect()
    }

    /// Returns the optimizer.
    pub fn optimizer(&self) -> Option<&component::Optimizer> {
        self.optimizer.as_ref()
    }

    /// Returns the optimizer, to build, restore or change it.
    ///
    /// # Errors
    /// Returns an error if there is no optimizer.
    pub fn optimizer_mut(&mut self) -> Result<&mut component::Optimizer> {
        self.optimizer.as_mut().ok_or_else(no_optimizer)
    }

    /// Applies a step of the optimizer. For each parameter of a model, `gradients` contains its gradient, or `None` to
    /// leave it unchanged, and `values` contains its values. The first call creates the optimizer's state for these
    /// parameters; later calls must pass the same ones.
    ///
    /// # Errors
    /// Returns an error if there is no optimizer, if the slices don't fit the parameters, or if the optimizer fails.
    pub fn apply(
        &mut self,
        parameters: &[Parameter],
        gradients: &[Option<&[f32]>],
        values: &mut [&mut [f32]],
    ) -> Result<()> {
        let optimizer = self.optimizer_mut()?;
        if !optimizer.is_built() {
            let starts: Vec<&[f32]> = values.iter().map(|values| &**values).collect();
            optimizer.build(parameters, &starts)?;
        }
        optimizer.apply(gradients, values)
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Compile {
        &self.compile
    }

    /// Returns the configuration as JSON: the complete configuration of the optimizer, and the rest as it was written.
    /// [`Compile::from_json`] reads it.
    ///
    /// # Errors
    /// Returns an error if the optimizer fails to report its configuration.
    pub fn get_compile_config(&self) -> Result<Value> {
        let mut config = self.compile.to_json();
        if let Some(optimizer) = &self.optimizer {
            config["optimizer"] = optimizer.serialize()?;
        }
        Ok(config)
    }

    fn losses(&self) -> impl Iterator<Item = &parts::CompiledLoss> {
        self.plan.iter().flat_map(|plan| &plan.losses)
    }

    fn begin(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        self.build_for(outputs)?;
        self.begin_batch(outputs.first().map_or(0, |output| output.y_pred.samples()));
        Ok(())
    }

    fn build_for(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        if let Some(plan) = &self.plan {
            return match plan.caches.len() == outputs.len() {
                true => Ok(()),
                false => {
                    Err(Error::usage(format!("{} outputs; there were {} before", outputs.len(), plan.caches.len())))
                }
            };
        }
        outputs.iter().try_for_each(Output::check)?;
        let shapes: Vec<OutputShapes<'_>> = outputs
            .iter()
            .map(|output| OutputShapes {
                y_true: output.y_true.as_ref().map(Values::shape),
                y_pred: output.y_pred.shape(),
            })
            .collect();
        self.build(&shapes)
    }
}

fn no_optimizer() -> Error {
    Error::usage("cannot train without an optimizer").with("in", "compile.optimizer")
}

fn not_built() -> Error {
    Error::usage("the outputs aren't known yet").hint("call build with their shapes first")
}

fn no_output(index: usize) -> Error {
    Error::usage(format!("there is no output {index}"))
}
