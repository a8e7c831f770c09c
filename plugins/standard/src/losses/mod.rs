//! Losses, one file for each family. Names, conventions and edge cases are those of Keras 3.

/// Implements both functions of a [`Loss`](plugfit_api::Loss) that compute a batch, in float32 and in float64, by the
/// same expression.
macro_rules! calls {
    ($self:ident, $inputs:ident, $output:ident, $host:ident => $call:expr) => {
        fn call(&$self, $inputs: &Inputs<'_>, $output: &mut LossOutput<'_>, $host: &Host<'_>) -> Result<LossTotals> {
            $call
        }

        fn call_f64(
            &$self,
            $inputs: &Inputs<'_>,
            $output: &mut LossOutput<'_, f64>,
            $host: &Host<'_>,
        ) -> Result<LossTotals> {
            $call
        }
    };
}

/// Implements `info` for a loss of these [`Targets`](plugfit_api::loss::Targets), without other properties.
macro_rules! targets {
    ($targets:ident) => {
        fn info(&self) -> LossInfo {
            LossInfo::targets(Targets::$targets)
        }
    };
}

mod binary;
mod categorical;
mod categorical_focal;
mod circle;
mod class_ids;
mod ctc;
mod divergence;
mod examples;
mod hinge;
mod overlap;
mod overlap_sums;
mod regression;
mod shared;
mod similarity;
mod sparse;

pub use binary::{BinaryCrossentropy, BinaryFocalCrossentropy};
pub use categorical::CategoricalCrossentropy;
pub use categorical_focal::CategoricalFocalCrossentropy;
pub use circle::Circle;
pub use ctc::Ctc;
pub use divergence::{KLDivergence, Poisson};
pub use hinge::{CategoricalHinge, Hinge, SquaredHinge};
pub use overlap::{Dice, Tversky};
pub use regression::{
    Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError,
};
pub use similarity::CosineSimilarity;
pub use sparse::{CategoricalGeneralizedCrossEntropy, SparseCategoricalCrossentropy};

use plugfit_api::{Real, row_kernels as kernels};

/// Keras's `epsilon()`, which keeps logarithms and quotients finite.
const EPSILON: f64 = 1e-7;
/// The upper clip of probabilities; `EPSILON` is the lower. It keeps logarithms finite.
const UPPER: f64 = 1.0 - EPSILON;

/// Returns the derivative of `clamp(x, lower, upper)`: 1 inside, 0 outside, 0.5 at a bound.
#[inline(always)]
fn clamp_derivative<R: Real>(x: R, lower: f64, upper: f64) -> R {
    let (lower, upper) = (R::from(lower), R::from(upper));
    let (zero, half, one) = (R::from(0.0), R::from(0.5), R::from(1.0));
    let from_below = R::select(x.gt(lower), one, R::select(x.lt(lower), zero, half));
    R::select(x.lt(upper), from_below, R::select(x.gt(upper), zero, from_below * half))
}

/// Returns the derivative of `max(x, 0)`: 0.5 at 0.
#[inline(always)]
fn positive_derivative<R: Real>(x: R) -> R {
    let zero = R::from(0.0);
    R::select(x.gt(zero), R::from(1.0), R::select(x.lt(zero), zero, R::from(0.5)))
}

/// Returns `weight * term`, or 0 if the weight is 0: a class with label 0 may have an infinite logit.
#[inline(always)]
fn weighted<R: Real>(weight: R, term: R) -> R {
    let zero = R::from(0.0);
    R::select(weight.eq(zero), zero, weight * term)
}
