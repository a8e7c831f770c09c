//! Metrics.

use burn::tensor::{Tensor, backend::Backend};
use plugfit::{Error, Host, Identifier, Result, component};
use plugfit_api::metric::Outcome;
use plugfit_emit::NativeMetric;

use crate::labels::{Labels, array};

/// A metric of a plug-in, which computes it in memory, or the mean of a loss. Batches on other devices are copied.
#[derive(Debug)]
pub struct Metric {
    metric: NativeMetric,
}

impl Metric {
    /// Creates a metric from its identifier. If only a loss has the name, the metric is the mean of that loss.
    ///
    /// # Errors
    /// Returns an error if there is no such metric, or if its configuration is invalid.
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> Result<Self> {
        Ok(Metric { metric: NativeMetric::new(host.metric(identifier)?) })
    }

    /// Returns the metric of plugfit, with its name and its direction.
    pub fn inner(&self) -> &component::Metric {
        self.metric.metric()
    }

    /// Updates the state with a batch. A metric of values alone, such as Mean, takes them as `y_pred`, and ignores
    /// `y_true`.
    ///
    /// # Errors
    /// Returns an error if the shapes don't fit, or if the plug-in fails.
    pub fn update<B: Backend, const D: usize>(&mut self, y_true: impl Labels<B>, y_pred: Tensor<B, D>) -> Result<()> {
        self.metric.update(&y_true.array(), &array(y_pred), None)
    }

    /// Updates the state with a batch whose values have weights.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update`](Self::update), or if the weights don't fit.
    pub fn update_weighted<B: Backend, const D: usize, const W: usize>(
        &mut self,
        y_true: impl Labels<B>,
        y_pred: Tensor<B, D>,
        sample_weight: Tensor<B, W>,
    ) -> Result<()> {
        self.metric.update(&y_true.array(), &array(y_pred), Some(&array(sample_weight)))
    }

    /// Returns the result of all batches since the last reset.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn result(&self) -> Result<Outcome> {
        self.metric.result()
    }

    /// Returns the result as one number; NaN if it is undefined.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails, or if the result isn't one number.
    pub fn compute(&self) -> Result<f64> {
        match self.result()? {
            Outcome::Scalar(number) => Ok(number),
            Outcome::Undefined => Ok(f64::NAN),
            Outcome::Array { .. } | Outcome::Named(_) => {
                Err(Error::usage(format!("{} gives several numbers", self.inner().name())).hint("use Metric::result"))
            }
        }
    }

    /// Resets the state.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn reset(&mut self) -> Result<()> {
        self.metric.reset()
    }
}
