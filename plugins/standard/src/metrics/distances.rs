//! Regression errors that aren't the mean of a loss.

use crate::losses::LogCosh;
use plugfit_api::prelude::*;

/// Root mean squared error: the root of the weighted mean of `(y_pred - y_true)²` over all elements of all batches.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ROOT_MEAN_SQUARED_ERROR)]
pub struct RootMeanSquaredError;

#[formula]
impl MeanMetric for RootMeanSquaredError {
    const DIRECTION: Direction = Direction::Minimize;
    fn each(&self) -> Each {
        Each::Element
    }
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R {
        let error = y_pred.single() - y_true.single();
        error * error
    }
    fn result<R: Real>(&self, mean: R) -> R {
        mean.sqrt()
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
