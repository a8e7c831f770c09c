//! The cross-entropy of one-hot labels or of probabilities, with one value for each row of classes.

use super::{
    EPSILON, UPPER, clamp_derivative,
    kernels::{self, BLOCK, LANES},
};
use plugfit_api::{Plain, formula::Formula, loss::Targets, prelude::*};

/// Label smoothing `y (1 - s) + s / classes`, as a factor and a summand.
#[derive(Clone, Copy)]
pub struct Smoothing<R> {
    factor: R,
    added: R,
}

impl<R: Real> Smoothing<R> {
    #[inline(always)]
    pub fn new(smoothing: f64, classes: R) -> Self {
        let added = if smoothing == 0.0 { R::from(0.0) } else { R::from(smoothing) / classes };
        Smoothing { factor: R::from(1.0 - smoothing), added }
    }

    #[inline(always)]
    pub fn apply(self, y_true: R) -> R {
        y_true * self.factor + self.added
    }
}

/// Returns `weight * term`, or 0 for a weight of 0 and an infinite term. NaN stays NaN.
#[inline(always)]
fn weighted_unless_nan<R: Real>(weight: R, term: R) -> R {
    let zero = R::from(0.0);
    R::select(weight.eq(zero) & term.eq(R::from(f64::INFINITY)), zero, weight * term)
}

/// Categorical cross-entropy: `-sum(y_true ln(y_pred))` over the classes.
/// Probabilities `y_pred` are divided by their sum first.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CATEGORICAL_CROSSENTROPY)]
pub struct CategoricalCrossentropy {
    /// Whether `y_pred` contains logits instead of probabilities.
    #[config(default = false)]
    from_logits: bool,
    /// The label smoothing `s`, from 0 to 1: labels become `y (1 - s) + s / classes`.
    #[config(default = 0.0, range = 0.0..=1.0)]
    label_smoothing: f64,
    /// The axis of the classes.
    #[config(default = -1)]
    axis: i64,
}

impl CategoricalCrossentropy {
    /// Returns the derivative for the element that stands for all in a recorded formula.
    fn derivative<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let smoothing = Smoothing::new(self.label_smoothing, y_pred.count());
        let (t, p) = (smoothing.apply(y_true.elements()[0]), y_pred.elements()[0]);
        if self.from_logits {
            let most = y_pred.max(|x| x).detach();
            let total = y_pred.sum(|x| (x - most).exp());
            let labels = y_true.sum(|t| smoothing.apply(t));
            return (p - most).exp() * (labels / total) - t;
        }
        let total = y_pred.sum(|p| p);
        let of_share = |t: R, p: R| {
            let share = p / total;
            -(t / share.clamp(EPSILON, UPPER) * clamp_derivative(share, EPSILON, UPPER))
        };
        let common = y_true.zip(y_pred).sum(|t, p| of_share(smoothing.apply(t), p) * (p / total));
        (of_share(t, p) - common) / total
    }
}

#[formula]
impl RowLoss for CategoricalCrossentropy {
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let smoothing = Smoothing::new(self.label_smoothing, y_pred.count());
        let (y_true, y_pred) = (y_true.elements(), y_pred.elements());
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| x).detach();
            let logarithm = kernels::sum!(y_pred, |x| (x - most).exp()).ln();
            return kernels::sum!(y_true, y_pred, |t, x| weighted_unless_nan(
                smoothing.apply(t),
                logarithm - (x - most)
            ));
        }
        let total = kernels::sum!(y_pred, |p| p);
        -kernels::sum!(y_true, y_pred, |t, p| smoothing.apply(t) * (p / total).clamp(EPSILON, UPPER).ln())
    }

    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        let smoothing = Smoothing::new(self.label_smoothing, Plain(y_pred.len() as f32));
        if self.from_logits {
            let most = kernels::greatest!(y_pred, |x| Plain(x));
            let total = Plain(kernels::write_exponentials(y_pred, most.0, gradient));
            let logarithm = total.ln();
            let share = (kernels::sum!(y_true, |t| smoothing.apply(Plain(t))) / total).0;
            for (derivative, &t) in gradient.iter_mut().zip(y_true) {
                *derivative = *derivative * share - smoothing.apply(Plain(t)).0;
            }
            return kernels::sum!(y_true, y_pred, |t, x| weighted_unless_nan(
                smoothing.apply(Plain(t)),
                logarithm - (Plain(x) - most)
            ))
            .0;
        }
        let total = kernels::sum!(y_pred, |p| Plain(p));
        let zero = Plain(0.0);
        let (mut value, mut common) = ([zero; LANES], [zero; LANES]);
        let (mut terms, mut shared, mut derivatives) = ([zero; BLOCK], [zero; BLOCK], [zero; BLOCK]);
        kernels::for_each_block!(y_true, y_pred, |at, t, p, used| {
            let n = t.len();
            let (terms, shared, derivatives, p) = (&mut terms[..n], &mut shared[..n], &mut derivatives[..n], &p[..n]);
            for k in 0..n {
                let (t, share) = (smoothing.apply(Plain(t[k])), Plain(p[k]) / total);
                let inside = share.clamp(EPSILON, UPPER);
                terms[k] = -(t * inside.ln());
                // The derivative with respect to the normalised probability; normalisation adds a term common to all
                // classes.
                derivatives[k] = -(t / inside * clamp_derivative(share, EPSILON, UPPER));
                shared[k] = derivatives[k] * share;
            }
            for (target, derivative) in gradient[at..at + used].iter_mut().zip(&*derivatives) {
                *target = derivative.0;
            }
            kernels::add(&mut value, terms, used);
            kernels::add(&mut common, shared, used);
        });
        let (common, scale) = (kernels::total(common).0, 1.0 / total.0);
        gradient.iter_mut().for_each(|derivative| *derivative = (*derivative - common) * scale);
        kernels::total(value).0
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_rows_with_derivative(Some(self.axis), |y_true, y_pred| {
            (self.value(y_true, y_pred), self.derivative(y_true, y_pred))
        })
    }

    fn axis(&self) -> Option<i64> {
        Some(self.axis)
    }

    fn info(&self) -> LossInfo {
        LossInfo { from_logits: self.from_logits, ..LossInfo::targets(Targets::Categorical) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::check_gradient, *};

    fn entropy(from_logits: bool, label_smoothing: f64) -> CategoricalCrossentropy {
        CategoricalCrossentropy { from_logits, label_smoothing, axis: -1 }
    }

    #[test]
    fn only_the_true_class_counts_for_a_one_hot_label() {
        let mut gradient = [0.0; 3];
        let value = entropy(false, 0.0).gradient(&[0.0, 1.0, 0.0], &[0.25, 0.5, 0.25], &mut gradient);
        assert!((value - std::f32::consts::LN_2).abs() < 1e-7);
        assert_eq!(gradient, [1.0, -1.0, 1.0]);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let mut gradient = [0.0; 3];
        let value = entropy(true, 0.0).gradient(&[0.0, 1.0, 0.0], &[1e4, 0.0, -1e4], &mut gradient);
        assert_eq!((value, gradient), (1e4, [1.0, -1.0, 0.0]));
    }

    #[test]
    fn a_class_with_label_0_may_have_a_logit_of_minus_infinity() {
        for x in [[0.0f32, 0.0, f32::NEG_INFINITY], [3e38, 3e38, -3e38]] {
            let mut gradient = [f32::NAN; 3];
            let value = entropy(true, 0.0).gradient(&[1.0, 0.0, 0.0], &x, &mut gradient);
            assert!((value - std::f32::consts::LN_2).abs() < 1e-6);
            assert_eq!(gradient, [-0.5, 0.5, 0.0]);
        }
    }

    #[test]
    fn smoothing_moves_labels_towards_the_uniform_distribution() {
        let mut gradient = [0.0; 4];
        entropy(true, 0.4).gradient(&[1.0, 0.0, 0.0, 0.0], &[0.0; 4], &mut gradient);
        for (derivative, expected) in gradient.iter().zip([0.25 - 0.7, 0.15, 0.15, 0.15]) {
            assert!((derivative - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn gradients_match_central_differences() {
        for from_logits in [false, true] {
            check_gradient(&entropy(from_logits, 0.2), &[0.0, 1.0, 0.0], &[0.7, 0.9, 0.3]);
        }
    }
}
