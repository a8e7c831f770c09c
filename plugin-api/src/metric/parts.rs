//! Splits large batches between their rows: the host's threads add the parts to states of their own, which are merged.

use super::Metric;
use crate::{
    shape::{Shape, MAX_RANK},
    Host, Inputs, Result, Tensor,
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

/// Updates a state with a batch. The result may differ from that of one update in the last digits.
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
    let merged = states.collect::<Option<Vec<_>>>().and_then(|states| merged(metric, state, &states));
    match merged {
        Some(merged) => *state = merged,
        // The batch, or a merge, is rejected: the error for the whole batch names the row.
        None => metric.update(state, inputs)?,
    }
    Ok(())
}

/// Returns a state merged with the states of parts, or `None` if a merge fails. The state itself stays as it is.
fn merged<T: Metric>(metric: &T, state: &T::State, parts: &[T::State]) -> Option<T::State> {
    let (mut batch, mut merged) = (metric.init(), state.clone());
    parts.iter().try_for_each(|part| metric.merge(&mut batch, part)).ok()?;
    metric.merge(&mut merged, &batch).ok()?;
    Some(merged)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::{Direction, MetricInfo, Outcome},
        Error,
    };

    /// The weighted sum of the predictions, and the number of updates. Predictions above 1 are refused.
    #[derive(plugfit_macros::Config)]
    struct Total {
        /// Whether states can be merged.
        #[config(default = true)]
        merges: bool,
    }

    impl Metric for Total {
        type State = (f64, u64);
        fn info(&self) -> MetricInfo {
            MetricInfo::new(Direction::Neither)
        }
        fn init(&self) -> Self::State {
            (0.0, 0)
        }
        fn update(&self, state: &mut Self::State, inputs: &Inputs<'_>) -> Result<()> {
            let (mut sum, mut row, mut wrong) = (0.0, 0, None);
            inputs.for_each(|_, y_pred, weight| {
                if y_pred > 1.0 {
                    wrong = Some(row);
                }
                sum += weight * y_pred;
                row += 1;
            })?;
            match wrong {
                Some(row) => return Err(Error::input(format!("row {row} is above 1"))),
                None => *state = (state.0 + sum, state.1 + 1),
            }
            Ok(())
        }
        fn merge(&self, state: &mut Self::State, other: &Self::State) -> Result<()> {
            if !self.merges {
                return Err(Error::unsupported("states can't be merged"));
            }
            *state = (state.0 + other.0, state.1 + other.1);
            Ok(())
        }
        fn result(&self, state: &Self::State) -> Result<Outcome> {
            Ok(Outcome::Scalar(state.0))
        }
    }

    const ROWS: usize = 2 * TASK + 77;

    fn updated(merges: bool, y_pred: &[f32], weight: Option<&[f32]>, before: (f64, u64)) -> (Result<()>, (f64, u64)) {
        let (shape, of_weight) = ([y_pred.len() as i64, 1], [y_pred.len() as i64]);
        let tensors = [("y_true", Tensor::new(y_pred, &shape)), ("y_pred", Tensor::new(y_pred, &shape))];
        let weight = weight.map(|weight| Tensor::new(weight, &of_weight));
        let mut state = before;
        let result = update(&Total { merges }, &mut state, &Inputs::new(&tensors, weight, None), &Host::none());
        (result, state)
    }

    #[test]
    fn every_row_of_a_large_batch_counts_once() {
        let y_pred: Vec<f32> = (0..ROWS).map(|row| (row % 4) as f32 / 4.0).collect();
        let weight: Vec<f32> = (0..ROWS).map(|row| (row % 3) as f32).collect();
        for weight in [None, Some(&weight[..])] {
            let weight_of = |row: usize| weight.map_or(1.0, |weight| f64::from(weight[row]));
            let expected: f64 = (0..ROWS).map(|row| weight_of(row) * f64::from(y_pred[row])).sum();
            let (result, state) = updated(true, &y_pred, weight, (5.0, 0));
            result.unwrap();
            assert_eq!(state.0, 5.0 + expected);
            assert_eq!(state.1, 2 * (TASK as u64 + 39).div_ceil(PART as u64));
        }
        let (_, small) = updated(true, &y_pred[..1000], None, (0.0, 0));
        assert_eq!(small.1, 1);
    }

    #[test]
    fn a_rejected_batch_leaves_the_state_and_its_error_names_the_row() {
        let mut y_pred = vec![0.5; ROWS];
        y_pred[ROWS - 5] = 2.0;
        let (result, state) = updated(true, &y_pred, None, (5.0, 3));
        assert!(result.unwrap_err().message().contains(&format!("row {} ", ROWS - 5)));
        assert_eq!(state, (5.0, 3));
    }

    #[test]
    fn a_metric_that_refuses_to_merge_gets_the_whole_batch() {
        let (result, state) = updated(false, &vec![0.5; ROWS], None, (5.0, 3));
        result.unwrap();
        assert_eq!(state, (5.0 + 0.5 * ROWS as f64, 4));
    }
}
