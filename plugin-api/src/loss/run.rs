//! Runs the formula of a loss over the rows of a batch: checks the arguments and shares the work between threads.

use crate::{
    kernels::{
        arranged::{output_shape, Arranged},
        float::Float,
    },
    labels::check_range,
    loss::{LossOutput, LossTotals},
    Error, Host, Inputs, Result,
};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Elements per task. For smaller tasks, threads cost more than they save.
const TASK: usize = 1 << 15;
/// The maximum number of tasks of a call. The number of tasks depends only on the size of the batch, so the sums are
/// the same for any number of threads.
const TASKS: usize = 64;

/// Adds a value to the sums. A value of weight 0 is skipped, since 0 times NaN is NaN.
#[inline(always)]
pub(super) fn add<F: Float>(totals: &mut LossTotals, value: F, upstream: F) {
    if upstream != F::ZERO {
        totals.value += (upstream * value).to_f64();
        totals.weight += upstream.to_f64();
    }
}

/// Multiplies the derivatives of a row by `factor`. If it is 0, NaN becomes 0 too.
#[inline(always)]
pub(super) fn scale_row<F: Float>(derivatives: &mut [F], factor: F) {
    if factor == F::ZERO {
        derivatives.fill(F::ZERO);
    } else {
        derivatives.iter_mut().for_each(|derivative| *derivative *= factor);
    }
}

/// A formula that can be evaluated for a range of rows.
pub(super) trait Rows<F>: Sync {
    /// Returns the range of valid labels, if the formula has one.
    fn labels(&self) -> Option<(f64, f64)>;

    /// Writes the values and the gradient of `upstream * scale * value`, if memory for them was passed; returns the
    /// sums.
    fn run(&self, part: Part<'_, '_, F>) -> LossTotals;
}

/// A range of the rows of a batch, and the memory for their values and their gradient.
pub(super) struct Part<'k, 'a, F> {
    pub(super) batch: &'k Batch<'a, F>,
    pub(super) rows: Range<usize>,
    pub(super) values: Option<&'k mut [F]>,
    pub(super) gradient: Option<&'k mut [F]>,
}

/// The arguments of a call that all tasks share.
pub(super) struct Batch<'a, F> {
    pub(super) y_true: &'a [F],
    pub(super) y_pred: &'a [F],
    pub(super) columns: usize,
    pub(super) upstream: Option<&'a [F]>,
    pub(super) scale: F,
}

impl<F: Float> Batch<'_, F> {
    #[inline(always)]
    pub(super) fn upstream(&self, row: usize) -> F {
        match self.upstream {
            Some(upstream) => upstream[row],
            None => F::ONE,
        }
    }

    #[inline(always)]
    pub(super) fn elements(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.columns..rows.end * self.columns
    }
}

/// Returns the shape of the values of a formula whose rows lie along `axis`. If it is `None`, the whole batch is one
/// row.
///
/// # Errors
/// Returns an error if the shapes don't match.
pub fn rows_shape(inputs: &Inputs<'_>, axis: Option<i64>) -> Result<Vec<i64>> {
    output_shape(inputs, axis).map(|shape| shape.lengths().to_vec())
}

pub(super) fn run<F: Float>(
    formula: &impl Rows<F>,
    inputs: &Inputs<'_>,
    axis: Option<i64>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    let arranged = Arranged::new(inputs, axis)?;
    let (rows, columns) = (arranged.rows, arranged.columns);
    let upstream = output.upstream;
    let fits = |length: usize, what: &str| match length == rows {
        true => Ok(()),
        false => Err(Error::input(format!("{what} has {length} elements; the loss has {rows} values"))),
    };
    fits(upstream.map_or(rows, <[F]>::len), "the upstream weight")?;
    fits(output.values.as_ref().map_or(rows, |values| values.len()), "the memory for the values")?;
    if let Some(range) = formula.labels() {
        let absent = |row: usize| upstream.is_some_and(|upstream| upstream[row] == F::ZERO);
        check_range(&arranged, &inputs.y_true()?, range, absent)?;
    }
    if let Some(valid) = output.valid.as_deref_mut() {
        valid.fill(F::ONE);
    }
    let batch = Batch { y_true: &arranged.y_true, y_pred: &arranged.y_pred, columns, upstream, scale: output.scale };
    let mut values = output.values.take();
    let gradient = match output.gradients.get_mut(1) {
        Some(Some(tensor)) => Some(tensor.floats_mut::<F>("the gradient")?),
        _ => None,
    };
    let totals = arranged.with_gradient(gradient, |gradient| {
        if gradient.as_ref().is_some_and(|gradient| gradient.len() != batch.y_pred.len()) {
            return Err(Error::input("the memory for the gradient isn't as large as y_pred"));
        }
        Ok(run_tasks(formula, &batch, rows, values.as_deref_mut(), gradient, host))
    })?;
    output.values = values;
    Ok(totals)
}

/// Splits the rows into tasks, runs them, and adds their sums in order.
fn run_tasks<F: Float>(
    formula: &impl Rows<F>,
    batch: &Batch<'_, F>,
    rows: usize,
    values: Option<&mut [F]>,
    gradient: Option<&mut [F]>,
    host: &Host<'_>,
) -> LossTotals {
    let rows_per_task = (TASK / batch.columns.max(1)).max(1).max(rows.div_ceil(TASKS));
    let tasks = rows.div_ceil(rows_per_task);
    if tasks <= 1 {
        return formula.run(Part { batch, rows: 0..rows, values, gradient });
    }
    let (mut values, mut gradient) = (values, gradient);
    let parts: [_; TASKS] = std::array::from_fn(|task| {
        let rows = rows.min(task * rows_per_task)..rows.min((task + 1) * rows_per_task);
        let elements = rows.len() * batch.columns;
        let (values, gradient) = (split_first(&mut values, rows.len()), split_first(&mut gradient, elements));
        Mutex::new((Some(Part { batch, rows, values, gradient }), LossTotals::default()))
    });
    host.parallel(tasks, |task| {
        let mut part = parts[task].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = part.0.take() {
            part.1 = formula.run(rows);
        }
    });
    parts.into_iter().fold(LossTotals::default(), |sum, part| {
        let (_, totals) = part.into_inner().unwrap_or_else(PoisonError::into_inner);
        LossTotals {
            value: sum.value + totals.value,
            weight: sum.weight + totals.weight,
            count: sum.count + totals.count,
        }
    })
}

/// Takes the first elements of a slice, if there is one.
fn split_first<'s, F>(rest: &mut Option<&'s mut [F]>, count: usize) -> Option<&'s mut [F]> {
    let (first, others) = rest.take()?.split_at_mut(count);
    *rest = Some(others);
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        loss::{elementwise, rowwise, ElementwiseLoss, LossInfo, RowLoss},
        Real, Row, Tensor, TensorMut,
    };

    /// The squared error at level 1.
    #[derive(plugfit_macros::Config)]
    struct Squares;

    #[plugfit_macros::formula]
    impl ElementwiseLoss for Squares {
        fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
            let error = y_pred - y_true;
            error * error
        }
    }

    /// The squared error at level 2, with an explicit gradient.
    #[derive(plugfit_macros::Config)]
    struct RowOfSquares;

    #[plugfit_macros::formula]
    impl RowLoss for RowOfSquares {
        fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
            y_true.zip(y_pred).mean(|t, p| (p - t) * (p - t))
        }
        fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
            let n = y_pred.len() as f32;
            for ((derivative, t), p) in gradient.iter_mut().zip(y_true).zip(y_pred) {
                *derivative = (p - t) * 2.0 / n;
            }
            y_true.iter().zip(y_pred).map(|(t, p)| (p - t) * (p - t)).sum::<f32>() / n
        }
        fn info(&self) -> LossInfo {
            LossInfo::default()
        }
    }

    type Run = fn(&Inputs<'_>, &mut LossOutput<'_>) -> Result<LossTotals>;

    const LEVELS: [Run; 2] = [
        |inputs, output| elementwise(&Squares, inputs, output, &Host::none()),
        |inputs, output| rowwise(&RowOfSquares, inputs, output, &Host::none()),
    ];

    #[test]
    fn a_row_of_weight_0_is_ignored_even_if_it_is_nan() {
        for (level, run) in LEVELS.into_iter().enumerate() {
            for columns in [1, 2, super::super::elementwise::BLOCK + 1] {
                let (rows, shape) = (3, [3, columns as i64]);
                let y_true: Vec<f32> =
                    (0..rows * columns).map(|i| if i / columns == 1 { f32::NAN } else { 1.0 }).collect();
                let y_pred = vec![3.0f32; rows * columns];
                let tensors = [("y_true", Tensor::new(&y_true, &shape)), ("y_pred", Tensor::new(&y_pred, &shape))];
                let mut gradient = vec![f32::NAN; rows * columns];
                let mut gradients = [None, Some(TensorMut::new(&mut gradient, &shape))];
                let mut output = LossOutput {
                    values: None,
                    valid: None,
                    gradients: &mut gradients,
                    upstream: Some(&[1.0, 0.0, 2.0]),
                    scale: 0.5,
                };
                let totals = run(&Inputs::new(&tensors, None, None), &mut output).unwrap();
                assert_eq!((totals.value, totals.weight, totals.count), (12.0, 3.0, 3.0), "{level} {columns}");
                for (i, derivative) in gradient.iter().enumerate() {
                    let expected = [2.0, 0.0, 4.0][i / columns] / columns as f32;
                    assert!(
                        (derivative - expected).abs() <= 1e-6 * expected,
                        "{level} {columns}: {derivative} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn labels_that_need_broadcasting_are_refused() {
        let data = [0.5f32; 16];
        let shapes: [(&[i64], &[i64]); 6] =
            [(&[4], &[4, 4]), (&[4, 1], &[4, 4]), (&[1, 4], &[4, 4]), (&[4, 4], &[4, 1]), (&[1], &[4]), (&[], &[4])];
        for (y_true, y_pred) in shapes {
            let tensor = |shape| Tensor::new(&data[..crate::tensor::elements(shape).unwrap()], shape);
            let tensors = [("y_true", tensor(y_true)), ("y_pred", tensor(y_pred))];
            let inputs = Inputs::new(&tensors, None, None);
            let error = rows_shape(&inputs, Some(-1)).unwrap_err().to_string();
            assert!(error.contains(&format!("{y_true:?}")) && error.contains(&format!("{y_pred:?}")), "{error}");
            for run in LEVELS {
                let mut output =
                    LossOutput { values: None, valid: None, gradients: &mut [], upstream: None, scale: 1.0 };
                assert!(run(&inputs, &mut output).is_err());
            }
        }
        let pair =
            |y_true, y_pred| [("y_true", Tensor::new(&data[..4], y_true)), ("y_pred", Tensor::new(&data[..4], y_pred))];
        assert_eq!(rows_shape(&Inputs::new(&pair(&[4], &[4, 1]), None, None), Some(-1)).unwrap(), [4]);
        assert_eq!(rows_shape(&Inputs::new(&pair(&[4, 1], &[4]), None, None), Some(-1)).unwrap(), [4]);
    }
}
