//! Binary cross-entropies, averaged over an axis.

use super::{EPSILON, UPPER, clamp_derivative, weighted};
use plugfit_api::prelude::*;

/// Returns the smoothed label `y (1 - s) + s / 2`.
#[inline(always)]
fn smoothed<R: Real>(y_true: R, smoothing: f64) -> R {
    if smoothing == 0.0 { y_true } else { y_true * (1.0 - smoothing) + 0.5 * smoothing }
}

/// Returns `-t ln(p) - (1 - t) ln(1 - p)` for a clipped probability, and its derivative.
#[inline(always)]
fn probability_entropy<R: Real>(t: R, p: R) -> (R, R) {
    let inside = p.clamp(EPSILON, UPPER);
    let (rest, other) = (R::from(1.0) - inside, R::from(1.0) - t);
    let value = -(t * inside.ln() + other * rest.ln());
    (value, (other / rest - t / inside) * clamp_derivative(p, EPSILON, UPPER))
}

/// Returns the probability `p` of a logit and `1 - p`, both accurate for logits of any magnitude.
#[inline(always)]
fn probabilities<R: Real>(x: R) -> (R, R) {
    let e = (-x.abs()).exp();
    let sure = R::from(1.0) / (e + 1.0);
    let positive = x.gt(R::from(0.0));
    (R::select(positive, sure, e * sure), R::select(positive, e * sure, sure))
}

/// Returns the cross-entropy of a logit `x` and its derivative `sigmoid(x) - t`, both without cancellation. With
/// `e = exp(-|x|)` the value is `ln(1 + e) + (1 - t) x` for positive `x` and `ln(1 + e) - t x` otherwise.
#[inline(always)]
fn logit_entropy<R: Real>(t: R, x: R) -> (R, R) {
    let positive = x.gt(R::from(0.0));
    let e = (-x.abs()).exp();
    let other = R::from(1.0) - t;
    let value = R::select(positive, weighted(other, x), -weighted(t, x)) + e.ln_1p();
    let derivative = R::select(positive, other - t * e, other * e - t) / (e + 1.0);
    (value, derivative)
}

/// Binary cross-entropy: `-y ln(p) - (1 - y) ln(1 - p)`, averaged over an axis. Labels are from 0 to 1.
#[derive(Clone, Debug, Config)]
#[config(aliases("bce", "BCE"))]
#[config(examples = super::examples::BINARY_CROSSENTROPY)]
pub struct BinaryCrossentropy {
    /// Whether `y_pred` contains logits instead of probabilities.
    #[config(default = false)]
    from_logits: bool,
    /// The label smoothing `s`, from 0 to 1: labels become `y (1 - s) + s / 2`.
    #[config(default = 0.0, range = 0.0..=1.0)]
    label_smoothing: f64,
    /// The axis over which values are averaged.
    #[config(default = -1)]
    axis: i64,
}

#[formula]
impl ElementwiseLoss for BinaryCrossentropy {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        self.derivative(y_true, y_pred).0
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let t = smoothed(y_true, self.label_smoothing);
        if self.from_logits { logit_entropy(t, y_pred) } else { probability_entropy(t, y_pred) }
    }
    fn axis(&self) -> i64 {
        self.axis
    }
    fn labels(&self) -> Option<(f64, f64)> {
        Some((0.0, 1.0))
    }
    fn info(&self) -> LossInfo {
        // No targets: as in Keras, "accuracy" means CategoricalAccuracy if there are several columns.
        LossInfo { from_logits: self.from_logits, ..LossInfo::default() }
    }
}

/// Binary focal cross-entropy: down-weights easy examples by `(1 - p of the true class)^gamma`. Lin et al. 2017.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::BINARY_FOCAL_CROSSENTROPY)]
pub struct BinaryFocalCrossentropy {
    /// Whether class 1 has the weight `alpha` and class 0 the weight `1 - alpha`.
    #[config(default = false)]
    apply_class_balancing: bool,
    /// The weight of class 1, if `apply_class_balancing` is true.
    #[config(default = 0.25, range = 0.0..=1.0)]
    alpha: f64,
    /// The focusing exponent; 0: plain cross-entropy.
    #[config(default = 2.0, range = 0.0..)]
    gamma: f64,
    /// Whether `y_pred` contains logits instead of probabilities.
    #[config(default = false)]
    from_logits: bool,
    /// The label smoothing `s`, from 0 to 1: labels become `y (1 - s) + s / 2`.
    #[config(default = 0.0, range = 0.0..=1.0)]
    label_smoothing: f64,
    /// The axis over which values are averaged.
    #[config(default = -1)]
    axis: i64,
}

#[formula]
impl ElementwiseLoss for BinaryFocalCrossentropy {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        self.derivative(y_true, y_pred).0
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        let one = R::from(1.0);
        let t = smoothed(y_true, self.label_smoothing);
        // `missing` is 1 minus the probability of the true class; `missing_derivative` its derivative with respect to
        // the prediction.
        let towards = one - t * 2.0;
        let (entropy, entropy_derivative, missing, missing_derivative, least) = if self.from_logits {
            let (p, rest) = probabilities(y_pred);
            let (entropy, derivative) = logit_entropy(t, y_pred);
            (entropy, derivative, t * rest + (one - t) * p, towards * (p * rest), SMALLEST)
        } else {
            let (entropy, derivative) = probability_entropy(t, y_pred);
            (entropy, derivative, one - (t * y_pred + (one - t) * (one - y_pred)), towards, EPSILON)
        };
        let (factor, factor_derivative) = focal_factor(missing, self.gamma, least);
        let value = factor * entropy;
        let derivative = weighted(factor_derivative * missing_derivative, entropy) + factor * entropy_derivative;
        if self.apply_class_balancing {
            let weight = t * self.alpha + (one - t) * (1.0 - self.alpha);
            return (value * weight, derivative * weight);
        }
        (value, derivative)
    }
    fn axis(&self) -> i64 {
        self.axis
    }
    fn labels(&self) -> Option<(f64, f64)> {
        Some((0.0, 1.0))
    }
    fn info(&self) -> LossInfo {
        // No targets: as in Keras, "accuracy" means CategoricalAccuracy if there are several columns.
        LossInfo { from_logits: self.from_logits, ..LossInfo::default() }
    }
}

/// The smallest normal float32.
pub(super) const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// Returns `missing^gamma` and its derivative, which is always finite. If gamma is less than 1, the power is continued
/// linearly below `least`. If gamma isn't an integer, negative `missing` counts as 0.
#[inline(always)]
pub(super) fn focal_factor<R: Real>(missing: R, gamma: f64, least: f64) -> (R, R) {
    let zero = R::from(0.0);
    if gamma == 0.0 {
        return (R::from(1.0), zero);
    }
    if gamma % 1.0 == 0.0 {
        let less = integer_power(missing, gamma - 1.0);
        return (less * missing, less * gamma);
    }
    let raised = if gamma < 1.0 { missing.max(R::from(least)) } else { missing.max(zero) };
    let less = raised.powf(gamma - 1.0);
    (less * missing.max(zero), R::select(missing.gt(zero), less * gamma, zero))
}

/// Returns `x` to a constant integer power with the correct sign; `x` is negative if a "probability" is beyond 1.
#[inline(always)]
fn integer_power<R: Real>(x: R, exponent: f64) -> R {
    let size = x.abs().powf(exponent);
    let below = if exponent % 2.0 == 0.0 { size } else { -size };
    R::select(x.lt(R::from(0.0)), below, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugfit_api::Plain;

    fn entropy(from_logits: bool) -> BinaryCrossentropy {
        BinaryCrossentropy { from_logits, label_smoothing: 0.0, axis: -1 }
    }

    fn focal(gamma: f64) -> BinaryFocalCrossentropy {
        BinaryFocalCrossentropy {
            apply_class_balancing: false,
            alpha: 0.25,
            gamma,
            from_logits: false,
            label_smoothing: 0.0,
            axis: -1,
        }
    }

    #[test]
    fn a_probability_of_one_half_costs_ln_2() {
        let (value, derivative) = entropy(false).derivative(Plain(1.0f32), Plain(0.5));
        assert!((value.0 - std::f32::consts::LN_2).abs() < 1e-7 && (derivative.0 + 2.0).abs() < 1e-6);
        assert!((focal(2.0).value(Plain(1.0f32), Plain(0.5)).0 - std::f32::consts::LN_2 / 4.0).abs() < 1e-7);
    }

    #[test]
    fn a_logit_costs_the_same_as_its_probability_and_is_accurate() {
        for t in [0.0, 0.3, 1.0] {
            for x in [-3.0f64, -0.5, 0.0, 0.5, 3.0] {
                let p = 1.0 / (1.0 + (-x).exp());
                let by_logit = entropy(true).derivative(Plain(t), Plain(x));
                let by_probability = entropy(false).value(Plain(t), Plain(p));
                assert!((by_logit.0.0 - by_probability.0).abs() < 1e-12);
                assert!((by_logit.1.0 - (p - t)).abs() < 1e-12);
            }
        }
        let (value, derivative) = entropy(true).derivative(Plain(1.0f32), Plain(30.0));
        assert!((value.0 / 9.3576e-14 - 1.0).abs() < 1e-4 && (derivative.0 / -9.3576e-14 - 1.0).abs() < 1e-4);
        assert_eq!(entropy(true).derivative(Plain(0.0f32), Plain(1e6)), (Plain(1e6), Plain(1.0)));
    }

    #[test]
    fn the_derivative_of_a_clipped_probability_is_0() {
        for (t, p) in [(0.0, 1.5), (1.0, -0.5)] {
            let (value, derivative) = entropy(false).derivative(Plain(t), Plain(p));
            let value: f32 = value.0;
            assert!(value > 15.9 && value < 16.2 && derivative.0 == 0.0);
        }
    }

    #[test]
    fn gamma_0_is_plain_cross_entropy() {
        for p in [0.0f32, 0.2, 1.0] {
            let plain = entropy(false).derivative(Plain(1.0), Plain(p));
            assert_eq!(focal(0.0).derivative(Plain(1.0), Plain(p)), plain);
        }
    }

    #[test]
    fn integer_powers_of_negative_numbers_have_the_correct_sign() {
        assert_eq!(integer_power(Plain(-2.0f64), 3.0).0, -8.0);
        assert_eq!(integer_power(Plain(-2.0f64), 2.0).0, 4.0);
        // A probability that is above 1 by rounding has a `missing` of 0.
        assert_eq!(focal(1.5).derivative(Plain(1.0f32), Plain(1.000_000_1)), (Plain(0.0), Plain(0.0)));
    }

    /// Computes the focal loss of a logit in float64 from the logarithms of both probabilities.
    fn exact(gamma: f64, t: f64, x: f64) -> (f64, f64) {
        let log = |x: f64| x.min(0.0) - (-x.abs()).exp().ln_1p();
        let (right, wrong) = if t == 1.0 { (log(x), log(-x)) } else { (log(-x), log(x)) };
        let sign = if t == 1.0 { 1.0 } else { -1.0 };
        let factor = (gamma * wrong).exp();
        let value = -factor * right;
        (value, sign * factor * (gamma * right.exp() * right - wrong.exp()))
    }

    #[test]
    fn a_focal_loss_of_a_logit_is_accurate_at_any_magnitude() {
        for gamma in [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0] {
            for t in [0.0, 1.0] {
                for size in [0.0, 1e-6, 0.5, 3.0, 18.0, 25.0, 60.0, 95.0, 200.0, 1e4, 1e30, 3e38] {
                    for x in [size, -size] {
                        let loss = BinaryFocalCrossentropy { from_logits: true, ..focal(gamma) };
                        let (value, derivative) = loss.derivative(Plain(t as f32), Plain(x as f32));
                        let (exact_value, exact_derivative) = exact(gamma, t, f64::from(x as f32));
                        let near =
                            |found: f32, exact: f64| (f64::from(found) - exact).abs() <= 2e-5 * exact.abs() + 1e-36;
                        assert!(near(value.0, exact_value), "{gamma} {t} {x}: {} {exact_value}", value.0);
                        assert!(
                            near(derivative.0, exact_derivative),
                            "{gamma} {t} {x}: {} {exact_derivative}",
                            derivative.0
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_infinite_logit_costs_0_if_correct_and_has_a_finite_derivative_if_wrong() {
        for gamma in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0] {
            let loss = BinaryFocalCrossentropy { from_logits: true, ..focal(gamma) };
            for (t, x) in [(0.0f32, f32::NEG_INFINITY), (1.0, f32::INFINITY)] {
                for (value, derivative) in
                    [entropy(true).derivative(Plain(t), Plain(x)), loss.derivative(Plain(t), Plain(x))]
                {
                    assert_eq!((value.0, derivative.0), (0.0, 0.0), "{gamma} {t} {x}");
                }
                for (value, derivative) in
                    [entropy(true).derivative(Plain(t), Plain(-x)), loss.derivative(Plain(t), Plain(-x))]
                {
                    assert_eq!((value.0, derivative.0), (f32::INFINITY, 1.0f32.copysign(-x)), "{gamma} {t} {x}");
                }
            }
            for t in [0.0f32, 1.0] {
                assert!(loss.derivative(Plain(t), Plain(f32::NAN)).0.0.is_nan());
                assert!(entropy(true).derivative(Plain(t), Plain(f32::NAN)).0.0.is_nan());
            }
        }
    }

    #[test]
    fn a_focal_loss_is_finite_for_every_gamma_and_probability() {
        for gamma in [0.01, 0.5, 0.99, 1.0, 1.5, 2.0] {
            for p in [0.0f32, 1e-45, 1e-30, 1e-10, 1e-7, 0.5, 1.0 - 1e-7, 1.0, 1.000_000_1, -1e-7] {
                for t in [0.0, 0.3, 1.0] {
                    let (value, derivative) = focal(gamma).derivative(Plain(t), Plain(p));
                    assert!(
                        value.0.is_finite() && derivative.0.is_finite(),
                        "{gamma} {t} {p}: {} {}",
                        value.0,
                        derivative.0
                    );
                    assert!(value.0 >= 0.0 || !(0.0..=1.0).contains(&p), "{gamma} {t} {p}: {}", value.0);
                }
            }
        }
    }
}
