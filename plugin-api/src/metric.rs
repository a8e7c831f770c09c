//! The traits of metrics. A metric has a configuration, a state that the host stores, and functions on the state.

use crate::{formula::Formula, Config, Error, Host, Inputs, Real, Result, Row};
use serde::{de::DeserializeOwned, Deserialize, Serialize};

pub(crate) mod loss_values;
pub(crate) mod mean;
mod mean_single;
pub(crate) mod parts;
pub(crate) mod sums;

pub use crate::sums::{Around, SumLayout, SumResult, Sums, Term};
pub use crate::walk::Each;
pub use sums::SumMetric;

/// Whether greater or smaller values of a metric are better. A metric declares it; the host never guesses it from a
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Greater values are better.
    Maximize,
    /// Smaller values are better.
    Minimize,
    /// Neither is better.
    Neither,
}

/// Properties of a metric that depend on its configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricInfo {
    /// Whether greater or smaller values are better.
    pub direction: Direction,
    /// The names of the inputs, in order: `y_true` and `y_pred`, or `values`, or others.
    pub inputs: Vec<String>,
    /// The dtypes that each input supports, best first. The host converts any other dtype to the first. Empty: float32
    /// and float64.
    pub dtypes: Vec<Vec<String>>,
    /// Whether a row of weight zero has the same effect as no row.
    pub zero_weight_is_absent: bool,
    /// Whether the size of the state is independent of the number of rows.
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
    /// Describes a metric of `y_true` and `y_pred`.
    pub fn new(direction: Direction) -> Self {
        MetricInfo { direction, ..Self::default() }
    }

    /// Describes a metric whose only input is `values`.
    pub fn of_values(direction: Direction) -> Self {
        MetricInfo { direction, inputs: vec!["values".into()], ..Self::default() }
    }
}

/// The result of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Undefined, for example because there is no data or only one class. A metric mustn't return 0 or 0.5 instead.
    Undefined,
    /// One number.
    Scalar(f64),
    /// An array of numbers in C order.
    Array {
        /// The length of each axis.
        shape: Vec<usize>,
        /// The numbers.
        values: Vec<f64>,
    },
    /// Named numbers.
    Named(Vec<(String, f64)>),
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Outcome::Scalar(value)
    }
}

impl Outcome {
    /// Returns `numerator / denominator`, or `Undefined` if the denominator is 0.
    pub fn ratio(numerator: f64, denominator: f64) -> Self {
        if denominator == 0.0 {
            Outcome::Undefined
        } else {
            Outcome::Scalar(numerator / denominator)
        }
    }

    /// Returns an array with one axis.
    pub fn row(values: Vec<f64>) -> Self {
        Outcome::Array { shape: vec![values.len()], values }
    }
}

/// A metric that is the weighted mean of a value per row, element, class id or line.
///
/// Only the value is implemented; weights, masks, merging and saving are provided. The result of
/// [`value`](Self::value) for weight 0 is ignored. Write [`#[formula]`](macro@crate::formula) before the `impl`, so that
/// the loop vectorises.
pub trait MeanMetric: Config + Send + Sync + 'static {
    /// Whether greater or smaller values are better.
    const DIRECTION: Direction;

    /// Returns the unit for which [`value`](Self::value) is called.
    fn each(&self) -> Each {
        Each::Row
    }

    /// Checks the inputs of a batch before the first value is computed. [`Inputs::check_labels`] is such a check.
    ///
    /// # Errors
    /// Returns an error if the metric isn't defined for the inputs.
    fn check(&self, inputs: &Inputs<'_>) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// Computes the value of one row, element, class id or line: in float32 if the inputs are float32, and in float64 if one
    /// isn't or the unit is a line. The values are summed in float64. If [`each`](Self::each) is
    /// [`Each::Element`], both rows have one element ([`Row::single`]); if it is [`Each::ClassId`], `y_true` has
    /// ([`Row::class_id`]). If an input is NaN, the value must be NaN: otherwise the metric would report a number that
    /// means nothing.
    fn value<R: Real>(&self, y_true: Row<'_, R>, y_pred: Row<'_, R>) -> R;

    /// Computes the result from the weighted mean of the values. The default returns the mean.
    fn result<R: Real>(&self, mean: R) -> R {
        mean
    }
}

/// Reads a saved state, or an older form of one in [`Metric::load_older`].
///
/// # Errors
/// Returns an error if the bytes aren't a saved state of this type.
pub fn read_state<S: DeserializeOwned>(bytes: &[u8]) -> Result<S> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok(_) => Err(Error::state("the saved state is longer than it should be")),
        Err(error) => Err(Error::state(format!("the saved state can't be read: {error}"))),
    }
}

/// A metric with its own state.
///
/// The result is computed from the state alone and never averaged over batches.
pub trait Metric: Config + Send + Sync + 'static {
    /// The state that is stored between batches. Write [`#[state]`](macro@crate::state) before it, and accumulate sums
    /// in float64.
    type State: Clone + Serialize + DeserializeOwned + Send + 'static;

    /// The version of the saved state's format.
    const STATE_VERSION: u32 = 1;

    /// Returns the properties that depend on the configuration.
    fn info(&self) -> MetricInfo;

    /// Resolves nested components. The host calls it once, before any other method.
    ///
    /// # Errors
    /// Returns an error if the host can't provide a nested component.
    fn prepare(&mut self, host: &Host<'_>) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// Returns the state before the first batch.
    fn init(&self) -> Self::State;

    /// Updates the state with a batch. An error must leave the state unchanged. A row of weight 0 changes nothing, even
    /// if it contains NaN. NaN in any other row must lead to a result of NaN, or to an error.
    ///
    /// # Errors
    /// Returns an error if the inputs are invalid.
    fn update(&self, state: &mut Self::State, inputs: &Inputs<'_>) -> Result<()>;

    /// Whether a batch of inputs with up to `rank` axes may be split between its rows, and the states of the parts merged.
    /// Threads then share large batches. By default, if there are two axes or more, rows are independent, and the size of
    /// the state is bounded.
    fn can_split(&self, rank: usize) -> bool {
        let info = self.info();
        rank > 1 && info.rows_independent && info.bounded_state
    }

    /// Adds the batches of another state to this state.
    ///
    /// # Errors
    /// Returns an error if the states can't be merged, for example because one has three classes and the other four.
    fn merge(&self, state: &mut Self::State, other: &Self::State) -> Result<()>;

    /// Computes the result from the state.
    ///
    /// # Errors
    /// Returns an error if the result can't be computed.
    fn result(&self, state: &Self::State) -> Result<Outcome>;

    /// Returns the metric as a formula, for engines that compute it themselves: see [`Formula::of_mean`] and
    /// [`Formula::of_sums`].
    ///
    /// # Errors
    /// Returns an error if the metric has no formula; the default does.
    fn formula(&self) -> Result<Formula> {
        Err(Error::unsupported("its state isn't a sum"))
    }

    /// Reads a state that was saved with another version than [`STATE_VERSION`](Self::STATE_VERSION): see [`read_state`].
    ///
    /// # Errors
    /// Returns an error if the version is unknown.
    fn load_older(&self, version: u32, bytes: &[u8]) -> Result<Self::State> {
        let _ = bytes;
        Err(Error::state(format!("the saved state is of version {version}; this one reads {}", Self::STATE_VERSION)))
    }
}
