//! Metrics: a configuration, a state that the host keeps, and four functions.

use crate::{Config, Error, Host, Inputs, Result};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// Which way a metric is better. Declared, never guessed from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    Maximize,
    /// Less is better.
    Minimize,
    /// Neither is.
    Neither,
}

/// What depends on a metric's configuration and a host wants to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricInfo {
    /// Which way is better.
    pub direction: Direction,
    /// The inputs, in order: `y_true` and `y_pred`, or `values`, or names of its own.
    pub inputs: Vec<String>,
    /// For each input the dtypes taken, best first; the host converts what isn't among them to the first. Empty: float32 and float64.
    pub dtypes: Vec<Vec<String>>,
    /// Whether a row of weight zero counts as if it weren't there.
    pub zero_weight_is_absent: bool,
    /// Whether the state's size doesn't grow with the rows seen.
    pub bounded_state: bool,
    /// Whether a batch may be split between its rows without changing the result.
    pub rows_independent: bool,
}

impl Default for MetricInfo {
    fn default() -> Self {
        MetricInfo {
            direction: Direction::Neither,
            inputs: vec!["y_true".into(), "y_pred".into()],
            dtypes: Vec::new(),
            zero_weight_is_absent: true,
            bounded_state: true,
            rows_independent: true,
        }
    }
}

impl MetricInfo {
    /// Of `y_true` and `y_pred`, better in this direction.
    pub fn new(direction: Direction) -> Self {
        MetricInfo { direction, ..Self::default() }
    }

    /// Of `values` alone.
    pub fn of_values(direction: Direction) -> Self {
        MetricInfo { direction, inputs: vec!["values".into()], ..Self::default() }
    }
}

/// What a state has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Not defined: no data, a single class. Never 0 or 0.5.
    Undefined,
    /// One number.
    Scalar(f64),
    /// Numbers in C order.
    Array {
        /// The length of each axis.
        shape: Vec<usize>,
        /// The numbers.
        values: Vec<f64>,
    },
    /// Numbers, each with its name.
    Named(Vec<(String, f64)>),
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Outcome::Scalar(value)
    }
}

impl Outcome {
    /// `numerator / denominator`, undefined where nothing was counted.
    pub fn ratio(numerator: f64, denominator: f64) -> Self {
        if denominator == 0.0 {
            Outcome::Undefined
        } else {
            Outcome::Scalar(numerator / denominator)
        }
    }

    /// A row of numbers.
    pub fn row(values: Vec<f64>) -> Self {
        Outcome::Array { shape: vec![values.len()], values }
    }
}

/// What a [`MeanMetric`] has a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// A row of `y_true` and of `y_pred`, along the last axis; a batch of rank 1 has rows of one element.
    Row,
    /// An element of `y_true` and of `y_pred`.
    Element,
    /// A class id, for which `y_true` has an axis less than `y_pred` (or one of length 1), and a row of `y_pred`. An id that isn't that of
    /// an element of the row is refused.
    ClassId,
    /// A line of `y_true` and of `y_pred` along this axis, which counts from the end if it is negative; a batch of rank 1 is a line. Rows
    /// are said to be independent of each other where it is -1 or above 0.
    Line(i64),
}

/// A metric whose value is the weighted mean of a value for each row, or for each element: one function.
///
/// Weights, masks, merging and saving come with it; what has weight 0 isn't asked for.
pub trait MeanMetric: Config + Send + Sync + 'static {
    /// Which way is better.
    const DIRECTION: Direction;

    /// What there is a value of.
    fn each(&self) -> Each {
        Each::Row
    }

    /// Refuses what there is no value of, once a batch and before any value: [`Inputs::check_labels`] is such a check.
    ///
    /// # Errors
    /// The inputs can't be used.
    fn check(&self, inputs: &Inputs<'_>) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// The value of one; numbers are float64 whatever they were, and one where [`each`](Self::each) says so. Of NaN it is NaN, or the
    /// metric has a number where there is none.
    fn value(&self, y_true: &[f64], y_pred: &[f64]) -> f64;
}

/// A metric with a state of its own.
///
/// There is no value of a batch that somebody could average: what a metric says comes from its state alone.
pub trait Metric: Config + Send + Sync + 'static {
    /// What is kept between batches; write [`#[state]`](macro@crate::state) before it. Sums in float64.
    type State: Clone + Serialize + DeserializeOwned + Send + 'static;

    /// The version of what a saved state means.
    const STATE_VERSION: u32 = 1;

    /// See [`MetricInfo`].
    fn info(&self) -> MetricInfo;

    /// Called once, before anything else: where nested components are resolved.
    ///
    /// # Errors
    /// The host doesn't have what is asked of it.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// A state that has seen nothing.
    fn init(&self) -> Self::State;

    /// Takes in a batch. On an error the state is as it was. A row of weight 0 changes nothing, even where it is NaN; NaN in any other
    /// row gives NaN or an error.
    ///
    /// # Errors
    /// The inputs don't fit.
    fn update(&self, state: &mut Self::State, inputs: &Inputs<'_>) -> Result<()>;

    /// Takes in what another state has seen.
    ///
    /// # Errors
    /// The states can't be merged (one has three classes, the other four).
    fn merge(&self, state: &mut Self::State, other: &Self::State) -> Result<()>;

    /// What the state has come to.
    ///
    /// # Errors
    /// It can't be said.
    fn result(&self, state: &Self::State) -> Result<Outcome>;

    /// Reads a state that was saved as another version than [`STATE_VERSION`](Self::STATE_VERSION).
    ///
    /// # Errors
    /// The version isn't known.
    fn load_older(&self, version: u32, bytes: &[u8]) -> Result<Self::State> {
        let _ = bytes;
        Err(Error::state(format!("the saved state is of version {version}; this one reads {}", Self::STATE_VERSION)))
    }
}
