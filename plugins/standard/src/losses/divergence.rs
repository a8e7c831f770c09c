//! Kullback-Leibler divergence and Poisson loss.

use super::{EPSILON, clamp_derivative, kernels};
use plugfit_api::{Plain, loss::Targets, prelude::*};

/// Kullback-Leibler divergence: the sum of `y_true ln(y_true / y_pred)`, both clipped to [1e-7, 1].
/// Kullback & Leibler 1951.
#[derive(Clone, Debug, Config)]
#[config(aliases("kld", "KLD"))]
#[config(examples = super::examples::KL_DIVERGENCE)]
pub struct KLDivergence;

#[inline(always)]
fn divergence<R: Real>(y_true: R, y_pred: R) -> R {
    let y_true = y_true.clamp(EPSILON, 1.0);
    y_true * (y_true / y_pred.clamp(EPSILON, 1.0)).ln()
}

#[formula]
impl RowLoss for KLDivergence {
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        kernels::sum!(y_true.elements(), y_pred.elements(), |t, p| divergence(t, p))
    }
    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        for ((derivative, &t), &p) in gradient.iter_mut().zip(y_true).zip(y_pred) {
            let (t, p) = (Plain(t), Plain(p));
            *derivative = (-t.clamp(EPSILON, 1.0) / p.clamp(EPSILON, 1.0) * clamp_derivative(p, EPSILON, 1.0)).0;
        }
        kernels::sum!(y_true, y_pred, |t, p| divergence(Plain(t), Plain(p))).0
    }
    targets!(Categorical);
}

/// Poisson: the mean of `y_pred - y_true ln(y_pred + 1e-7)`, the negative log-likelihood of counts up to a constant.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::POISSON)]
pub struct Poisson;

#[formula]
impl ElementwiseLoss for Poisson {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        y_pred - y_true * (y_pred + EPSILON).ln()
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        (self.value(y_true, y_pred), R::from(1.0) - y_true / (y_pred + EPSILON))
    }
    targets!(Regression);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_distributions_have_divergence_0() {
        let p = [0.25f32, 0.5, 0.25];
        let mut gradient = [0.0; 3];
        assert_eq!(KLDivergence.gradient(&p, &p, &mut gradient), 0.0);
        assert_eq!(gradient, [-1.0; 3]);
    }

    #[test]
    fn the_derivative_is_halved_at_probability_1_and_0_beyond_the_clip() {
        let mut gradient = [0.0; 3];
        let value = KLDivergence.gradient(&[1.0, 0.5, 0.0], &[1.0, -1.0, 1.5], &mut gradient);
        assert!((f64::from(value) - 0.5 * (0.5f64 / 1e-7).ln() - 1e-7 * 1e-7f64.ln()).abs() < 1e-5);
        assert_eq!(gradient, [-0.5, 0.0, 0.0]);
    }

    #[test]
    fn poisson_is_minimal_if_the_rate_equals_the_count() {
        let (value, derivative) = Poisson.derivative(Plain(2.0f64), Plain(2.0));
        assert!(derivative.0.abs() < 1e-7 && (value.0 - (2.0 - 2.0 * 2f64.ln())).abs() < 1e-6);
        assert!(Poisson.value(Plain(1.0f32), Plain(-1.0)).0.is_nan());
    }
}
