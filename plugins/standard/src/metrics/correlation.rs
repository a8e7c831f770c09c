//! Correlation of predictions and labels along an axis.
//!
//! Along the first axis, that of the samples, each column has one value over all samples, independent of the batches.
//! Along another axis, each line within a sample has a value, and the result is their weighted mean.

use super::moments::{Moments, Seen};
use plugfit_api::{Plain, formula::Formula, prelude::*};

/// The [`Moments`] as numbers of a formula.
#[derive(Clone, Copy)]
struct Central<R> {
    weight: R,
    mean_true: R,
    mean_pred: R,
    true_squares: R,
    pred_squares: R,
    products: R,
}

impl Central<Plain<f64>> {
    fn new(moments: &Moments) -> Self {
        let [weight, mean_true, mean_pred] = [moments.weight, moments.mean_true, moments.mean_pred].map(Plain);
        let [true_squares, pred_squares, products] =
            [moments.true_squares, moments.pred_squares, moments.products].map(Plain);
        Central { weight, mean_true, mean_pred, true_squares, pred_squares, products }
    }
}

impl<R: Real> Central<R> {
    /// Returns the moments of one line.
    fn of_line(y_true: Row<'_, R>, y_pred: Row<'_, R>) -> Self {
        // Differences from the first element: equal numbers have an exact mean and a variance of 0.
        let (first_true, first_pred) = (y_true.get(0), y_pred.get(0));
        let (of_true, of_pred) = (y_true.mean(|t| t - first_true), y_pred.mean(|p| p - first_pred));
        let (of_t, of_p) = (|t: R| t - first_true - of_true, |p: R| p - first_pred - of_pred);
        Central {
            weight: y_pred.count(),
            mean_true: first_true + of_true,
            mean_pred: first_pred + of_pred,
            true_squares: y_true.sum(|t| of_t(t) * of_t(t)),
            pred_squares: y_pred.sum(|p| of_p(p) * of_p(p)),
            products: y_true.zip(y_pred).sum(|t, p| of_t(t) * of_p(p)),
        }
    }
}

macro_rules! correlation_metric {
    ($name:ident, $moments:ident => $value:expr) => {
        impl $name {
            fn value<R: Real>($moments: Central<R>) -> R {
                $value
            }
        }

        impl Metric for $name {
            with_state!(Seen, Maximize);
            const STATE_VERSION: u32 = 2;
            fn update(&self, seen: &mut Seen, inputs: &Inputs<'_>) -> Result<()> {
                seen.update(self.axis, inputs, |moments: &Moments| Self::value(Central::new(moments)).0)
            }
            fn formula(&self) -> Result<Formula> {
                if self.axis != -1 {
                    return Err(Error::unsupported("along an axis that may be the first, all samples belong together"));
                }
                Formula::of_mean(Each::Line(-1), |y_true, y_pred| Self::value(Central::of_line(y_true, y_pred)))
            }
            fn result(&self, seen: &Seen) -> Result<Outcome> {
                Ok(seen.result(|moments: &Moments| Self::value(Central::new(moments)).0))
            }
        }
    };
}

/// Cosine similarity: the mean cosine of the angle between `y_true` and `y_pred`, from -1 to 1. The loss of this name
/// has the opposite sign. Along the first axis it is computed over all samples; Keras returns the mean over batches.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::COSINE_SIMILARITY)]
pub struct CosineSimilarity {
    /// The axis of the vectors.
    #[config(default = -1)]
    axis: i64,
}

correlation_metric! { CosineSimilarity, moments => {
    // As in Keras, 1e-7 keeps the cosine of a zero vector finite.
    let length = |mean: R, squares: R| (squares + moments.weight * mean * mean).sqrt().max(R::from(1e-7));
    let dot = moments.products + moments.weight * moments.mean_true * moments.mean_pred;
    dot / length(moments.mean_true, moments.true_squares) / length(moments.mean_pred, moments.pred_squares)
} }

/// Pearson correlation: the mean correlation of `y_true` and `y_pred`, from -1 to 1; NaN for constants. Along the first
/// axis it is computed over all samples; Keras returns the mean over batches. Pearson 1895.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::PEARSON_CORRELATION)]
pub struct PearsonCorrelation {
    /// The axis along which values are correlated.
    #[config(default = -1)]
    axis: i64,
}

correlation_metric! { PearsonCorrelation, moments => {
    moments.products / moments.true_squares.sqrt() / moments.pred_squares.sqrt()
} }

/// Concordance correlation: the mean concordance of `y_true` and `y_pred`, from -1 to 1. It is the correlation, reduced
/// by differences of the means and variances. Along the first axis it is computed over all samples; Keras returns the
/// mean over batches. Lin 1989.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::CONCORDANCE_CORRELATION)]
pub struct ConcordanceCorrelation {
    /// The axis along which values are compared.
    #[config(default = -1)]
    axis: i64,
}

correlation_metric! { ConcordanceCorrelation, moments => {
    let difference = moments.mean_true - moments.mean_pred;
    let norm = moments.true_squares + moments.pred_squares + moments.weight * difference * difference;
    // Two equal constants have a concordance of 0, as in Keras.
    R::select(norm.eq(R::from(0.0)), R::from(0.0), moments.products * 2.0 / norm)
} }

#[cfg(test)]
mod tests {
    use super::*;

    type Rows<'a> = &'a [[f64; 2]];

    fn seen<M: Metric<State = Seen>>(metric: &M, batches: &[Rows<'_>], weight: Option<&[f64]>) -> Seen {
        let mut seen = metric.init();
        for rows in batches {
            let [t, p] = [0, 1].map(|side| rows.iter().map(|row| row[side]).collect::<Vec<f64>>());
            let shape = [rows.len() as i64, 1];
            let tensors = [("y_true", Tensor::new(&t, &shape)), ("y_pred", Tensor::new(&p, &shape))];
            let of_weight = [rows.len() as i64];
            let weight = weight.map(|weight| Tensor::new(weight, &of_weight));
            metric.update(&mut seen, &Inputs::new(&tensors, weight, None)).unwrap();
        }
        seen
    }

    fn value<M: Metric<State = Seen>>(metric: &M, seen: &Seen) -> f64 {
        match metric.result(seen).unwrap() {
            Outcome::Scalar(value) => value,
            other => panic!("{other:?}"),
        }
    }

    const ROWS: [[f64; 2]; 6] = [[1.0, 2.5], [2.0, 1.5], [4.0, 3.0], [0.5, 0.25], [-1.0, 0.75], [3.0, 2.0]];

    /// The first two expected values are scipy's pearsonr and Lin's formula over all rows.
    fn each(check: impl Fn(&dyn Fn(&[Rows<'_>]) -> f64, f64)) {
        let pearson = PearsonCorrelation { axis: 0 };
        let concordance = ConcordanceCorrelation { axis: -2 };
        let cosine = CosineSimilarity { axis: 0 };
        check(&|batches| value(&pearson, &seen(&pearson, batches, None)), 0.7486455649444189);
        check(&|batches| value(&concordance, &seen(&concordance, batches, None)), 0.6487523992322456);
        check(&|batches| value(&cosine, &seen(&cosine, batches, None)), 0.8699503200309969);
    }

    #[test]
    fn along_the_samples_the_batch_size_changes_nothing() {
        each(|value, expected| {
            for size in [6, 3, 2, 1] {
                let found = value(&ROWS.chunks(size).collect::<Vec<_>>());
                assert!((found - expected).abs() < 1e-12, "{found}, {expected}, {size}");
            }
        });
    }

    #[test]
    fn merged_states_equal_a_single_state() {
        let metric = PearsonCorrelation { axis: 0 };
        let mut first = seen(&metric, &[&ROWS[..2]], None);
        metric.merge(&mut first, &seen(&metric, &[&ROWS[2..]], None)).unwrap();
        metric.merge(&mut first, &metric.init()).unwrap();
        assert!((value(&metric, &first) - 0.7486455649444189).abs() < 1e-12);
        let mut nothing = metric.init();
        metric.merge(&mut nothing, &first).unwrap();
        assert_eq!(value(&metric, &nothing), value(&metric, &first));
    }

    #[test]
    fn a_sample_of_weight_0_is_ignored() {
        let metric = PearsonCorrelation { axis: 0 };
        let rows = [&ROWS[..], &[[f64::NAN, 1.0], [9.0, f64::INFINITY]]].concat();
        let weight = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
        let found = value(&metric, &seen(&metric, &[&rows], Some(&weight)));
        assert!((found - 0.7486455649444189).abs() < 1e-12);
    }

    #[test]
    fn large_means_lose_no_accuracy_and_a_constant_has_no_correlation() {
        let metric = PearsonCorrelation { axis: 0 };
        let far = ROWS.map(|[t, p]| [t + 1e9, p - 1e9]);
        let found = value(&metric, &seen(&metric, &far.chunks(2).collect::<Vec<_>>(), None));
        assert!((found - 0.7486455649444189).abs() < 1e-6, "{found}");
        for constant in [0.1, 1e-3, 7e6] {
            let rows = ROWS.map(|[_, p]| [constant, p]);
            assert!(value(&metric, &seen(&metric, &rows.chunks(4).collect::<Vec<_>>(), None)).is_nan());
        }
    }

    #[test]
    fn lines_within_samples_and_along_samples_do_not_mix() {
        let metric = PearsonCorrelation { axis: -1 };
        let (t, p) = ([1.0f32, 2.0, 3.0], [2.0f32, 1.0, 4.0]);
        let update = |seen: &mut Seen, shape: &[i64]| {
            let tensors = [("y_true", Tensor::new(&t, shape)), ("y_pred", Tensor::new(&p, shape))];
            metric.update(seen, &Inputs::new(&tensors, None, None))
        };
        let mut seen = metric.init();
        update(&mut seen, &[3]).unwrap();
        update(&mut seen, &[3]).unwrap();
        update(&mut seen, &[1, 3]).unwrap_err();
        let mut lines = metric.init();
        update(&mut lines, &[1, 3]).unwrap();
        update(&mut lines, &[3]).unwrap_err();
        metric.merge(&mut seen, &lines).unwrap_err();
        assert!((value(&metric, &lines) - value(&metric, &seen)).abs() < 1e-12);
    }
}
