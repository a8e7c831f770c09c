//! Metrics.

use candle_core::{Error, Result, Tensor};
use plugfit::{Host, Identifier, component};
use plugfit_api::metric::Outcome;
use plugfit_emit::NativeMetric;

use crate::arrays::{array, error};

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
    pub fn new(host: &Host, identifier: impl Into<Identifier>) -> plugfit::Result<Self> {
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
    /// Returns an error if the shapes don't fit, if the plug-in fails, or candle's.
    pub fn update(&mut self, y_true: &Tensor, y_pred: &Tensor) -> Result<()> {
        self.metric.update(&array(y_true)?, &array(y_pred)?, None).map_err(error)
    }

    /// Updates the state with a batch whose values have weights.
    ///
    /// # Errors
    /// Returns an error under the same conditions as [`update`](Self::update), or if the weights don't fit.
    pub fn update_weighted(&mut self, y_true: &Tensor, y_pred: &Tensor, sample_weight: &Tensor) -> Result<()> {
        self.metric.update(&array(y_true)?, &array(y_pred)?, Some(&array(sample_weight)?)).map_err(error)
    }

    /// Returns the result of all batches since the last reset.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn result(&self) -> Result<Outcome> {
        self.metric.result().map_err(error)
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
                Err(Error::Msg(format!("{} gives several numbers: use Metric::result", self.inner().name())))
            }
        }
    }

    /// Resets the state.
    ///
    /// # Errors
    /// Returns an error if the plug-in fails.
    pub fn reset(&mut self) -> Result<()> {
        self.metric.reset().map_err(error)
    }
}
