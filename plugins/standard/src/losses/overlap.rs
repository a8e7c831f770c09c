//! Dice and Tversky losses of soft or hard segmentation masks, with one value for each group of summed elements.

use super::{
    EPSILON,
    overlap_sums::{Axes, OverlapLoss, Sums, call, output_shape},
};
use plugfit_api::{formula::Formula, loss::LossTotals, prelude::*};

/// Dice loss: `1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred))`, 0 for a perfect match. Milletari et al. 2016.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::DICE)]
pub struct Dice {
    /// The axes that are summed, one or a list; null: all axes, which yields one value for the batch.
    #[config(default = None)]
    axis: Axes,
}

impl OverlapLoss for Dice {
    fn evaluate<R: Real>(&self, Sums { both, t, p }: Sums<R>) -> (R, R, R) {
        let (size, twice) = (t + p + EPSILON, both * 2.0);
        (R::from(1.0) - twice / size, R::from(-2.0) / size, twice / (size * size))
    }
}

/// Tversky loss: `1 - TP / (TP + alpha FN + beta FP)`; with `alpha` and `beta` 0.5 it is Dice. Salehi et al. 2017.
///
/// `alpha` and `beta` follow the code and tests of Keras 3.15.1. Its documentation, the paper and Keras 3.16 exchange
/// them.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::TVERSKY)]
pub struct Tversky {
    /// The weight of false negatives, which are in `y_true` but not in `y_pred`.
    #[config(default = 0.5)]
    alpha: f64,
    /// The weight of false positives, which are in `y_pred` but not in `y_true`.
    #[config(default = 0.5)]
    beta: f64,
    /// The axes that are summed, one or a list; null: all axes, which yields one value for the batch.
    #[config(default = None)]
    axis: Axes,
}

impl OverlapLoss for Tversky {
    fn evaluate<R: Real>(&self, Sums { both, t, p }: Sums<R>) -> (R, R, R) {
        let (false_positives, false_negatives) = (p - both, t - both);
        let size = both + false_negatives * self.alpha + false_positives * self.beta + EPSILON;
        // d both = t, d false positives = 1 - t, d false negatives = -t.
        let ratio = both / size;
        let factor = (ratio * (1.0 - self.alpha - self.beta) - 1.0) / size;
        (R::from(1.0) - ratio, factor, ratio * self.beta / size)
    }
}

macro_rules! losses {
    ($($name:ident),*) => {$(
        impl Loss for $name {
            fn info(&self) -> LossInfo {
                // Rows are independent if the first axis isn't summed. A negative axis may be the first one, depending
                // on the rank.
                let rows_independent = match &self.axis {
                    Axes::All => false,
                    Axes::One(axis) => *axis > 0,
                    Axes::List(axes) => axes.iter().all(|axis| *axis > 0),
                };
                LossInfo { rows_independent, float64: true, ..LossInfo::default() }
            }

            fn output_shape(&self, inputs: &Inputs<'_>) -> Result<Vec<i64>> {
                output_shape(&self.axis, inputs)
            }

            fn formula(&self) -> Result<Formula> {
                let axis = match &self.axis {
                    Axes::All => None,
                    Axes::One(axis) => Some(*axis),
                    Axes::List(axes) if axes.len() == 1 => Some(axes[0]),
                    Axes::List(_) => return Err(Error::unsupported("several axes are summed")),
                };
                Formula::of_rows_with_derivative(axis, |t, p| {
                    let sums = Sums { both: t.zip(p).sum(|t, p| t * p), t: t.sum(|t| t), p: p.sum(|p| p) };
                    let (value, factor, offset) = self.evaluate(sums);
                    (value, factor * t.elements()[0] + offset)
                })
            }

            calls! { self, inputs, output, host => call(self, &self.axis, inputs, output, host) }
        }
    )*};
}
losses! { Dice, Tversky }

#[cfg(test)]
mod tests {
    use super::{super::shared::tests::call, *};

    #[test]
    fn a_perfect_match_costs_0_and_a_disjoint_one_1() {
        let dice = Dice { axis: Axes::All };
        let perfect = call(&dice, (&[1.0f32, 0.0, 1.0], &[3]), (&[1.0, 0.0, 1.0], &[3])).unwrap();
        assert!(perfect.shape.is_empty() && perfect.values[0].abs() < 1e-6);
        let disjoint = call(&dice, (&[1.0f32, 0.0], &[2]), (&[0.0, 1.0], &[2, 1])).unwrap();
        assert_eq!(disjoint.values, [1.0]);
        assert!((disjoint.gradient[0] + 1.0).abs() < 1e-6 && disjoint.gradient[1] == 0.0);
    }

    #[test]
    fn alpha_weights_false_negatives_and_beta_false_positives() {
        let tversky = |alpha, beta| Tversky { alpha, beta, axis: Axes::All };
        // One true positive, two false positives, no false negative.
        let y = ((&[1.0f32, 0.0, 0.0][..], &[3i64][..]), (&[1.0f32, 1.0, 1.0][..], &[3i64][..]));
        assert!(call(&tversky(1.0, 0.0), y.0, y.1).unwrap().values[0].abs() < 1e-6);
        assert!((call(&tversky(0.0, 1.0), y.0, y.1).unwrap().values[0] - 2.0 / 3.0).abs() < 1e-6);
        // Numbers from the tests of Keras 3.15.1.
        let y = ((&[1.0f32, 2.0, 1.0, 2.0][..], &[2i64, 2][..]), (&[4.0f32, 1.0, 6.0, 1.0][..], &[2i64, 2][..]));
        assert!((call(&tversky(0.2, 0.8), y.0, y.1).unwrap().values[0] + 0.296_296_36).abs() < 1e-6);
        let y = ((&[1.0f32, 0.0, 0.0][..], &[3i64][..]), (&[1.0f32, 1.0, 1.0][..], &[3i64][..]));
        let dice = call(&Dice { axis: Axes::All }, y.0, y.1).unwrap();
        let half = call(&tversky(0.5, 0.5), y.0, y.1).unwrap();
        assert!((dice.values[0] - half.values[0]).abs() < 1e-6);
        assert!(dice.gradient.iter().zip(&half.gradient).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn all_summation_paths_agree() {
        let n = 3 * 40_000;
        let y_true: Vec<f32> = (0..n).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
        let y_pred: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin().abs()).collect();
        let loss = |axis| Tversky { alpha: 0.3, beta: 0.6, axis };
        // Rows divided between threads, and their transpose with the summed axis first.
        let shape = [3, 40_000];
        let rows = call(&loss(Axes::One(1)), (&y_true, &shape), (&y_pred, &shape)).unwrap();
        let turn = |y: &[f32]| (0..n).map(|i| y[i % 3 * 40_000 + i / 3]).collect::<Vec<_>>();
        let turned = [40_000, 3];
        let columns = call(&loss(Axes::List(vec![-2])), (&turn(&y_true), &turned), (&turn(&y_pred), &turned)).unwrap();
        for (a, b) in rows.values.iter().zip(&columns.values) {
            assert!((a - b).abs() < 1e-6);
        }
        for (a, b) in turn(&rows.gradient).iter().zip(&columns.gradient) {
            assert!((a - b).abs() <= 1e-6 * a.abs());
        }
        // Short rows.
        let short = [40_000, 3];
        let called = call(&loss(Axes::One(-1)), (&y_true, &short), (&y_pred, &short)).unwrap();
        let alone = call(&loss(Axes::All), (&y_true[..3], &[3]), (&y_pred[..3], &[3])).unwrap();
        assert_eq!(called.values[0], alone.values[0]);
        assert_eq!(called.gradient[..3], alone.gradient);
    }

    #[test]
    fn missing_and_duplicate_axes_are_errors() {
        let y = ((&[1.0f32, 0.0][..], &[2i64, 1][..]), (&[1.0f32, 1.0][..], &[2i64, 1][..]));
        for axis in [Axes::One(2), Axes::List(vec![0, -2])] {
            assert!(call(&Dice { axis }, y.0, y.1).is_err());
        }
        assert!(call(&Dice { axis: Axes::All }, (&[1.0f32], &[1]), y.1).is_err());
    }
}
