//! Code shared by losses that work on whole tensors: class ids, axes, and the division of rows between threads.

use plugfit_api::{Float, loss::LossTotals, prelude::*};
use std::{ops::Range, sync::Mutex};

/// Elements of a task. With fewer, threads cost more than they save.
pub const TASK: usize = 1 << 15;
/// The maximum number of tasks of one call. It depends on the work only, so that the number of threads doesn't change
/// the result.
const TASKS: usize = 64;

/// Class ids of any dtype.
#[derive(Clone, Copy)]
pub enum Labels<'a> {
    I64(&'a [i64]),
    I32(&'a [i32]),
    U8(&'a [u8]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl<'a> Labels<'a> {
    /// Returns the dtypes that [`new`](Self::new) accepts, for a loss's `info`.
    pub fn dtypes() -> Vec<String> {
        ["int64", "int32", "uint8", "float32", "float64"].map(String::from).into()
    }

    /// Borrows the class ids of `y_true`.
    ///
    /// # Errors
    /// Returns an error if `y_true` has another dtype than [`dtypes`](Self::dtypes).
    pub fn new(y_true: Tensor<'a>) -> Result<Self> {
        if let Some(ids) = y_true.as_slice() {
            Ok(Labels::I64(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::I32(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::U8(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::F32(ids))
        } else if let Some(ids) = y_true.as_slice() {
            Ok(Labels::F64(ids))
        } else {
            Err(Error::input(format!("y_true holds no class ids: {y_true:?}")))
        }
    }

    /// Returns class id `i`. [`check_ids`] has checked it, unless its weight is 0.
    #[inline(always)]
    pub fn get(&self, i: usize) -> i64 {
        match self {
            Labels::I64(ids) => ids[i],
            Labels::I32(ids) => ids[i].into(),
            Labels::U8(ids) => ids[i].into(),
            Labels::F32(ids) => ids[i] as i64,
            Labels::F64(ids) => ids[i] as i64,
        }
    }
}

/// Checks that the class ids of `y_true` are whole numbers below `classes`, unless they equal `ignored` or belong to a
/// value of weight 0. Each of the `values` has `y_true.len() / values` ids.
///
/// # Errors
/// Returns an error with the first invalid id and its row.
pub fn check_ids<F: Float>(
    inputs: &Inputs<'_>,
    classes: usize,
    ignored: Option<i64>,
    upstream: Option<&[F]>,
    values: usize,
) -> Result<()> {
    let ids = inputs.y_true()?;
    let each = ids.len().checked_div(values).unwrap_or(1).max(1);
    let has_weight =
        |i: usize| upstream.and_then(|upstream| upstream.get(i / each)).is_none_or(|&weight| weight != F::ZERO);
    let is_ignored = |i: usize| ignored.is_some_and(|ignored| ids.get_whole(i) == Some(ignored.into()));
    inputs.check_class_ids("y_true", Some(classes), |i| !has_weight(i) || is_ignored(i))
}

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
pub fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

/// A range of rows and the outputs of a task for them.
pub struct Part<'a, F = f32> {
    pub rows: Range<usize>,
    pub values: Option<&'a mut [F]>,
    pub valid: Option<&'a mut [F]>,
    pub gradient: Option<&'a mut [F]>,
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
pub fn share<F: Float>(
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

    let each = (TASK / cost.max(1)).max(1).max(rows.div_ceil(TASKS));
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
        totals.value += upstream.exact() * value.exact();
        totals.weight += upstream.exact();
    }
    totals.count += 1.0;
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use plugfit_api::{Element, TensorMut};

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
        let (mut values, mut valid) = (vec![f32::NAN; count(&shape)], vec![f32::NAN; count(&shape)]);
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
            let totals = share(layout, &mut output, &Host::none(), |part| {
                part.values.unwrap().iter_mut().for_each(|value| *value += 1.0);
                part.gradient.unwrap().iter_mut().for_each(|derivative| *derivative += 1.0);
                LossTotals { value: part.rows.map(|row| row as f64).sum(), ..LossTotals::default() }
            });
            assert_eq!(totals.unwrap().value, (rows * rows.saturating_sub(1)) as f64 / 2.0);
            assert!(values.iter().chain(&gradient).all(|&value| value == 1.0));
        }
    }
}
