//! Regression losses, averaged over the last axis.

use super::{EPSILON, positive_derivative};
use plugfit_api::{loss::Targets, prelude::*};
use std::f64::consts::LN_2;

/// Mean squared error: the mean of `(y_true - y_pred)²`. Gauss 1809.
#[derive(Clone, Debug, Config)]
#[config(aliases("mse", "MSE"))]
#[config(examples = super::examples::MEAN_SQUARED_ERROR)]
pub struct MeanSquaredError;

#[formula]
impl ElementwiseLoss for MeanSquaredError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let error = y_pred - y_true;
        error * error
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let error = y_pred - y_true;
        (error * error, error + error)
    }
    targets!(Regression);
}

/// Mean absolute error: the mean of `|y_true - y_pred|`, less sensitive to outliers than the squared error.
/// Laplace 1774.
#[derive(Clone, Debug, Config)]
#[config(aliases("mae", "MAE"))]
#[config(examples = super::examples::MEAN_ABSOLUTE_ERROR)]
pub struct MeanAbsoluteError;

#[formula]
impl ElementwiseLoss for MeanAbsoluteError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        (y_true - y_pred).abs()
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let error = y_true - y_pred;
        (error.abs(), falling(error))
    }
    targets!(Regression);
}

/// Returns the derivative of `|y_true - y_pred|` with respect to `y_pred`. At 0 every number from -1 to 1 is a
/// subgradient; Keras (on JAX) returns -1.
#[inline(always)]
fn falling<R: Real>(error: R) -> R {
    R::select(error.lt(R::from(0.0)), R::from(1.0), R::from(-1.0))
}

/// Mean absolute percentage error: 100 times the mean of `|y_true - y_pred| / max(|y_true|, 1e-7)`.
#[derive(Clone, Debug, Config)]
#[config(aliases("mape", "MAPE"))]
#[config(examples = super::examples::MEAN_ABSOLUTE_PERCENTAGE_ERROR)]
pub struct MeanAbsolutePercentageError;

#[formula]
impl ElementwiseLoss for MeanAbsolutePercentageError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        (y_true - y_pred).abs() / y_true.abs().max(R::from(EPSILON)) * 100.0
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let error = y_true - y_pred;
        let factor = R::from(100.0) / y_true.abs().max(R::from(EPSILON));
        (error.abs() * factor, falling(error) * factor)
    }
    targets!(Regression);
}

/// Mean squared logarithmic error: the mean of `(ln(y_true + 1) - ln(y_pred + 1))²`; inputs below 1e-7 count as 1e-7.
#[derive(Clone, Debug, Config)]
#[config(aliases("msle", "MSLE"))]
#[config(examples = super::examples::MEAN_SQUARED_LOGARITHMIC_ERROR)]
pub struct MeanSquaredLogarithmicError;

#[formula]
impl ElementwiseLoss for MeanSquaredLogarithmicError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let least = R::from(EPSILON);
        let error = y_pred.max(least).ln_1p() - y_true.max(least).ln_1p();
        error * error
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let least = R::from(EPSILON);
        let raised = y_pred.max(least);
        let error = raised.ln_1p() - y_true.max(least).ln_1p();
        (error * error, error * positive_derivative(y_pred - least) * 2.0 / (raised + 1.0))
    }
    targets!(Regression);
}

/// Huber loss: half the squared error up to `delta`, linear beyond, so that outliers don't dominate. Huber 1964.
#[derive(Clone, Debug, Config)]
#[config(aliases("huber", "huber_loss"), base(name = "huber_loss"))]
#[config(examples = super::examples::HUBER)]
pub struct Huber {
    /// The absolute error at which the loss turns from quadratic to linear, in units of y.
    #[config(default = 1.0, above = 0.0, infinite)]
    delta: f64,
}

#[formula]
impl ElementwiseLoss for Huber {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        let error = y_pred - y_true;
        let delta = R::from(self.delta);
        let size = error.abs();
        R::select(size.le(delta), error * (error * 0.5), delta * (size - delta * 0.5))
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        (self.value(y_true, y_pred), (y_pred - y_true).clamp(-self.delta, self.delta))
    }
    targets!(Regression);
}

/// Log-cosh: the mean of `ln(cosh(y_pred - y_true))`, about `error² / 2` near 0 and `|error| - ln 2` far away.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::LOG_COSH)]
pub struct LogCosh;

#[formula]
impl ElementwiseLoss for LogCosh {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        log_cosh(y_pred - y_true).0
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        log_cosh(y_pred - y_true)
    }
    targets!(Regression);
}

/// Returns `ln(cosh(x))` and its derivative `tanh(x)`, both accurate near 0, where `|x| + ln(1 + exp(-2|x|)) - ln 2`
/// would cancel. Near 0 it uses `cosh(x) - 1 = (e - 1)² / 2e` with `e = exp(-|x|)`.
#[inline(always)]
fn log_cosh<R: Real>(x: R) -> (R, R) {
    let size = x.abs();
    let less = (-size).exp_m1();
    let e = less + 1.0;
    let near = size.lt(R::from(1.0));
    let squared = e * e;
    let logarithm = R::select(near, less * less / (e + e), squared).ln_1p();
    let value = R::select(near, logarithm, size - LN_2 + logarithm);
    let tanh = -(less * (less + 2.0)) / (squared + 1.0);
    (value, R::select(x.lt(R::from(0.0)), -tanh, tanh))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Plain;

    fn at(loss: &impl ElementwiseLoss, y_true: f32, y_pred: f32) -> (f32, f32) {
        let (value, derivative) = loss.derivative(Plain(y_true), Plain(y_pred));
        assert_eq!(value.0.to_bits(), loss.value(Plain(y_true), Plain(y_pred)).0.to_bits());
        (value.0, derivative.0)
    }

    #[test]
    fn huber_is_quadratic_within_delta_and_linear_beyond() {
        let huber = Huber { delta: 2.0 };
        assert_eq!(at(&huber, 0.0, 1.0), (0.5, 1.0));
        assert_eq!(at(&huber, 0.0, -2.0), (2.0, -2.0));
        assert_eq!(at(&huber, 0.0, 5.0), (8.0, 2.0));
        assert_eq!(at(&huber, 0.0, 1e30), (2e30, 2.0));
        // No intermediate square overflows a float32.
        let wide = Huber { delta: 1e20 };
        assert!((at(&wide, 0.0, -2e19).0 / 2e38 - 1.0).abs() < 1e-6);
        let narrow = Huber { delta: 1e18 };
        assert!((at(&narrow, 0.0, 1e20).0 / 9.95e37 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn log_cosh_is_accurate_near_zero_and_finite_far_away() {
        let (value, derivative) = at(&LogCosh, 0.0, 1e-3);
        assert!((value / 5e-7 - 1.0).abs() < 1e-5 && (derivative / 1e-3 - 1.0).abs() < 1e-5);
        assert_eq!(at(&LogCosh, 0.0, 0.0), (0.0, 0.0));
        assert_eq!(at(&LogCosh, 0.0, -1e6), (1e6 - std::f32::consts::LN_2, -1.0));
        for x in [0.1f32, 0.9999, 1.0, 3.0, 20.0] {
            let exact = f64::from(x).cosh().ln();
            assert!((f64::from(at(&LogCosh, 0.0, x).0) - exact).abs() <= 3e-7 * (exact + 0.1), "{x}");
        }
        assert!(at(&LogCosh, 0.0, f32::NAN).0.is_nan());
        assert_eq!(at(&LogCosh, 0.0, f32::NEG_INFINITY), (f32::INFINITY, -1.0));
    }

    #[test]
    fn a_label_of_zero_is_replaced_by_epsilon_in_the_divisor() {
        let (value, derivative) = at(&MeanAbsolutePercentageError, 0.0, 1.0);
        assert!((value / 1e9 - 1.0).abs() < 1e-6 && (derivative / 1e9 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_derivative_of_the_logarithmic_error_is_0_below_epsilon() {
        assert_eq!(at(&MeanSquaredLogarithmicError, 1.0, -3.0).1, 0.0);
        let derivative = at(&MeanSquaredLogarithmicError, 0.0, 1.0).1;
        assert!((derivative - std::f32::consts::LN_2).abs() < 1e-6);
    }
}
