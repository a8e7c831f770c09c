//! Training and evaluation of single batches: forward pass, losses, metrics, backward pass, optimizer step.

use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::compile::{Compiled, Logs, Output, OutputShapes, Values};
use crate::data::{Dataset, Inputs, MAX_FURTHER, Rows};
use crate::network::{Network, Training};
use crate::{Error, Result};

use super::check_targets;

/// A network and its compiled configuration.
pub struct Trainer<'a> {
    network: &'a mut dyn Network,
    compiled: &'a mut Compiled,
    /// The index of each output's target in the datasets.
    targets: Vec<Option<usize>>,
    /// The outputs that have a loss.
    trained: Vec<usize>,
    batches: u64,
    /// Buffer for inputs that are read from disk.
    buffer: Rows<f32>,
}

impl<'a> Trainer<'a> {
    /// Combines a network, a compiled configuration, and data of the same layout as `example`.
    ///
    /// # Errors
    /// Returns an error if the targets don't match the network's outputs, if they contain classes that the network
    /// doesn't have, or if the inputs have a different shape.
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
        let further: Vec<&str> = example.further().iter().map(|input| input.name.as_str()).collect();
        compiled.check_inputs(&further)?;
        check_targets::check(compiled, network, &targets, example)?;
        let trained = (0..targets.len()).filter(|&index| compiled.has_loss(index)).collect();
        Ok(Trainer { network, compiled, targets, trained, batches: 0, buffer: Rows::without_rows(&[]) })
    }

    /// Checks that the network has all classes in the dataset's targets, and that the dataset has the inputs of the losses
    /// and metrics.
    ///
    /// # Errors
    /// Returns an error that names the target and the row of the first class that the network doesn't have, or the input
    /// that is missing or unknown.
    pub(super) fn check_classes(&self, dataset: &Dataset) -> Result<()> {
        let further: Vec<&str> = dataset.further().iter().map(|input| input.name.as_str()).collect();
        self.compiled.check_inputs(&further)?;
        check_targets::check(self.compiled, self.network, &self.targets, dataset)
    }

    /// Returns the compiled configuration.
    pub fn compiled(&self) -> &Compiled {
        self.compiled
    }

    /// Returns the network.
    pub fn network(&self) -> &dyn Network {
        self.network
    }

    /// Builds the optimizer for the network's parameters, unless that is done.
    ///
    /// # Errors
    /// Returns an error if there is no optimizer, if a loss has no gradient, or if the optimizer doesn't accept the
    /// parameters.
    pub fn prepare(&mut self) -> Result<()> {
        self.compiled.check_trainable()?;
        let parameters = self.network.parameters();
        let values: Vec<&[f32]> = (0..parameters.len()).map(|index| self.network.parameter(index)).collect();
        self.compiled.optimizer_mut()?.build(parameters, &values)
    }

    /// Trains on a batch and returns its loss. On failure, the parameters are unchanged, unless the optimizer itself
    /// failed.
    ///
    /// Inputs of rows whose weights are all 0 are replaced by zeros. Otherwise, NaN or huge placeholder values in such
    /// rows would reach the parameter gradients, because 0 * NaN is NaN.
    ///
    /// # Errors
    /// Returns an error if the batch doesn't fit, or if a component fails.
    pub fn train_on_batch(&mut self, batch: &Dataset, training: Training) -> Result<f64> {
        self.network.forward(&batch.weighted_inputs(&mut self.buffer)?, Some(training))?;
        self.compiled.begin_batch(batch.len());
        let rows = 0..batch.len();
        let further = Further::of(batch, &rows);
        for (index, &target) in self.targets.iter().enumerate() {
            let (y_pred, mut gradient) = self.network.output_and_gradient(index);
            let output = output(batch, target, rows.clone(), y_pred).with_inputs(further.as_slice());
            if self.trained.contains(&index) {
                let gradient = gradient.as_slice_mut().ok_or_else(|| not_c_order(index))?;
                self.compiled.output_loss(index, &output, Some(&mut *gradient))?;
                flush_denormals(gradient);
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

    /// Sets the network's weights, one array per parameter.
    ///
    /// # Errors
    /// Returns an error if the weights belong to a different network.
    pub fn set_weights(&mut self, weights: &[Vec<f32>]) -> Result<()> {
        let fits = |index: usize, values: &Vec<f32>| self.network.parameter(index).len() == values.len();
        if weights.len() != self.network.parameters().len()
            || !weights.iter().enumerate().all(|(i, values)| fits(i, values))
        {
            return Err(Error::failure("the weights belong to a different network"));
        }
        for (index, values) in weights.iter().enumerate() {
            self.network.parameter_mut(index).copy_from_slice(values);
        }
        Ok(())
    }

    /// Returns the learning rate of the next step; 0 without an optimizer.
    pub fn learning_rate(&self) -> f64 {
        self.compiled.optimizer().map_or(0.0, crate::component::Optimizer::learning_rate)
    }

    /// Sets the learning rate.
    ///
    /// # Errors
    /// Returns an error if there is no optimizer, or if the rate is invalid.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<()> {
        self.compiled.optimizer_mut()?.set_learning_rate(rate)
    }

    /// Restores a state of the optimizer.
    ///
    /// # Errors
    /// Returns an error if the state belongs to a different optimizer.
    pub fn restore_optimizer(&mut self, state: &crate::component::OptimizerState) -> Result<()> {
        self.compiled.optimizer_mut()?.restore(state)
    }

    /// Returns the number of batches trained on.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Sets the parameters to the values used for evaluation, after training.
    ///
    /// # Errors
    /// Returns an error if the optimizer fails.
    pub fn finalize(&mut self) -> Result<()> {
        let (mut values, _) = values(self.network);
        self.compiled.optimizer_mut()?.finalize(&mut values)
    }

    /// Returns the losses and metrics of a dataset, evaluated in batches of this size. Doesn't train.
    ///
    /// # Errors
    /// Returns an error if the dataset doesn't fit, if a component fails, or if `stop` returns true.
    pub fn evaluate(&mut self, dataset: &Dataset, batch_size: usize, stop: &dyn Fn() -> bool) -> Result<Logs> {
        self.compiled.reset_metrics()?;
        for rows in batches(dataset.len(), batch_size) {
            if stop() {
                return Err(Error::interrupted("stopped in the middle of an evaluation"));
            }
            let mut batch_rows = rows.clone();
            self.evaluate_batch(dataset, rows).map_err(|error| error.in_data(|row| batch_rows.nth(row)))?;
        }
        let logs = self.compiled.logs()?;
        self.compiled.reset_metrics()?;
        Ok(logs)
    }

    fn evaluate_batch(&mut self, dataset: &Dataset, rows: std::ops::Range<usize>) -> Result<()> {
        self.network.forward(&dataset.inputs().rows(rows.clone(), &mut self.buffer)?, None)?;
        self.compiled.begin_batch(rows.len());
        let further = Further::of(dataset, &rows);
        for (index, &target) in self.targets.iter().enumerate() {
            let output = output(dataset, target, rows.clone(), self.network.output(index));
            let output = output.with_inputs(further.as_slice());
            if self.trained.contains(&index) {
                self.compiled.output_loss(index, &output, None)?;
            }
            self.compiled.update_output_metrics(index, &output)?;
        }
        self.compiled.end_batch(self.network.penalty()).map(drop)
    }

    /// Predicts with this network; see [`predict`].
    ///
    /// # Errors
    /// Returns an error if the inputs don't have the network's input shape, or can't be read.
    pub fn predict(&mut self, inputs: &Inputs, batch_size: usize) -> Result<Vec<ArrayD<f32>>> {
        predict(self.network, inputs, batch_size)
    }

    /// Returns the crashes since the last call; see [`Compiled::take_crashes`].
    pub fn take_crashes(&mut self) -> Vec<Error> {
        self.compiled.take_crashes()
    }

    /// Resets the accumulated losses and metrics.
    ///
    /// # Errors
    /// Returns an error if a metric fails.
    pub fn reset_metrics(&mut self) -> Result<()> {
        self.compiled.reset_metrics()
    }
}

/// Returns every output of a network for all of `inputs`, each of shape `[N, ...]`, computed in batches of this size.
///
/// # Errors
/// Returns an error if the inputs don't have the network's input shape, or can't be read.
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

/// Returns the rows of each batch. The last batch is shorter if `len` is no multiple of `batch_size`.
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
        Some(target) => Output::new(batch.targets()[target].values.slice(rows.clone()), y_pred),
        None => Output::without_targets(y_pred),
    };
    match batch.sample_weight() {
        Some(weight) => output.weighted(weight.slice(rows)),
        None => output,
    }
}

/// The further inputs of a batch, without memory on the heap.
struct Further<'b> {
    list: [(&'b str, Values<'b>); MAX_FURTHER],
    len: usize,
}

impl<'b> Further<'b> {
    fn of(batch: &'b Dataset, rows: &std::ops::Range<usize>) -> Self {
        let mut list = [("", Values::new::<f32>(&[], &[0])); MAX_FURTHER];
        for (place, input) in list.iter_mut().zip(batch.further()) {
            *place = (&input.name, input.values.slice(rows.clone()));
        }
        Further { list, len: batch.further().len().min(MAX_FURTHER) }
    }

    fn as_slice(&self) -> &[(&'b str, Values<'b>)] {
        &self.list[..self.len]
    }
}

/// Sets negligible derivatives to zero. Samples that are learnt well have derivatives of 1e-38 and below, and
/// arithmetic on such subnormal numbers is many times slower, in the backward pass and in the optimizer.
fn flush_denormals(gradient: &mut [f32]) {
    const NEGLIGIBLE: f32 = 1e-30;
    gradient
        .iter_mut()
        .for_each(|derivative| *derivative = if derivative.abs() < NEGLIGIBLE { 0.0 } else { *derivative });
}

fn not_c_order(index: usize) -> Error {
    Error::failure(format!("the network's gradient of output {index} isn't in C order"))
}

/// Returns the network's values, as the optimizer expects them, and their gradients.
fn values(network: &mut dyn Network) -> (Vec<&mut [f32]>, Vec<Option<&[f32]>>) {
    let count = network.parameters().len();
    let (mut values, mut gradients) = (Vec::with_capacity(count), Vec::with_capacity(count));
    network.visit_parameters(&mut |_, value, gradient| {
        values.push(value);
        gradients.push(gradient);
    });
    (values, gradients)
}

/// Returns the index of each output's target: the only target, or the one with the output's name.
fn match_targets(outputs: &[String], dataset: &Dataset) -> Result<Vec<Option<usize>>> {
    let targets = dataset.targets();
    if let ([_], [_]) = (outputs, targets) {
        return Ok(vec![Some(0)]);
    }
    for target in targets {
        if !outputs.contains(&target.name) {
            let error =
                Error::usage(format!("the network has no output \"{}\"", target.name)).with("in", "data.target");
            return Err(error.near_or_all(&target.name, outputs.iter().map(String::as_str)));
        }
    }
    Ok(outputs.iter().map(|name| targets.iter().position(|target| target.name == *name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_has_the_remaining_rows() {
        assert_eq!(batches(7, 3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert_eq!(batches(0, 3).count(), 0);
    }
}
