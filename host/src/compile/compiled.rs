//! What `compile` gives: losses and gradients, the optimizer's step, metrics.

use ndarray::{ArrayViewD, IxDyn};
use plugfit_api::metric::Direction;
use serde_json::Value;

use super::auto::OutputShapes;
use super::logs::{LogValue, Logs};
use super::mean::Mean;
use super::place::at;
use super::plan::{self, Plan};
use super::values::{Output, Values};
use super::{Compile, parts};
use crate::network::Parameter;
use crate::{Error, Host, Result, component};

/// A compiled model's optimizer, losses and metrics.
///
/// With a loop of one's own and one output, a step is [`value_and_gradient`](Self::value_and_gradient), the model's backward
/// pass, [`apply`](Self::apply) and [`update_metrics`](Self::update_metrics). With several outputs it is
/// [`value_and_gradients`](Self::value_and_gradients). Who can't lend all outputs at once calls
/// [`begin_batch`](Self::begin_batch), then for each output [`output_loss`](Self::output_loss) and
/// [`update_output_metrics`](Self::update_output_metrics), then [`end_batch`](Self::end_batch).
///
/// Arrays are borrowed and not copied; what a component doesn't take in their dtype is converted once a batch.
pub struct Compiled {
    host: Host,
    compile: Compile,
    optimizer: Option<component::Optimizer>,
    pub(super) plan: Option<Plan>,
    pub(super) total: Mean,
    /// The samples of the batch that was begun.
    batch: Option<usize>,
    gradient: Vec<f32>,
    gradient_shape: Vec<usize>,
    /// For the second loss of one output.
    more_gradient: Vec<f32>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compiled").field(&self.compile).finish()
    }
}

impl Compiled {
    pub(crate) fn new(host: Host, compile: Compile) -> Result<Self> {
        let optimizer = match compile.optimizer.is_none() {
            true => None,
            false => {
                let mut optimizer = at("compile.optimizer", host.optimizer(compile.optimizer.clone()))?;
                optimizer.set_groups(compile.groups.clone())?;
                Some(optimizer)
            }
        };
        plan::check(&host, &compile)?;
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

    /// Decides what depends on the shapes ("accuracy", "crossentropy") and names the log's columns. The first batch does it
    /// by itself; a second time does nothing. The length of the first axis doesn't matter.
    ///
    /// # Errors
    /// The outputs aren't those that losses and metrics were given for.
    pub fn build(&mut self, shapes: &[OutputShapes<'_>]) -> Result<()> {
        if self.plan.is_some() {
            return Ok(());
        }
        let names = self.compile.outputs.len();
        if shapes.is_empty() || names != 0 && names != shapes.len() {
            return Err(Error::usage(format!("compile was told of {names} outputs, and {} are given", shapes.len())));
        }
        self.plan = Some(Plan::new(&self.host, &self.compile, shapes)?);
        Ok(())
    }

    /// Whether [`build`](Self::build) was called, or a batch was seen.
    pub fn is_built(&self) -> bool {
        self.plan.is_some()
    }

    /// What the user should know of how the configuration was understood.
    pub fn notes(&self) -> &[String] {
        self.plan.as_ref().map_or(&[], |plan| &plan.notes)
    }

    /// Refuses losses that can only be evaluated, and a model without a loss or an optimizer.
    ///
    /// # Errors
    /// It can't be trained.
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

    /// Whether an output has a loss, and so a gradient.
    pub fn has_loss(&self, output: usize) -> bool {
        self.losses().any(|part| part.output == output)
    }

    /// Each loss with the index of its output, in order. Empty before [`build`](Self::build).
    pub fn component_losses(&self) -> impl Iterator<Item = (usize, &component::Loss)> {
        self.losses().map(|part| (part.output, &part.loss))
    }

    /// Each metric with its column and the index of its output, in the log's order. Empty before [`build`](Self::build).
    pub fn component_metrics(&self) -> impl Iterator<Item = (&str, usize, &component::Metric)> {
        let metrics = self.plan.iter().flat_map(|plan| &plan.metrics);
        metrics.map(|part| (part.column.as_str(), part.output, &part.metric))
    }

    /// Begins a batch of this many samples.
    pub fn begin_batch(&mut self, samples: usize) {
        self.batch = Some(samples);
        if let Some(plan) = &mut self.plan {
            plan.lent.iter_mut().for_each(parts::Lent::forget);
            plan.losses.iter_mut().for_each(|part| part.value = None);
        }
    }

    /// The loss of one output of the batch, times its loss weight. With `gradient`, its derivative with respect to `y_pred`
    /// is written there, as many numbers as `y_pred` has. 0 for an output without a loss, whose gradient is all 0.
    ///
    /// # Errors
    /// No batch was begun, nothing was built, an array doesn't fit, or the loss fails.
    pub fn output_loss(&mut self, index: usize, output: &Output<'_>, gradient: Option<&mut [f32]>) -> Result<f64> {
        if self.batch.is_none() {
            return Err(Error::usage("a loss was asked for outside of a batch").hint("call begin_batch first"));
        }
        output.check()?;
        let scale = self.optimizer.as_ref().map_or(1.0, component::Optimizer::loss_scale);
        let Compiled { plan, more_gradient, .. } = self;
        let plan = plan.as_mut().ok_or_else(not_built)?;
        let lent = plan.lent.get_mut(index).ok_or_else(|| no_output(index))?;
        let mut gradient = gradient;
        let mut written = false;
        let mut total = 0.0;
        for part in plan.losses.iter_mut().filter(|part| part.output == index && part.counts) {
            let value = match gradient.as_deref_mut() {
                Some(gradient) if written => {
                    more_gradient.clear();
                    more_gradient.resize(gradient.len(), 0.0);
                    let value = part.call(output, lent, Some(&mut *more_gradient), scale)?;
                    gradient.iter_mut().zip(&*more_gradient).for_each(|(sum, more)| *sum += more);
                    value
                }
                gradient => part.call(output, lent, gradient, scale)?,
            };
            written = true;
            total += part.weighted(value);
        }
        if let (false, Some(gradient)) = (written, gradient) {
            gradient.fill(0.0);
        }
        Ok(total)
    }

    /// Ends the batch: adds the losses of its outputs to the log and gives their total. `additional` is what else the model
    /// adds to the loss (regularisation), 0 if nothing.
    ///
    /// # Errors
    /// No batch was begun, or an output's loss wasn't asked for.
    pub fn end_batch(&mut self, additional: f64) -> Result<f64> {
        let samples = self.batch.take().ok_or_else(|| Error::usage("no batch was begun"))?;
        let mut total = additional;
        for part in self.plan.iter_mut().flat_map(|plan| &mut plan.losses).filter(|part| part.counts) {
            let value = part.value.take().ok_or_else(|| {
                Error::usage(format!("the loss of output \"{}\" wasn't asked for in this batch", part.label))
            })?;
            part.mean.add(value, samples);
            total += part.weighted(value);
        }
        self.total.add(total, samples);
        Ok(total)
    }

    /// Takes one output of the batch into its metrics: `metrics` don't look at its weights, `weighted_metrics` do, and a mask
    /// counts for both.
    ///
    /// # Errors
    /// Nothing was built, an array doesn't fit, or a metric fails.
    pub fn update_output_metrics(&mut self, index: usize, output: &Output<'_>) -> Result<()> {
        output.check()?;
        let plan = self.plan.as_mut().ok_or_else(not_built)?;
        let lent = plan.lent.get_mut(index).ok_or_else(|| no_output(index))?;
        if self.batch.is_none() {
            lent.forget();
        }
        plan.metrics.iter_mut().filter(|part| part.output == index).try_for_each(|part| part.update(output, lent))
    }

    /// The loss of a batch.
    ///
    /// # Errors
    /// As [`output_loss`](Self::output_loss).
    pub fn value(&mut self, outputs: &[Output<'_>]) -> Result<f64> {
        self.begin(outputs)?;
        for (index, output) in outputs.iter().enumerate() {
            self.output_loss(index, output, None)?;
        }
        self.end_batch(0.0)
    }

    /// The loss of a batch with several outputs, and for each output the derivative with respect to its `y_pred`, written to
    /// the buffer given for it; no buffer is needed for an output without a loss.
    ///
    /// # Errors
    /// As [`output_loss`](Self::output_loss).
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

    /// The loss of a batch with one output, and its derivative with respect to `y_pred`, in `y_pred`'s shape.
    ///
    /// # Errors
    /// As [`output_loss`](Self::output_loss).
    pub fn value_and_gradient<'a>(
        &mut self,
        y_true: impl Into<Values<'a>>,
        y_pred: impl Into<Values<'a>>,
    ) -> Result<(f64, ArrayViewD<'_, f32>)> {
        self.value_and_gradient_of(&Output::new(y_true, y_pred))
    }

    /// As [`value_and_gradient`](Self::value_and_gradient), for an output with weights or a mask.
    ///
    /// # Errors
    /// As [`output_loss`](Self::output_loss).
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
        Ok((value, view.map_err(|error| Error::failure(format!("the gradient isn't whole: {error}")))?))
    }

    /// Takes a batch with one output into the metrics.
    ///
    /// # Errors
    /// As [`update_output_metrics`](Self::update_output_metrics).
    pub fn update_metrics<'a>(&mut self, y_true: impl Into<Values<'a>>, y_pred: impl Into<Values<'a>>) -> Result<()> {
        self.update_metrics_of(&[Output::new(y_true, y_pred)])
    }

    /// Takes a batch into the metrics of its outputs.
    ///
    /// # Errors
    /// As [`update_output_metrics`](Self::update_output_metrics).
    pub fn update_metrics_of(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        self.build_for(outputs)?;
        outputs.iter().enumerate().try_for_each(|(index, output)| self.update_output_metrics(index, output))
    }

    /// What was seen since the last [`reset_metrics`](Self::reset_metrics): the loss, the metrics, the weighted metrics, and
    /// with more than one loss each of them without its loss weight.
    ///
    /// # Errors
    /// A metric fails.
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

    /// Which way an entry of the log is better; none if there is no such entry. What a validation puts before a name
    /// ("val_") is passed over.
    pub fn direction(&self, name: &str) -> Option<Direction> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        let plan = self.plan.as_ref();
        let metrics = || plan.iter().flat_map(|plan| &plan.metrics);
        if let Some(part) = metrics().find(|part| part.column == name) {
            return Some(part.metric.direction());
        }
        let own = name.strip_suffix("_loss").is_some_and(|label| self.losses().any(|part| part.label == label));
        if name == "loss" || own {
            return Some(Direction::Minimize);
        }
        // One of several numbers of a metric.
        let of_metric =
            |part: &&parts::MetricPart| name.strip_prefix(&part.column).is_some_and(|rest| rest.starts_with('_'));
        metrics().find(of_metric).map(|part| part.metric.direction())
    }

    /// Forgets what was seen: at the beginning of an epoch.
    ///
    /// # Errors
    /// A metric fails.
    pub fn reset_metrics(&mut self) -> Result<()> {
        self.total = Mean::default();
        self.batch = None;
        let Some(plan) = &mut self.plan else { return Ok(()) };
        plan.losses.iter_mut().for_each(|part| part.mean = Mean::default());
        plan.metrics.iter_mut().try_for_each(|part| part.reset())
    }

    /// The crashes of isolated metrics that it goes on without, each given once; their results are undefined from then on. See
    /// [`Isolation::goes_on`](crate::plugin::Isolation::goes_on).
    pub fn take_crashes(&mut self) -> Vec<Error> {
        let metrics = self.plan.iter_mut().flat_map(|plan| &mut plan.metrics);
        metrics.filter_map(parts::MetricPart::take_crash).collect()
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Option<&component::Optimizer> {
        self.optimizer.as_ref()
    }

    /// The optimizer, to be built, restored or changed.
    ///
    /// # Errors
    /// There is none.
    pub fn optimizer_mut(&mut self) -> Result<&mut component::Optimizer> {
        self.optimizer.as_mut().ok_or_else(no_optimizer)
    }

    /// Lets the optimizer take a step: for each parameter of a model its gradient, or none to leave it as it is, and its numbers.
    /// The first call makes the optimizer's state for these parameters; each of the others has the same ones.
    ///
    /// # Errors
    /// There is no optimizer, the slices don't fit the parameters, or the optimizer fails.
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

    /// What it was compiled with.
    pub fn config(&self) -> &Compile {
        &self.compile
    }

    /// What it was compiled with, as JSON: the optimizer with its whole configuration, the rest as it was written.
    /// [`Compile::from_json`] reads it.
    ///
    /// # Errors
    /// The optimizer can't say.
    pub fn get_compile_config(&self) -> Result<Value> {
        let mut config = self.compile.to_json();
        if let Some(optimizer) = &self.optimizer {
            config["optimizer"] = optimizer.serialize()?;
        }
        Ok(config)
    }

    fn losses(&self) -> impl Iterator<Item = &parts::LossPart> {
        self.plan.iter().flat_map(|plan| &plan.losses)
    }

    fn begin(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        self.build_for(outputs)?;
        self.begin_batch(outputs.first().map_or(0, |output| output.y_pred.samples()));
        Ok(())
    }

    fn build_for(&mut self, outputs: &[Output<'_>]) -> Result<()> {
        if let Some(plan) = &self.plan {
            return match plan.lent.len() == outputs.len() {
                true => Ok(()),
                false => Err(Error::usage(format!("{} outputs; there were {} before", outputs.len(), plan.lent.len()))),
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
