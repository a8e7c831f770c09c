//! Hinge losses: 0 once a prediction is correct by a margin.

use super::{kernels, positive_derivative};
use plugfit_api::{
    Float,
    formula::Formula,
    loss::{LossTotals, Targets, elementwise, rows_shape},
    prelude::*,
};

/// Hinge: the mean of `max(1 - y_true y_pred, 0)` for labels -1 and 1.
/// If all labels of a batch are 0 or 1, 0 means -1. Vapnik 1995.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::HINGE)]
pub struct Hinge {
    /// Whether the labels are 0 and 1.
    #[config(skip)]
    zero_one: bool,
}

/// Squared hinge: the mean of `max(1 - y_true y_pred, 0)²` for labels -1 and 1.
/// If all labels of a batch are 0 or 1, 0 means -1.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::SQUARED_HINGE)]
pub struct SquaredHinge {
    /// Whether the labels are 0 and 1.
    #[config(skip)]
    zero_one: bool,
}

#[inline(always)]
fn label<R: Real>(y_true: R, zero_one: bool) -> R {
    if zero_one { y_true * 2.0 - 1.0 } else { y_true }
}

/// Returns the distance to the margin, `1 - label y_pred`.
#[inline(always)]
fn missing<R: Real>(label: R, y_pred: R) -> R {
    R::from(1.0) - label * y_pred
}

#[formula]
impl ElementwiseLoss for Hinge {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        missing(label(y_true, self.zero_one), y_pred).max(R::from(0.0))
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let label = label(y_true, self.zero_one);
        let missing = missing(label, y_pred);
        (missing.max(R::from(0.0)), -label * positive_derivative(missing))
    }
}

#[formula]
impl ElementwiseLoss for SquaredHinge {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let missing = missing(label(y_true, self.zero_one), y_pred).max(R::from(0.0));
        missing * missing
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let label = label(y_true, self.zero_one);
        let missing = missing(label, y_pred).max(R::from(0.0));
        (missing * missing, -label * missing * 2.0)
    }
}

/// Returns whether all labels of non-zero weight are 0 or 1. This needs the whole batch, because 1 is a label of both
/// conventions.
fn zero_one<F: Float>(inputs: &Inputs<'_>, upstream: Option<&[F]>) -> Result<bool> {
    let labels = inputs.y_true()?.floats::<F>("y_true")?;
    if let Some(upstream) = upstream {
        let each = labels.len().checked_div(upstream.len()).unwrap_or(0).max(1);
        let is_one = |label: &F| *label == F::ZERO || *label == F::ONE;
        return Ok(labels.chunks(each).zip(upstream).all(|(row, &weight)| weight == F::ZERO || row.iter().all(is_one)));
    }
    // In chunks: no branch for each element, and an early exit after the first -1.
    let all = |piece: &[F]| piece.iter().fold(true, |all, &label| all & ((label == F::ZERO) | (label == F::ONE)));
    Ok(labels.chunks(256).all(all))
}

macro_rules! whole_batch_losses {
    ($($name:ident),*) => {$(
        impl Loss for $name {
            fn info(&self) -> LossInfo {
                LossInfo { rows_independent: false, float64: true, ..LossInfo::default() }
            }
            fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
                rows_shape(inputs, Some(-1))
            }
            fn formula(&self) -> Result<Formula> {
                let loss = $name { zero_one: false };
                Formula::of_elements(-1, |t, p| {
                    let zero_one = (t.eq(Real::from(0.0)) | t.eq(Real::from(1.0))).everywhere();
                    loss.derivative(Real::select(zero_one, t * 2.0 - 1.0, t), p)
                })
            }

            calls! { self, inputs, output, host => {
                let loss = $name { zero_one: zero_one(inputs, output.upstream)? };
                elementwise(&loss, inputs, output, host)
            } }
        }
    )*};
}
whole_batch_losses! { Hinge, SquaredHinge }

/// Categorical hinge: `max(neg - pos + 1, 0)`, with the score `pos` of the true class and the best other `neg`.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CATEGORICAL_HINGE)]
pub struct CategoricalHinge;

#[formula]
impl RowLoss for CategoricalHinge {
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let (y_true, y_pred) = (y_true.elements(), y_pred.elements());
        let right = kernels::sum!(y_true, y_pred, |t, p| t * p);
        let wrong = kernels::greatest!(y_true, y_pred, |t, p| (R::from(1.0) - t) * p);
        (wrong - right + 1.0).max(R::from(0.0))
    }
    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        let (y_true, y_pred) = (f32::numbers(y_true), f32::numbers(y_pred));
        categorical_gradient(y_true, y_pred, |i, derivative| gradient[i] = derivative.0).0
    }
    fn gradient_f64(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        let (y_true, y_pred) = (f64::numbers(y_true), f64::numbers(y_pred));
        categorical_gradient(y_true, y_pred, |i, derivative| gradient[i] = derivative.0).0
    }
    targets!(Categorical);
}

/// Returns the value of a row, and passes the derivative of each element to `write`. Tied classes share it.
#[inline(always)]
fn categorical_gradient<R: Real>(y_true: &[R], y_pred: &[R], mut write: impl FnMut(usize, R)) -> R {
    let (zero, one) = (R::from(0.0), R::from(1.0));
    let right = kernels::sum!(y_true, y_pred, |t, p| t * p);
    let wrong = kernels::greatest!(y_true, y_pred, |t, p| (one - t) * p);
    let missing = wrong - right + 1.0;
    let derivative = positive_derivative(missing);
    let ties = kernels::sum!(y_true, y_pred, |t, p| R::select(((one - t) * p).eq(wrong), one, zero));
    let share = derivative / ties;
    for (i, (&t, &p)) in y_true.iter().zip(y_pred).enumerate() {
        let of_wrong = R::select(((one - t) * p).eq(wrong), (one - t) * share, zero);
        write(i, of_wrong - derivative * t);
    }
    missing.max(zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Tensor;

    fn values(loss: &impl Loss, y_true: &[f32], y_pred: &[f32]) -> Vec<f32> {
        let shape = [y_true.len() as i64, 1];
        let tensors = [("y_true", Tensor::new(y_true, &shape)), ("y_pred", Tensor::new(y_pred, &shape))];
        let mut values = vec![0.0; y_true.len()];
        let mut output =
            LossOutput { values: Some(&mut values), valid: None, gradients: &mut [], upstream: None, scale: 1.0 };
        loss.call(&Inputs::new(&tensors, None, None), &mut output, &Host::none()).unwrap();
        values
    }

    #[test]
    fn labels_0_and_1_become_signs_only_if_there_are_no_others() {
        let hinge = Hinge { zero_one: false };
        assert_eq!(values(&hinge, &[0.0, 1.0, 1.0], &[0.5, 0.5, 2.0]), [1.5, 0.5, 0.0]);
        assert_eq!(values(&hinge, &[0.0, 1.0, -1.0], &[0.5, 0.5, 2.0]), [1.0, 0.5, 3.0]);
        assert_eq!(values(&SquaredHinge { zero_one: false }, &[0.0, 0.0], &[0.5, -2.0]), [2.25, 0.0]);
    }

    #[test]
    fn tied_classes_share_the_derivative() {
        let mut gradient = [0.0; 3];
        let value = CategoricalHinge.gradient(&[1.0, 0.0, 0.0], &[1.0, 1.0, 1.0], &mut gradient);
        assert_eq!((value, gradient), (1.0, [-1.0, 0.5, 0.5]));
        let value = CategoricalHinge.gradient(&[0.0, 0.0, 1.0], &[0.0, 1.0, 5.0], &mut gradient);
        assert_eq!((value, gradient), (0.0, [0.0; 3]));
    }
}
