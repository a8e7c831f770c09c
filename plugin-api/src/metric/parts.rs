//! Splits large batches between their rows: the host's threads add the parts to states of their own, which are merged.

use super::Metric;
use crate::{
    shape::{Shape, MAX_RANK},
    Error, Host, Inputs, Result, Tensor,
};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// The number of elements of a part, whose inputs stay in the second-level cache while they are checked and read.
const PART: usize = 1 << 14;
/// The least number of elements of a task.
const TASK: usize = 1 << 17;
/// The maximum number of tasks of a batch. The number of tasks depends only on the size of the batch, so the result is
/// the same for any number of threads.
const TASKS: usize = 64;
/// The maximum number of inputs of a batch that is split, with the weight.
const MAX_TENSORS: usize = 4;

/// Updates a state with a batch.
pub(crate) fn update<T: Metric>(metric: &T, state: &mut T::State, inputs: &Inputs<'_>, host: &Host<'_>) -> Result<()> {
    let Some((rows, elements)) = splittable(metric, inputs) else { return metric.update(state, inputs) };
    let rows_per_task = rows.div_ceil((elements / TASK).clamp(1, TASKS));
    let rows_per_part = (PART / (elements / rows).max(1)).clamp(1, rows_per_task);
    let tasks = rows.div_ceil(rows_per_task);
    let states: Vec<Mutex<Option<T::State>>> = (0..tasks).map(|_| Mutex::new(None)).collect();
    host.parallel(tasks, |task| {
        let end = rows.min((task + 1) * rows_per_task);
        let parts = (task * rows_per_task..end).step_by(rows_per_part);
        let mut own = metric.init();
        let is_complete = parts
            .map(|start| with_rows(inputs, start..end.min(start + rows_per_part), |part| metric.update(&mut own, part)))
            .all(|result| result.is_ok());
        if is_complete {
            *states[task].lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
        }
    });
    let states = states.into_iter().map(|own| own.into_inner().unwrap_or_else(PoisonError::into_inner));
    match states.collect::<Option<Vec<_>>>() {
        Some(states) => merge(metric, state, states),
        // The error of the whole batch names the row. An error leaves the state unchanged.
        None => metric.update(state, inputs),
    }
}

fn merge<T: Metric>(metric: &T, state: &mut T::State, states: Vec<T::State>) -> Result<()> {
    let mut merged = metric.init();
    states.iter().try_for_each(|own| metric.merge(&mut merged, own))?;
    metric.merge(state, &merged).map_err(|error| Error::input(error.message()))
}

/// Returns the numbers of rows and of elements of a batch that is large enough to be split.
fn splittable<T: Metric>(metric: &T, inputs: &Inputs<'_>) -> Option<(usize, usize)> {
    let tensors = || inputs.tensors.iter().map(|(_, tensor)| *tensor).chain(inputs.weight);
    let elements = inputs.tensors.iter().map(|(_, tensor)| tensor.len()).max()?;
    if elements < 2 * TASK || inputs.mask.is_some() || tensors().count() > MAX_TENSORS {
        return None;
    }
    let rows = *tensors().next()?.shape().first()?;
    let fits = |tensor: Tensor<'_>| tensor.rank() <= MAX_RANK && tensor.shape().first() == Some(&rows);
    if rows < 2 || !tensors().all(fits) {
        return None;
    }
    let rank = inputs.tensors.iter().map(|(_, tensor)| tensor.rank()).max()?;
    metric.can_split(rank).then_some((rows as usize, elements))
}

/// Calls `f` with these rows of the inputs.
fn with_rows<T>(inputs: &Inputs<'_>, rows: Range<usize>, f: impl FnOnce(&Inputs<'_>) -> Result<T>) -> Result<T> {
    let shape = |tensor: Tensor<'_>| {
        let mut shape = Shape::of(tensor.shape()).unwrap_or_default();
        shape.set_length(0, rows.len());
        shape
    };
    let mut shapes = [Shape::default(); MAX_TENSORS];
    let mut tensors = [("", Tensor::new::<f32>(&[], &[0])); MAX_TENSORS];
    for (place, (_, tensor)) in shapes.iter_mut().zip(inputs.tensors) {
        *place = shape(*tensor);
    }
    for ((place, shape), (name, tensor)) in tensors.iter_mut().zip(&shapes).zip(inputs.tensors) {
        *place = (*name, tensor.rows(rows.start, shape.lengths())?);
    }
    let of_weight = inputs.weight.map(shape);
    let weight = match (inputs.weight, &of_weight) {
        (Some(weight), Some(shape)) => Some(weight.rows(rows.start, shape.lengths())?),
        _ => None,
    };
    f(&Inputs { tensors: &tensors[..inputs.tensors.len()], weight, mask: None })
}
