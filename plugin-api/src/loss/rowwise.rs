//! The loop around the formula of a [`RowLoss`]. It computes values, gradients and sums in one pass.

use super::{
    run::{add, run, scale_row, Part, Rows},
    LossOutput, LossTotals, RowLoss,
};
use crate::{
    kernels::{
        float::{Float, RowGradient},
        simd::Kernel,
    },
    Host, Inputs, Result, Row,
};

/// Evaluates a row formula for a batch. A level-3 loss may use it.
///
/// # Errors
/// Returns an error if the shapes don't match, or the inputs aren't of the output's dtype.
pub fn rowwise<T: RowLoss, F: Float>(
    formula: &T,
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    run(&ByRow(formula), inputs, formula.axis(), output, host)
}

/// The rows of a [`RowLoss`].
struct ByRow<'a, T>(&'a T);

impl<T: RowLoss, F: Float> Rows<F> for ByRow<'_, T> {
    fn labels(&self) -> Option<(f64, f64)> {
        self.0.labels()
    }

    fn run(&self, part: Part<'_, '_, F>) -> LossTotals {
        F::run(WholeRows { formula: self.0, part })
    }
}

impl<T: RowLoss> RowGradient for ByRow<'_, T> {
    #[inline(always)]
    fn single(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        self.0.gradient(y_true, y_pred, gradient)
    }
    #[inline(always)]
    fn double(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        self.0.gradient_f64(y_true, y_pred, gradient)
    }
}

/// The loop of a [`RowLoss`] over a range of rows.
struct WholeRows<'k, 'a, T, F> {
    formula: &'k T,
    part: Part<'k, 'a, F>,
}

impl<T: RowLoss, F: Float> Kernel for WholeRows<'_, '_, T, F> {
    type Output = LossTotals;

    #[inline(always)]
    fn run(self) -> LossTotals {
        let Part { batch, rows, mut values, mut gradient } = self.part;
        let (columns, start) = (batch.columns, rows.start);
        let mut totals = LossTotals { count: rows.len() as f64, ..LossTotals::default() };
        for row in rows {
            let elements = row * columns..(row + 1) * columns;
            let (y_true, y_pred) = (&batch.y_true[elements.clone()], &batch.y_pred[elements]);
            let upstream = batch.upstream(row);
            let value = match gradient.as_deref_mut() {
                Some(gradient) => {
                    let gradient = &mut gradient[(row - start) * columns..(row - start + 1) * columns];
                    let value = F::row_gradient(&ByRow(self.formula), y_true, y_pred, gradient);
                    scale_row(gradient, upstream * batch.scale);
                    value
                }
                None => F::of(self.formula.value(Row::new(F::numbers(y_true)), Row::new(F::numbers(y_pred)))),
            };
            add(&mut totals, value, upstream);
            if let Some(values) = values.as_deref_mut() {
                values[row - start] = value;
            }
        }
        totals
    }
}
