//! The formula of an elementwise optimizer.

use super::ElementwiseOptimizer;
use crate::{formula::Formula, Real, Result};

/// Returns the formula of an elementwise optimizer.
///
/// # Errors
/// Returns an error if the formula can't be recorded.
pub(crate) fn elementwise_optimizer<const N: usize, const M: usize>(
    optimizer: &impl ElementwiseOptimizer<N, M>,
) -> Result<Formula> {
    Formula::of_parameter(&optimizer.slots(), |step, parameter, gradient, slots| {
        let numbers = optimizer.numbers(step);
        let before = std::array::from_fn(|k| slots.get(k).copied().unwrap_or_else(|| Real::from(0.0)));
        let (parameter, after) = optimizer.update(&numbers, parameter, gradient, before);
        (parameter, after.into())
    })
}
