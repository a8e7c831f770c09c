//! One batch at a time: forward, losses, metrics, backward, the optimizer's step.

use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::compile::{Compiled, Logs, Output, OutputShapes};
use crate::data::text::nearest;
use crate::data::{ArrayRef, Dataset, Inputs, Rows};
use crate::network::{Network, Training};
use crate::{Error, Result};

use super::classes;

/// A network and what it was compiled with.
pub struct Trainer<'a> {
    network: &'a mut dyn Network,
    compiled: &'a mut Compiled,
    /// For each output the index of its target in the datasets.
    targets: Vec<Option<usize>>,
    /// The outputs that have a loss.
    trained: Vec<usize>,
    batches: u64,
    /// Of inputs that are read from disk.
    buffer: Rows<f32>,
}

impl<'a> Trainer<'a> {
    /// Brings a network, what it is compiled with, and data of the kind of `example` together.
    ///
    /// # Errors
    /// The dataset's targets aren't the network's outputs, or hold classes that the network hasn't; its inputs have another shape.
    pub fn new(network: &'a mut dyn Network, compiled: &'a mut Compiled, example: &Dataset) -> Result<Self> {
        let (wanted, found) = (network.input_shape(), example.inputs().row_shape());
        if wanted != found {
            return Err(Error::usage(format!(
                "the network takes samples of shape {wanted:?}; the data have {found:?}"
            )));
        }
        let targets = match_targets(network.output_names(), example)?;
        let shape =
            |row: &[usize]| -> Vec<i64> { [example.len()].iter().chain(row).map(|&length| length as i64).collect() };
        let shapes: Vec<(Option<Vec<i64>>, Vec<i64>)> = targets
            .iter()
            .enumerate()
            .map(|(index, target)| {
                let y_true = target.map(|target| shape(example.targets()[target].values.row_shape()));
                (y_true, shape(network.output_shape(index)))
            })
            .collect();
        let shapes: Vec<OutputShapes<'_>> =
            shapes.iter().map(|(y_true, y_pred)| OutputShapes { y_true: y_true.as_deref(), y_pred }).collect();
        compiled.build(&shapes)?;
        classes::check(compiled, network, &targets, example)?;
        let trained = (0..targets.len()).filter(|&index| compiled.has_loss(index)).collect();
        Ok(Trainer { network, compiled, targets, trained, batches: 0, buffer: Rows::without_rows(&[]) })
    }

    /// Refuses a dataset whose targets hold classes that the network hasn't.
    ///
    /// # Errors
    /// The target, and the row of the first class that isn't there.
    pub(super) fn check_classes(&self, dataset: &Dataset) -> Result<()> {
        classes::check(self.compiled, self.network, &self.targets, dataset)
    }

    /// What it was compiled with.
    pub fn compiled(&self) -> &Compiled {
        self.compiled
    }

    /// The network.
    pub fn network(&self) -> &dyn Network {
        self.network
    }

    /// Gives the optimizer the network's parameters, if it hasn't got them.
    ///
    /// # Errors
    /// There is no optimizer, a loss has no gradient, or the optimizer doesn't take such parameters.
    pub fn prepare(&mut self) -> Result<()> {
        self.compiled.check_trainable()?;
        let parameters = self.network.parameters();
        let values: Vec<&[f32]> = (0..parameters.len()).map(|index| self.network.parameter(index)).collect();
        self.compiled.optimizer_mut()?.build(parameters, &values)
    }

    /// Trains on a batch, and gives its loss. If it fails, the parameters are those of before, unless the optimizer itself failed.
    ///
    /// The network sees zeros in place of the inputs of a row whose weights are all 0. What the row holds, such as NaN or a
    /// placeholder that overflows, can't reach the gradients of the parameters then, where 0 * NaN would be NaN.
    ///
    /// # Errors
    /// The batch doesn't fit, or a component fails.
    pub fn train_on_batch(&mut self, batch: &Dataset, training: Training) -> Result<f64> {
        self.network.forward(&batch.weighted_inputs(&mut self.buffer)?, Some(training))?;
        self.compiled.begin_batch(batch.len());
        let rows = 0..batch.len();
        for (index, &target) in self.targets.iter().enumerate() {
            let (y_pred, mut gradient) = self.network.output_and_gradient(index);
            let output = output(batch, target, rows.clone(), y_pred);
            if self.trained.contains(&index) {
                let gradient = gradient.as_slice_mut().ok_or_else(|| not_c_order(index))?;
                self.compiled.output_loss(index, &output, Some(&mut *gradient))?;
                without_traces(gradient);
            }
            self.compiled.update_output_metrics(index, &output)?;
        }
        let loss = self.compiled.end_batch(self.network.penalty())?;
        self.network.backward(&self.trained)?;
        let (mut values, gradients) = values(self.network);
        self.compiled.optimizer_mut()?.apply(&gradients, &mut values)?;
        self.batches += 1;
        Ok(loss)
    }

    /// Puts weights into the network, parameter by parameter.
    ///
    /// # Errors
    /// They are of another network.
    pub fn set_weights(&mut self, weights: &[Vec<f32>]) -> Result<()> {
        let fits = |index: usize, values: &Vec<f32>| self.network.parameter(index).len() == values.len();
        if weights.len() != self.network.parameters().len()
            || !weights.iter().enumerate().all(|(i, values)| fits(i, values))
        {
            return Err(Error::failure("the weights are of another network"));
        }
        for (index, values) in weights.iter().enumerate() {
            self.network.parameter_mut(index).copy_from_slice(values);
        }
        Ok(())
    }

    /// The learning rate of the next step; 0 without an optimizer.
    pub fn learning_rate(&self) -> f64 {
        self.compiled.optimizer().map_or(0.0, crate::component::Optimizer::learning_rate)
    }

    /// Goes on with this learning rate.
    ///
    /// # Errors
    /// There is no optimizer, or it can't be a rate.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        self.compiled.optimizer_mut()?.set_learning_rate(rate)
    }

    /// Goes on with a state of the optimizer.
    ///
    /// # Errors
    /// It is of another one.
    pub fn restore_optimizer(&mut self, state: &crate::component::OptimizerState) -> Result<()> {
        self.compiled.optimizer_mut()?.restore(state)
    }

    /// The batches trained on.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Moves the parameters to where they shall be evaluated, when training is over.
    ///
    /// # Errors
    /// The optimizer fails.
    pub fn finalize(&mut self) -> Result<()> {
        let (mut values, _) = values(self.network);
        self.compiled.optimizer_mut()?.finalize(&mut values)
    }

    /// The losses and metrics of a dataset, in batches of this size; nothing is trained.
    ///
    /// # Errors
    /// The dataset doesn't fit, or a component fails.
    pub fn evaluate(&mut self, dataset: &Dataset, batch_size: usize, stop: &dyn Fn() -> bool) -> Result<Logs> {
        self.compiled.reset_metrics()?;
        for rows in batches(dataset.len(), batch_size) {
            if stop() {
                return Err(Error::interrupted("stopped in the middle of an evaluation"));
            }
            let mut of_batch = rows.clone();
            self.evaluate_batch(dataset, rows).map_err(|error| error.in_data(|row| of_batch.nth(row)))?;
        }
        let logs = self.compiled.logs()?;
        self.compiled.reset_metrics()?;
        Ok(logs)
    }

    fn evaluate_batch(&mut self, dataset: &Dataset, rows: std::ops::Range<usize>) -> Result<()> {
        self.network.forward(&dataset.inputs().rows(rows.clone(), &mut self.buffer)?, None)?;
        self.compiled.begin_batch(rows.len());
        for (index, &target) in self.targets.iter().enumerate() {
            let output = output(dataset, target, rows.clone(), self.network.output(index));
            if self.trained.contains(&index) {
                self.compiled.output_loss(index, &output, None)?;
            }
            self.compiled.update_output_metrics(index, &output)?;
        }
        self.compiled.end_batch(self.network.penalty()).map(drop)
    }

    /// As [`predict`], of this network.
    ///
    /// # Errors
    /// The inputs haven't the network's input shape, or can't be read.
    pub fn predict(&mut self, inputs: &Inputs, batch_size: usize) -> Result<Vec<ArrayD<f32>>> {
        predict(self.network, inputs, batch_size)
    }

    /// As [`Compiled::take_crashes`].
    pub fn take_crashes(&mut self) -> Vec<Error> {
        self.compiled.take_crashes()
    }

    /// Forgets what losses and metrics have seen.
    ///
    /// # Errors
    /// A metric fails.
    pub fn reset_metrics(&mut self) -> Result<()> {
        self.compiled.reset_metrics()
    }
}

/// Every output of a network for all of `inputs`, `[N, ...]` each, in batches of this size.
///
/// # Errors
/// The inputs haven't the network's input shape, or can't be read.
pub fn predict(network: &mut dyn Network, inputs: &Inputs, batch_size: usize) -> Result<Vec<ArrayD<f32>>> {
    let outputs = network.output_names().len();
    let shape = |index: usize| {
        let row = network.output_shape(index);
        [inputs.len()].iter().chain(row).copied().collect::<Vec<usize>>()
    };
    let mut predictions: Vec<ArrayD<f32>> = (0..outputs).map(|index| ArrayD::zeros(shape(index))).collect();
    let mut buffer = Rows::without_rows(&[]);
    for rows in batches(inputs.len(), batch_size) {
        network.forward(&inputs.rows(rows.clone(), &mut buffer)?, None)?;
        for (index, prediction) in predictions.iter_mut().enumerate() {
            let (from, to) = (rows.start as isize, rows.end as isize);
            prediction.slice_axis_mut(Axis(0), (from..to).into()).assign(&network.output(index));
        }
    }
    Ok(predictions)
}

/// The rows of each batch, the last one shorter where they don't come out even.
fn batches(len: usize, batch_size: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let batch_size = batch_size.max(1);
    (0..len).step_by(batch_size).map(move |start| start..len.min(start + batch_size))
}

fn output<'b>(
    batch: &'b Dataset,
    target: Option<usize>,
    rows: std::ops::Range<usize>,
    y_pred: ArrayViewD<'b, f32>,
) -> Output<'b> {
    let output = match target {
        Some(target) => {
            let y_true: ArrayRef<'b> = batch.targets()[target].values.slice(rows.clone());
            Output::new(y_true, y_pred)
        }
        None => Output::without_targets(y_pred),
    };
    match batch.sample_weight() {
        Some(weight) => output.weighted(weight.slice(rows)),
        None => output,
    }
}

/// Zero for slopes that move nothing: those of samples long learnt go to 1e-38 and below, and arithmetic on such subnormal numbers
/// takes many times as long, in the backward pass and in the optimizer.
fn without_traces(gradient: &mut [f32]) {
    const TRACE: f32 = 1e-30;
    gradient.iter_mut().for_each(|slope| *slope = if slope.abs() < TRACE { 0.0 } else { *slope });
}

fn not_c_order(index: usize) -> Error {
    Error::failure(format!("the network lends a gradient of output {index} that isn't in C order"))
}

/// The network's values as an optimizer takes them, and their gradients.
fn values(network: &mut dyn Network) -> (Vec<&mut [f32]>, Vec<Option<&[f32]>>) {
    let count = network.parameters().len();
    let (mut values, mut gradients) = (Vec::with_capacity(count), Vec::with_capacity(count));
    network.visit_parameters(&mut |_, value, gradient| {
        values.push(value);
        gradients.push(gradient);
    });
    (values, gradients)
}

/// For each output the index of its target: the only one, or the one of its name.
fn match_targets(outputs: &[String], dataset: &Dataset) -> Result<Vec<Option<usize>>> {
    let targets = dataset.targets();
    if let ([_], [_]) = (outputs, targets) {
        return Ok(vec![Some(0)]);
    }
    for target in targets {
        if !outputs.contains(&target.name) {
            let error =
                Error::usage(format!("the network has no output \"{}\"", target.name)).with("in", "data.target");
            return Err(match nearest(&target.name, outputs.iter().map(String::as_str))[..] {
                [] => error.with("has", outputs.join(", ")),
                ref near => error.with("near", near.join(", ")),
            });
        }
    }
    Ok(outputs.iter().map(|name| targets.iter().position(|target| target.name == *name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_holds_the_rest() {
        assert_eq!(batches(7, 3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert_eq!(batches(0, 3).count(), 0);
    }
}
