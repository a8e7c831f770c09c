//! The reduction of the values of a batch to one number.

use std::fmt;

use serde_json::Value;

/// The reduction of a loss's values to one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// The sum, divided by the number of values that aren't masked.
    #[default]
    SumOverBatchSize,
    /// The same as `SumOverBatchSize`.
    Mean,
    /// The sum, divided by the sum of the weights.
    MeanWithSampleWeight,
    /// The sum.
    Sum,
    /// No reduction.
    None,
}

impl Reduction {
    /// The names, for errors.
    pub(super) const NAMES: &'static str =
        "\"sum_over_batch_size\", \"mean\", \"mean_with_sample_weight\", \"sum\", \"none\" or null";

    /// Converts from the name; null is [`None`](Self::None).
    pub fn from_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Reduction::None,
            Value::String(name) => match name.as_str() {
                "sum_over_batch_size" => Reduction::SumOverBatchSize,
                "mean" => Reduction::Mean,
                "mean_with_sample_weight" => Reduction::MeanWithSampleWeight,
                "sum" => Reduction::Sum,
                "none" => Reduction::None,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::SumOverBatchSize => "sum_over_batch_size",
            Reduction::Mean => "mean",
            Reduction::MeanWithSampleWeight => "mean_with_sample_weight",
            Reduction::Sum => "sum",
            Reduction::None => "none",
        }
    }

    /// Returns whether it is a mean over the values that aren't masked.
    pub(super) fn is_plain_mean(self) -> bool {
        matches!(self, Reduction::SumOverBatchSize | Reduction::Mean)
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns `a / b`, or 0 if `b` is 0, like Keras's `divide_no_nan`.
pub(super) fn divide_no_nan(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}
