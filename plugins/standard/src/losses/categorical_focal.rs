//! The focal cross-entropy of one-hot labels or of probabilities, with one value for each row of classes.

use super::{
    EPSILON, UPPER,
    binary::{SMALLEST, focal_factor},
    categorical::Smoothing,
    clamp_derivative,
    kernels::{self, BLOCK, LANES},
    weighted,
};
use plugfit_api::{
    Plain,
    config::{ConfigValue, ValueSpec},
    formula::{Formula, refuse},
    loss::{LossTotals, Targets, rows_shape, rowwise},
    prelude::*,
    serde_json::Value,
};

/// One weight for all classes, or one for each class.
#[derive(Clone, Debug, PartialEq)]
pub enum Alpha {
    /// The same weight for all classes.
    Same(f64),
    /// One weight for each class.
    Each(Vec<f64>),
}

impl ConfigValue for Alpha {
    const SPEC: ValueSpec = ValueSpec { name: "any", optional: false, choices: &[] };
    fn read(value: &Value) -> Result<Self> {
        if value.is_array() { Vec::read(value).map(Alpha::Each) } else { f64::read(value).map(Alpha::Same) }
    }
    fn write(&self) -> Value {
        match self {
            Alpha::Same(alpha) => alpha.write(),
            Alpha::Each(alphas) => alphas.write(),
        }
    }
}

impl Alpha {
    #[inline(always)]
    fn get(&self, class: usize) -> f64 {
        match self {
            Alpha::Same(alpha) => *alpha,
            // `call` has checked the number of classes; as a metric the result is NaN.
            Alpha::Each(alphas) => alphas.get(class).copied().unwrap_or(f64::NAN),
        }
    }

    /// Returns the weights of the classes from `at` on.
    #[inline(always)]
    fn block(&self, at: usize) -> [f32; BLOCK] {
        match self {
            Alpha::Same(alpha) => [*alpha as f32; BLOCK],
            Alpha::Each(_) => std::array::from_fn(|k| self.get(at + k) as f32),
        }
    }
}

/// Categorical focal cross-entropy: down-weights easy examples by `alpha (1 - p)^gamma`. Lin et al. 2017.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CATEGORICAL_FOCAL_CROSSENTROPY)]
pub struct CategoricalFocalCrossentropy {
    /// The weight of every class, or a list with one weight for each class.
    #[config(default = 0.25, range = 0.0..)]
    alpha: Alpha,
    /// The focusing exponent; 0: plain cross-entropy.
    #[config(default = 2.0, range = 0.0..)]
    gamma: f64,
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

/// Statistics of a row of logits: the greatest logit, the sum of `exp(x - most)` over the others, and the logarithm of
/// the sum over all.
#[derive(Clone, Copy)]
struct Logits<R> {
    most: R,
    others: R,
    logarithm: R,
}

/// A class's probability `p` in its row, `1 - p`, and `ln(p)`.
#[derive(Clone, Copy)]
struct Share<R> {
    share: R,
    missing: R,
    logarithm: R,
}

/// The statistics of a row that its terms need: the sum of the probabilities, or those of the logits.
#[derive(Clone, Copy)]
struct Statistics<R> {
    total: R,
    logits: Logits<R>,
}

impl<R: Real> Logits<R> {
    #[inline(always)]
    fn new<T: Copy>(row: &[T], number: impl Fn(T) -> R + Copy) -> Self {
        let (zero, one) = (R::from(0.0), R::from(1.0));
        let most = kernels::greatest!(row, |x| number(x));
        let (mut below, mut equal) = ([zero; LANES], [zero; LANES]);
        let (mut terms, mut ones) = ([zero; BLOCK], [zero; BLOCK]);
        kernels::for_each_block!(row, row, |_at, x, _y, used| {
            let n = x.len();
            let (terms, ones) = (&mut terms[..n], &mut ones[..n]);
            for k in 0..n {
                let x = number(x[k]);
                terms[k] = R::select(x.lt(most), (x - most).exp(), zero);
                ones[k] = R::select(x.lt(most), zero, one);
            }
            kernels::add(&mut below, terms, used);
            kernels::add(&mut equal, ones, used);
        });
        // Leave out the 1 of the greatest logit, which would absorb small terms.
        let others = kernels::total(below) + (kernels::total(equal) - 1.0);
        Logits { most, others, logarithm: others.ln_1p() }
    }

    /// Returns the share of one logit.
    #[inline(always)]
    fn share(&self, x: R) -> Share<R> {
        let one = R::from(1.0);
        let total = self.others + 1.0;
        let less = x - self.most;
        let share = less.exp() / total;
        let missing = R::select(x.lt(self.most), one - share, self.others / total);
        Share { share, missing, logarithm: less - self.logarithm }
    }
}

impl CategoricalFocalCrossentropy {
    /// Returns a class's term of the value and its derivative with respect to the share, both without the weights of
    /// label and class.
    #[inline(always)]
    fn of_share<R: Real>(&self, share: R) -> (R, R) {
        let inside = share.clamp(EPSILON, UPPER);
        let (missing, logarithm) = (R::from(1.0) - inside, inside.ln());
        let (factor, factor_derivative) = focal_factor(missing, self.gamma, SMALLEST);
        let derivative = (factor_derivative * logarithm - factor / inside) * clamp_derivative(share, EPSILON, UPPER);
        (-(factor * logarithm), derivative)
    }

    /// Returns a class's term of the value and its derivative with respect to the logarithm of the share, both without
    /// the weights of label and class.
    #[inline(always)]
    fn of_logit<R: Real>(&self, Share { share, missing, logarithm }: Share<R>) -> (R, R) {
        let (factor, factor_derivative) = focal_factor(missing, self.gamma, SMALLEST);
        (-(factor * logarithm), factor_derivative * weighted(share, logarithm) - factor)
    }

    /// Computes the statistics of a row.
    #[inline(always)]
    fn row<const LOGITS: bool, T: Copy, R: Real>(row: &[T], number: impl Fn(T) -> R + Copy) -> Statistics<R> {
        let zero = R::from(0.0);
        if LOGITS {
            Statistics { total: zero, logits: Logits::new(row, number) }
        } else {
            let total = kernels::sum!(row, |p| number(p));
            Statistics { total, logits: Logits { most: zero, others: zero, logarithm: zero } }
        }
    }

    /// Returns a class's term of the value, its derivative, and its term of the derivative common to all classes.
    ///
    /// With shares `s = p / total`, `d value / d p = (derivative - sum(derivative s)) / total`, with derivatives with
    /// respect to the shares. With logits, `d value / d x = derivative (1 - s) - s (sum(derivative) - derivative)`,
    /// with derivatives with respect to the logarithms of the shares.
    #[inline(always)]
    fn term<const LOGITS: bool, R: Real>(&self, row: &Statistics<R>, weight: R, p: R) -> (R, R, R) {
        if LOGITS {
            let (term, derivative) = self.of_logit(row.logits.share(p));
            let derivative = weight * derivative;
            (weighted(weight, term), derivative, derivative)
        } else {
            let share = p / row.total;
            let (term, derivative) = self.of_share(share);
            let derivative = weight * derivative;
            (weight * term, derivative, derivative * share)
        }
    }

    #[inline(always)]
    fn value_of<const LOGITS: bool, R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let smoothing = Smoothing::new(self.label_smoothing, y_pred.count());
        let (y_true, y_pred) = (y_true.elements(), y_pred.elements());
        let row = Self::row::<LOGITS, R, R>(y_pred, |p| p);
        if let Alpha::Same(alpha) = &self.alpha {
            let sum = kernels::sum!(y_true, y_pred, |t, p| self.term::<LOGITS, R>(&row, smoothing.apply(t), p).0);
            return sum * *alpha;
        }
        refuse("alpha has a weight for each class");
        let mut sum = R::from(0.0);
        for (class, (&t, &p)) in y_true.iter().zip(y_pred).enumerate() {
            sum = sum + self.term::<LOGITS, R>(&row, smoothing.apply(t), p).0 * self.alpha.get(class);
        }
        sum
    }

    /// Returns the derivative for one element, from its own and the common part of [`term`](Self::term).
    #[inline(always)]
    fn whole<const LOGITS: bool, R: Real>(row: &Statistics<R>, common: R, own: R, p: R) -> R {
        if LOGITS {
            let Share { share, missing, .. } = row.logits.share(p);
            own * missing - share * (common - own)
        } else {
            (own - common) / row.total
        }
    }

    /// Returns the value of a row, and the derivative for the element that stands for all in a recorded formula. At ties
    /// of the greatest logit, a derivative that is computed from the value, operation by operation, would be wrong.
    fn value_and_derivative<const LOGITS: bool, R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> (R, R) {
        let Alpha::Same(alpha) = &self.alpha else {
            refuse("alpha has a weight for each class");
            return (R::from(0.0), R::from(0.0));
        };
        let value = self.value_of::<LOGITS, R>(y_true, y_pred);
        let smoothing = Smoothing::new(self.label_smoothing, y_pred.count());
        let row = Self::row::<LOGITS, R, R>(y_pred.elements(), |p| p);
        let parts = |t, p| self.term::<LOGITS, R>(&row, smoothing.apply(t) * *alpha, p);
        let common = kernels::sum!(y_true.elements(), y_pred.elements(), |t, p| parts(t, p).2);
        let (t, p) = (y_true.elements()[0], y_pred.elements()[0]);
        (value, Self::whole::<LOGITS, R>(&row, common, parts(t, p).1, p))
    }

    #[inline(always)]
    fn gradient_of<const LOGITS: bool>(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        let smoothing = Smoothing::new(self.label_smoothing, Plain(y_pred.len() as f32));
        let row = Self::row::<LOGITS, f32, Plain<f32>>(y_pred, Plain);
        let zero = Plain(0.0);
        let (mut value, mut common) = ([zero; LANES], [zero; LANES]);
        let (mut terms, mut shared, mut derivatives) = ([zero; BLOCK], [zero; BLOCK], [zero; BLOCK]);
        kernels::for_each_block!(y_true, y_pred, |at, t, p, used| {
            let n = t.len();
            let (terms, shared, derivatives, p) = (&mut terms[..n], &mut shared[..n], &mut derivatives[..n], &p[..n]);
            let alphas = self.alpha.block(at);
            for k in 0..n {
                let weight = smoothing.apply(Plain(t[k])) * Plain(alphas[k]);
                (terms[k], derivatives[k], shared[k]) = self.term::<LOGITS, _>(&row, weight, Plain(p[k]));
            }
            for (target, derivative) in gradient[at..at + used].iter_mut().zip(&*derivatives) {
                *target = derivative.0;
            }
            kernels::add(&mut value, terms, used);
            kernels::add(&mut common, shared, used);
        });
        let common = kernels::total(common);
        for (derivative, &p) in gradient.iter_mut().zip(y_pred) {
            *derivative = Self::whole::<LOGITS, _>(&row, common, Plain(*derivative), Plain(p)).0;
        }
        kernels::total(value).0
    }
}

impl CategoricalFocalCrossentropy {
    fn gradient_f64_of<const LOGITS: bool>(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        let smoothing = Smoothing::new(self.label_smoothing, Plain(y_pred.len() as f64));
        let row = Self::row::<LOGITS, f64, Plain<f64>>(y_pred, Plain);
        let (mut value, mut common) = (0.0, Plain(0.0));
        for (class, (derivative, (&t, &p))) in gradient.iter_mut().zip(y_true.iter().zip(y_pred)).enumerate() {
            let weight = smoothing.apply(Plain(t)) * self.alpha.get(class);
            let (term, own, shared) = self.term::<LOGITS, _>(&row, weight, Plain(p));
            value += term.0;
            common = common + shared;
            *derivative = own.0;
        }
        for (derivative, &p) in gradient.iter_mut().zip(y_pred) {
            *derivative = Self::whole::<LOGITS, _>(&row, common, Plain(*derivative), Plain(p)).0;
        }
        value
    }
}

#[formula]
impl RowLoss for CategoricalFocalCrossentropy {
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        if self.from_logits {
            self.value_of::<true, R>(y_true, y_pred)
        } else {
            self.value_of::<false, R>(y_true, y_pred)
        }
    }

    fn gradient(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32 {
        if self.from_logits {
            self.gradient_of::<true>(y_true, y_pred, gradient)
        } else {
            self.gradient_of::<false>(y_true, y_pred, gradient)
        }
    }

    fn gradient_f64(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64 {
        if self.from_logits {
            self.gradient_f64_of::<true>(y_true, y_pred, gradient)
        } else {
            self.gradient_f64_of::<false>(y_true, y_pred, gradient)
        }
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_rows_with_derivative(Some(self.axis), |y_true, y_pred| match self.from_logits {
            true => self.value_and_derivative::<true, _>(y_true, y_pred),
            false => self.value_and_derivative::<false, _>(y_true, y_pred),
        })
    }

    fn axis(&self) -> Option<i64> {
        Some(self.axis)
    }

    fn info(&self) -> LossInfo {
        LossInfo { from_logits: self.from_logits, ..LossInfo::targets(Targets::Categorical) }
    }
}

impl Loss for CategoricalFocalCrossentropy {
    fn info(&self) -> LossInfo {
        LossInfo { float64: true, labels: self.labels(), ..RowLoss::info(self).along(Some(self.axis)) }
    }

    fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
        let shape = rows_shape(inputs, Some(self.axis))?;
        if let Alpha::Each(alphas) = &self.alpha {
            let y_pred = inputs.y_pred()?.shape();
            let axis = if self.axis < 0 { self.axis + y_pred.len() as i64 } else { self.axis };
            let classes = usize::try_from(axis).ok().and_then(|axis| y_pred.get(axis));
            if classes.is_some_and(|&classes| classes != alphas.len() as i64) {
                let n = alphas.len();
                return Err(Error::input(format!(
                    "alpha has {n} weights, but y_pred of shape {y_pred:?} has another number of classes"
                )));
            }
        }
        Ok(shape)
    }

    fn formula(&self) -> Result<Formula> {
        RowLoss::formula(self)
    }

    calls! { self, inputs, output, host => {
        Loss::output_shape(self, inputs)?;
        rowwise(self, inputs, output, host)
    } }
}

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::check_gradient, *};

    fn focal(gamma: f64, alpha: Alpha, from_logits: bool, label_smoothing: f64) -> CategoricalFocalCrossentropy {
        CategoricalFocalCrossentropy { alpha, gamma, from_logits, label_smoothing, axis: -1 }
    }

    #[test]
    fn a_class_with_label_0_may_have_a_logit_of_minus_infinity() {
        let focal = focal(0.5, Alpha::Same(1.0), true, 0.0);
        for x in [[0.0f32, 0.0, f32::NEG_INFINITY], [3e38, 3e38, -3e38]] {
            let mut gradient = [f32::NAN; 3];
            let value = focal.gradient(&[1.0, 0.0, 0.0], &x, &mut gradient);
            assert!((value - std::f32::consts::LN_2 * 0.5f32.sqrt()).abs() < 1e-6);
            // (1 - p)^0.5 (0.5 p ln(p) / (1 - p) - 1) (1 - p) with p = 0.5.
            assert!((gradient[0] + 0.476_085_7).abs() < 1e-6, "{gradient:?}");
            assert!(gradient[1] == -gradient[0] && gradient[2] == 0.0, "{gradient:?}");
        }
    }

    #[test]
    fn a_focal_loss_of_logits_is_accurate_at_any_magnitude() {
        // With two classes, the loss equals the binary loss of the difference of the logits.
        for gamma in [0.25, 0.5, 1.0, 1.5, 2.0, 3.0] {
            let focal = focal(gamma, Alpha::Same(1.0), true, 0.0);
            for x in [0.0f32, 0.5, 5.0, 18.0, 40.0, 95.0, 200.0, 1e30] {
                for right in [0, 1] {
                    let mut t = [0.0f32; 2];
                    t[right] = 1.0;
                    let mut gradient = [f32::NAN; 2];
                    let value = focal.gradient(&t, &[x, 0.0], &mut gradient);
                    let (own, other) = if right == 0 { (f64::from(x), 0.0) } else { (0.0, f64::from(x)) };
                    let difference = own - other;
                    let log = |x: f64| x.min(0.0) - (-x.abs()).exp().ln_1p();
                    let factor = (gamma * log(-difference)).exp();
                    let expected = -factor * log(difference);
                    let derivative =
                        factor * (gamma * log(difference).exp() * log(difference) - log(-difference).exp());
                    let near = |found: f32, exact: f64| (f64::from(found) - exact).abs() <= 2e-5 * exact.abs() + 1e-36;
                    assert!(near(value, expected), "{gamma} {x} {right}: {value} {expected}");
                    assert!(near(gradient[right], derivative), "{gamma} {x} {right}: {gradient:?} {derivative}");
                    assert!(near(gradient[1 - right], -derivative), "{gamma} {x} {right}: {gradient:?} {derivative}");
                    let plain = RowLoss::value(&focal, Row::new(&t.map(Plain)), Row::new(&[Plain(x), Plain(0.0)])).0;
                    assert!(near(plain, expected));
                }
            }
        }
    }

    #[test]
    fn gradients_match_central_differences() {
        let (y_true, y_pred) = ([0.0, 1.0, 0.0], [0.7, 0.9, 0.3]);
        let each = Alpha::Each(vec![0.2, 0.3, 0.5]);
        check_gradient(&focal(1.5, Alpha::Same(0.25), true, 0.1), &y_true, &y_pred);
        check_gradient(&focal(1.5, each, false, 0.1), &y_true, &y_pred);
    }
}
