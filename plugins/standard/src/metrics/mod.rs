//! Metrics, one file for each family. A metric that is the mean of a loss's values needs no code here.

/// Implements the parts of a [`Metric`](plugfit_api::Metric) that depend on its state alone: the state is initially
/// `default()`, and has a function `merge`. With a direction, also `info` for the targets and predictions.
macro_rules! with_state {
    ($state:ident) => {
        type State = $state;
        fn init(&self) -> $state {
            $state::default()
        }
        fn merge(&self, state: &mut $state, other: &$state) -> Result<()> {
            state.merge(other)
        }
    };
    // With `vectors`, the elements of a vector are independent.
    ($state:ident, $direction:ident, vectors) => {
        with_state!($state, $direction);
        fn can_split(&self, _: usize) -> bool {
            true
        }
    };
    ($state:ident, $direction:ident) => {
        with_state!($state);
        fn info(&self) -> MetricInfo {
            MetricInfo::new(Direction::$direction)
        }
    };
}

mod accuracy;
mod auc;
mod confusion;
mod confusion_formula;
mod confusion_single;
mod correlation;
mod counts;
mod distances;
mod examples;
mod f_score;
mod iou;
mod means;
mod moments;
mod operating_point;
mod overlaps;
mod r2;
mod saturated;
mod single_pairs;

pub use accuracy::{
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
};
pub use auc::Auc;
pub use correlation::{ConcordanceCorrelation, CosineSimilarity, PearsonCorrelation};
pub use counts::{FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives};
pub use distances::{LogCoshError, RootMeanSquaredError};
pub use f_score::{F1Score, FBetaScore};
pub use iou::{BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU};
pub use means::{Mean, Sum};
pub use operating_point::{PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity};
pub use r2::R2Score;

use plugfit_api::{Error, Real, Result};

/// Merges `other` into `own` by element. A state without elements has no batches.
///
/// # Errors
/// Returns an error if both have elements, but different numbers of them. `what` are the elements.
fn merge_each<T: Clone>(own: &mut Vec<T>, other: &[T], what: &str, add: impl Fn(&mut T, &T)) -> Result<()> {
    if own.is_empty() {
        own.extend_from_slice(other);
    } else if !other.is_empty() {
        if own.len() != other.len() {
            return Err(Error::state(format!("the states have different numbers of {what}")));
        }
        own.iter_mut().zip(other).for_each(|(own, other)| add(own, other));
    }
    Ok(())
}

/// Returns `a / b`, or 0 if `b` is 0, as in Keras.
fn ratio<R: Real>(a: R, b: R) -> R {
    R::select(b.eq(R::from(0.0)), R::from(0.0), a / b)
}

/// Returns `part / (part + rest)`, or 0 if both are 0, as in Keras.
fn share<R: Real>(part: R, rest: R) -> R {
    ratio(part, part + rest)
}

/// Returns 1 where the mask holds, else 0.
fn one_if<R: Real>(mask: R::Mask) -> R {
    R::select(mask, R::from(1.0), R::from(0.0))
}
