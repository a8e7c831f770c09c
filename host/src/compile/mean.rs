//! The mean of a loss over the samples seen.

use super::logs::LogValue;

/// A weighted mean in float64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mean {
    pub sum: f64,
    pub weight: f64,
}

impl Mean {
    /// Adds a batch's value, which is the mean over its samples.
    pub fn add(&mut self, value: f64, samples: usize) {
        self.sum += value * samples as f64;
        self.weight += samples as f64;
    }

    /// Returns the mean; undefined before the first sample.
    pub fn value(&self) -> LogValue {
        if self.weight == 0.0 { LogValue::Undefined } else { LogValue::Number(self.sum / self.weight) }
    }
}
