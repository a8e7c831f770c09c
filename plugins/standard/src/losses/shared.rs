//! Code shared by losses that work on whole tensors: axes, and the division of rows between threads.

use plugfit_api::{Float, loss::LossTotals, prelude::*};
use std::{ops::Range, sync::Mutex};

/// Elements of a task. With fewer, threads cost more than they save.
pub const TASK_ELEMENTS: usize = 1 << 15;
/// The maximum number of tasks of one call. It depends on the work only, so that the number of threads doesn't change
/// the result.
const TASKS: usize = 64;

/// Returns the index of an axis; a negative `axis` counts from the end.
///
/// # Errors
/// Returns an error if the shape has no such axis.
pub fn axis_of(shape: &[i64], axis: i64) -> Result<usize> {
    let rank = shape.len() as i64;
    let index = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&index) {
        Ok(index as usize)
    } else {
        Err(Error::input(format!("y_pred of shape {shape:?} has no axis {axis}")))
    }
}

/// Returns the number of elements of a shape, or of a part of a shape.
pub fn element_count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// A range of rows and the outputs of a task for them.
pub struct Part<'a, F = f32> {
    pub rows: Range<usize>,
    pub values: Option<&'a mut [F]>,
    pub valid: Option<&'a mut [F]>,
    pub gradient: Option<&'a mut [F]>,
}

impl<F: Float> Part<'_, F> {
    /// Writes the value at an index of this part, and whether it counts.
    #[inline(always)]
    pub fn write(&mut self, at: usize, value: F, counts: bool) {
        if let Some(values) = self.values.as_deref_mut() {
            values[at] = value;
        }
        if let Some(valid) = self.valid.as_deref_mut() {
            valid[at] = if counts { F::ONE } else { F::ZERO };
        }
    }
}

/// The sizes of a loss's outputs.
#[derive(Clone, Copy)]
pub struct Layout {
    pub rows: usize,
    /// Values for each row.
    pub values: usize,
    /// Gradient elements for each row.
    pub derivatives: usize,
    /// The cost of a row, in elements.
    pub cost: usize,
}

/// Runs `run` on all rows, divided between threads if there is enough work, and adds the results in order.
///
/// # Errors
/// Returns an error if an output buffer has the wrong length or dtype.
pub fn run_parallel<F: Float>(
    layout: Layout,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
    run: impl Fn(Part<'_, F>) -> LossTotals + Sync,
) -> Result<LossTotals> {
    let Layout { rows, values, derivatives, cost } = layout;
    let check_length = |length: Option<usize>, wanted: usize, what: &str| match length {
        Some(length) if length != wanted => Err(Error::input(format!("{what} has {length} elements, not {wanted}"))),
        _ => Ok(()),
    };
    check_length(output.upstream.map(<[F]>::len), rows * values, "the upstream weight")?;
    check_length(output.values.as_ref().map(|values| values.len()), rows * values, "the memory for the values")?;
    check_length(output.valid.as_ref().map(|valid| valid.len()), rows * values, "the memory for the mask")?;
    let LossOutput { values: all_values, valid: all_valid, gradients, .. } = output;
    let gradient = match gradients.get_mut(1) {
        Some(Some(tensor)) => Some(tensor.floats_mut::<F>("the gradient")?),
        _ => None,
    };
    check_length(gradient.as_ref().map(|gradient| gradient.len()), rows * derivatives, "the memory for the gradient")?;
    let mut rest = Part { rows: 0..rows, values: all_values.as_deref_mut(), valid: all_valid.as_deref_mut(), gradient };

    let each = (TASK_ELEMENTS / cost.max(1)).max(1).max(rows.div_ceil(TASKS));
    if rows <= each {
        return Ok(run(rest));
    }
    let mut tasks = Vec::with_capacity(rows.div_ceil(each));
    for start in (0..rows).step_by(each) {
        let n = each.min(rows - start);
        tasks.push(Mutex::new((
            Some(Part {
                rows: start..start + n,
                values: split(&mut rest.values, n * values),
                valid: split(&mut rest.valid, n * values),
                gradient: split(&mut rest.gradient, n * derivatives),
            }),
            LossTotals::default(),
        )));
    }
    host.parallel(tasks.len(), |task| {
        let mut task = tasks[task].lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some(part) = task.0.take() {
            task.1 = run(part);
        }
    });
    Ok(tasks.into_iter().fold(LossTotals::default(), |sum, task| {
        let (_, part) = task.into_inner().unwrap_or_else(|poison| poison.into_inner());
        LossTotals { value: sum.value + part.value, weight: sum.weight + part.weight, count: sum.count + part.count }
    }))
}

/// Splits off the first `n` elements.
fn split<'a, F>(rest: &mut Option<&'a mut [F]>, n: usize) -> Option<&'a mut [F]> {
    let (first, others) = rest.take()?.split_at_mut(n);
    *rest = Some(others);
    Some(first)
}

/// Adds one value to the totals.
#[inline(always)]
pub fn add<F: Float>(totals: &mut LossTotals, value: F, upstream: F) {
    // A value of weight 0 adds nothing, even if it is NaN.
    if upstream != F::ZERO {
        totals.value += upstream.to_f64() * value.to_f64();
        totals.weight += upstream.to_f64();
    }
    totals.count += 1.0;
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use plugfit_api::{Element, Plain, TensorMut};

    /// The outputs of one call.
    #[derive(Debug)]
    pub struct Called {
        pub shape: Vec<i64>,
        pub values: Vec<f32>,
        pub gradient: Vec<f32>,
        pub valid: Vec<f32>,
        pub totals: LossTotals,
    }

    pub fn call<T: Element>(
        loss: &impl Loss,
        (y_true, true_shape): (&[T], &[i64]),
        (y_pred, pred_shape): (&[f32], &[i64]),
    ) -> Result<Called> {
        let tensors = [("y_true", Tensor::new(y_true, true_shape)), ("y_pred", Tensor::new(y_pred, pred_shape))];
        let inputs = Inputs::new(&tensors, None, None);
        let shape = loss.output_shape(&inputs)?;
        let (mut values, mut valid) = (vec![f32::NAN; element_count(&shape)], vec![f32::NAN; element_count(&shape)]);
        let mut gradient = vec![f32::NAN; y_pred.len()];
        let mut gradients = [None, Some(TensorMut::new(&mut gradient, pred_shape))];
        let mut output = LossOutput {
            values: Some(&mut values),
            valid: Some(&mut valid),
            gradients: &mut gradients,
            upstream: None,
            scale: 1.0,
        };
        let totals = loss.call(&inputs, &mut output, &Host::none())?;
        Ok(Called { shape, values, gradient, valid, totals })
    }

    /// Checks that a gradient of three classes equals central differences of the value.
    pub fn check_gradient(loss: &impl RowLoss, y_true: &[f32; 3], y_pred: &[f32; 3]) {
        let mut gradient = [0.0; 3];
        let value = loss.gradient(y_true, y_pred, &mut gradient);
        let t = y_true.map(|t| Plain(f64::from(t)));
        let p = y_pred.map(|p| Plain(f64::from(p)));
        assert!((loss.value(Row::new(&t), Row::new(&p)).0 - f64::from(value)).abs() < 1e-6);
        for i in 0..3 {
            let at = |h: f64| {
                let mut moved = p;
                moved[i].0 += h;
                loss.value(Row::new(&t), Row::new(&moved)).0
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((difference - f64::from(gradient[i])).abs() < 1e-5, "{i}: {difference} {}", gradient[i]);
        }
    }

    #[test]
    fn every_row_runs_once_for_any_number_of_tasks() {
        for rows in [0, 1, 5, 100_000] {
            let layout = Layout { rows, values: 1, derivatives: 2, cost: 2 };
            let (mut values, mut gradient) = (vec![0.0; rows], vec![0.0; rows * 2]);
            let shape = [rows as i64, 2];
            let mut gradients = [None, Some(TensorMut::new(&mut gradient, &shape))];
            let mut output = LossOutput {
                values: Some(&mut values),
                valid: None,
                gradients: &mut gradients,
                upstream: None,
                scale: 1.0,
            };
            let totals = run_parallel(layout, &mut output, &Host::none(), |part| {
                part.values.unwrap().iter_mut().for_each(|value| *value += 1.0);
                part.gradient.unwrap().iter_mut().for_each(|derivative| *derivative += 1.0);
                LossTotals { value: part.rows.map(|row| row as f64).sum(), ..LossTotals::default() }
            });
            assert_eq!(totals.unwrap().value, (rows * rows.saturating_sub(1)) as f64 / 2.0);
            assert!(values.iter().chain(&gradient).all(|&value| value == 1.0));
        }
    }
}
