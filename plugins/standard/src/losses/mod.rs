//! Losses, one file for each family. Names, conventions and edge cases are those of Keras 3.

mod binary;
mod categorical;
mod circle;
mod ctc;
mod divergence;
mod hinge;
mod kernels;
mod overlap;
mod regression;
mod shared;
mod similarity;
mod sparse;

pub use binary::{BinaryCrossentropy, BinaryFocalCrossentropy};
pub use categorical::{CategoricalCrossentropy, CategoricalFocalCrossentropy};
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

use plugfit_api::Real;

/// Keras's `epsilon()`, which keeps logarithms and quotients finite.
const EPSILON: f64 = 1e-7;

/// Returns the derivative of `clamp(x, lower, upper)`: 1 inside, 0 outside, 0.5 at a bound.
#[inline(always)]
fn clamp_derivative<R: Real>(x: R, lower: f64, upper: f64) -> R {
    let (lower, upper) = (R::from(lower), R::from(upper));
    let (zero, half, one) = (R::from(0.0), R::from(0.5), R::from(1.0));
    let from_below = R::select(x > lower, one, R::select(x < lower, zero, half));
    R::select(x < upper, from_below, R::select(x > upper, zero, from_below * half))
}

/// Returns the derivative of `max(x, 0)`: 0.5 at 0.
#[inline(always)]
fn positive_derivative<R: Real>(x: R) -> R {
    let zero = R::from(0.0);
    R::select(x > zero, R::from(1.0), R::select(x < zero, zero, R::from(0.5)))
}

/// Returns `weight * term`, or 0 if the weight is 0: a class with label 0 may have an infinite logit.
#[inline(always)]
fn weighted<R: Real>(weight: R, term: R) -> R {
    let zero = R::from(0.0);
    R::select(weight == zero, zero, weight * term)
}
