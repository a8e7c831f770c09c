//! Regression errors that aren't the mean of a loss.

use crate::losses::LogCosh;
use plugfit_api::prelude::*;

/// Root mean squared error: the root of the weighted mean of `(y_pred - y_true)²` over all elements of all batches.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.6943651}"#
)]
#[config(
    example = r#"{"y_true": [[[1], [2]], [[3], [1]]], "y_pred": [[[1.5], [2]], [[2], [3]]], "sample_weight": [1, 2], "gives": 1.307032}"#
)]
#[config(
    example = r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.9258201}"#
)]
pub struct RootMeanSquaredError;

/// The weighted sum of squared errors, and the total weight.
#[state]
#[derive(Copy, Default)]
pub struct Squares {
    sum: f64,
    weight: f64,
}

impl Metric for RootMeanSquaredError {
    type State = Squares;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Minimize)
    }
    fn init(&self) -> Squares {
        Squares::default()
    }
    fn update(&self, squares: &mut Squares, inputs: &Inputs<'_>) -> Result<()> {
        let mut batch = Squares::default();
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                batch.sum += weight * (y_pred - y_true) * (y_pred - y_true);
                batch.weight += weight;
            }
        })?;
        let each = inputs.values_per_sample(Each::Element)?;
        self.merge(squares, &Squares { sum: batch.sum / each, weight: batch.weight / each })
    }
    fn merge(&self, squares: &mut Squares, other: &Squares) -> Result<()> {
        squares.sum += other.sum;
        squares.weight += other.weight;
        Ok(())
    }
    fn result(&self, squares: &Squares) -> Result<Outcome> {
        Ok(match Outcome::ratio(squares.sum, squares.weight) {
            Outcome::Scalar(mean) => Outcome::Scalar(mean.sqrt()),
            undefined => undefined,
        })
    }
}

/// Log-cosh error: the mean of `ln(cosh(y_pred - y_true))`.
#[derive(Clone, Debug, Config)]
#[config(base(name = "logcosh"), aliases("logcosh"))]
#[config(
    example = r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.214979}"#
)]
#[config(example = r#"{"y_true": [[0, 0]], "y_pred": [[3, -0.01]], "gives": 1.154689}"#)]
#[config(
    example = r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.3165576}"#
)]
pub struct LogCoshError;

#[formula]
impl ElementwiseLoss for LogCoshError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        LogCosh.value(y_true, y_pred)
    }
    fn derivative<R: Real>(&self, y_true: R, y_pred: R) -> (R, R) {
        LogCosh.derivative(y_true, y_pred)
    }
}
