//! The loop around the formula of an [`ElementwiseLoss`]. It computes values, gradients and sums in one pass.

use super::{
    run::{add, run, scale_row, Part, Rows},
    ElementwiseLoss, LossOutput, LossTotals,
};
use crate::{
    kernels::{
        float::{sum, Float},
        simd::Kernel,
    },
    Host, Inputs, Result,
};

/// Elements per block. Their values are stored on the stack until they are summed by row.
pub(super) const BLOCK: usize = 512;

/// Evaluates an element formula for a batch; the value of a row is the mean over its elements. A level-3 loss may use
/// it.
///
/// # Errors
/// Returns an error if the shapes don't match, or the inputs aren't of the output's dtype.
pub fn elementwise<T: ElementwiseLoss, F: Float>(
    formula: &T,
    inputs: &Inputs<'_>,
    output: &mut LossOutput<'_, F>,
    host: &Host<'_>,
) -> Result<LossTotals> {
    run(&ByElement(formula), inputs, Some(formula.axis()), output, host)
}

/// The rows of an [`ElementwiseLoss`].
struct ByElement<'a, T>(&'a T);

impl<T: ElementwiseLoss, F: Float> Rows<F> for ByElement<'_, T> {
    fn labels(&self) -> Option<(f64, f64)> {
        self.0.labels()
    }

    fn run(&self, part: Part<'_, '_, F>) -> LossTotals {
        F::run(Elements { formula: self.0, part })
    }
}

/// The loop of an [`ElementwiseLoss`] over a range of rows.
struct Elements<'k, 'a, T, F> {
    formula: &'k T,
    part: Part<'k, 'a, F>,
}

impl<T: ElementwiseLoss, F: Float> Elements<'_, '_, T, F> {
    /// Computes the values, and the derivatives if requested, of elements that fit in a block.
    #[inline(always)]
    fn block(&self, y_true: &[F], y_pred: &[F], values: &mut [F], derivatives: Option<&mut [F]>) {
        let n = values.len();
        let (y_true, y_pred) = (&F::numbers(y_true)[..n], &F::numbers(y_pred)[..n]);
        match derivatives {
            Some(derivatives) => {
                let derivatives = &mut derivatives[..n];
                for i in 0..n {
                    let (value, derivative) = self.formula.derivative(y_true[i], y_pred[i]);
                    values[i] = F::of(value);
                    derivatives[i] = F::of(derivative);
                }
            }
            None => {
                for i in 0..n {
                    values[i] = F::of(self.formula.value(y_true[i], y_pred[i]));
                }
            }
        }
    }
}

impl<T: ElementwiseLoss, F: Float> Kernel for Elements<'_, '_, T, F> {
    type Output = LossTotals;

    #[inline(always)]
    fn run(mut self) -> LossTotals {
        let (batch, all, columns) = (self.part.batch, self.part.rows.clone(), self.part.batch.columns);
        let range = batch.elements(&all);
        let (y_true, y_pred) = (&batch.y_true[range.clone()], &batch.y_pred[range]);
        let (mut values, mut gradient) = (self.part.values.take(), self.part.gradient.take());
        let mut totals = LossTotals { count: all.len() as f64, ..LossTotals::default() };
        let mut block = [F::ZERO; BLOCK];
        let per_block = (BLOCK / columns.max(1)).max(1);
        let mut row = 0;
        while row < all.len() {
            let rows = per_block.min(all.len() - row);
            let elements = row * columns..(row + rows) * columns;
            let mut derivatives = gradient.as_deref_mut().map(|gradient| &mut gradient[elements.clone()]);
            if columns <= BLOCK {
                let block = &mut block[..elements.len()];
                self.block(&y_true[elements.clone()], &y_pred[elements], block, derivatives.as_deref_mut());
                for i in 0..rows {
                    let mean = F::from_f64(sum(&block[i * columns..(i + 1) * columns]) / columns as f64);
                    add(&mut totals, mean, batch.upstream(all.start + row + i));
                    if let Some(values) = values.as_deref_mut() {
                        values[row + i] = mean;
                    }
                }
            } else {
                // The row is longer than a block.
                let mut total = 0.0;
                for start in (0..columns).step_by(BLOCK) {
                    let n = BLOCK.min(columns - start);
                    let part = elements.start + start..elements.start + start + n;
                    let derivatives = derivatives.as_deref_mut().map(|derivatives| &mut derivatives[start..start + n]);
                    self.block(&y_true[part.clone()], &y_pred[part], &mut block[..n], derivatives);
                    total += sum(&block[..n]);
                }
                let mean = F::from_f64(total / columns as f64);
                add(&mut totals, mean, batch.upstream(all.start + row));
                if let Some(values) = values.as_deref_mut() {
                    values[row] = mean;
                }
            }
            if let Some(derivatives) = derivatives {
                let scale = batch.scale / F::from_f64(columns as f64);
                if batch.upstream.is_none() {
                    scale_row(derivatives, scale);
                } else if columns == 1 {
                    let start = all.start + row;
                    for (i, derivative) in derivatives.iter_mut().enumerate() {
                        let factor = batch.upstream(start + i) * scale;
                        *derivative = if factor == F::ZERO { F::ZERO } else { *derivative * factor };
                    }
                } else {
                    for (i, derivatives) in derivatives.chunks_exact_mut(columns.max(1)).enumerate() {
                        scale_row(derivatives, batch.upstream(all.start + row + i) * scale);
                    }
                }
            }
            row += rows;
        }
        totals
    }
}
