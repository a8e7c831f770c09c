//! Regression errors that aren't the mean of a loss.

use super::means::Total;
use crate::losses::LogCosh;
use plugfit_api::prelude::*;

/// Root mean squared error: the root of the weighted mean of `(y_pred - y_true)²` over all elements of all batches.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ROOT_MEAN_SQUARED_ERROR)]
pub struct RootMeanSquaredError;

impl Metric for RootMeanSquaredError {
    with_state!(Total, Minimize);
    fn update(&self, squares: &mut Total, inputs: &Inputs<'_>) -> Result<()> {
        let mut batch = Total::default();
        inputs.for_each(|y_true, y_pred, weight| {
            if weight != 0.0 {
                batch.value += weight * (y_pred - y_true) * (y_pred - y_true);
                batch.weight += weight;
            }
        })?;
        squares.merge(&batch.per(inputs.values_per_sample(Each::Element)?))
    }
    fn result(&self, squares: &Total) -> Result<Outcome> {
        Ok(match squares.mean() {
            Outcome::Scalar(mean) => Outcome::Scalar(mean.sqrt()),
            undefined => undefined,
        })
    }
}

/// Log-cosh error: the mean of `ln(cosh(y_pred - y_true))`.
#[derive(Clone, Debug, Config)]
#[config(base(name = "logcosh"), aliases("logcosh"))]
#[config(examples = super::examples::LOG_COSH_ERROR)]
pub struct LogCoshError;

#[formula]
impl ElementwiseLoss for LogCoshError {
    fn value<R: Real>(&self, y_true: R, y_pred: R) -> R {
        LogCosh.value(y_true, y_pred)
    }
}
