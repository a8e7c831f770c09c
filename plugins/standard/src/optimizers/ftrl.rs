//! FTRL, follow the regularized leader.

use super::bounded;
use plugfit_api::{optimizer::OptimizerInfo, prelude::*};

/// FTRL-Proximal with L1, L2 and shrinkage penalties, for sparse models of many features. McMahan et al. 2013.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::FTRL)]
pub struct Ftrl {
    /// The exponent `p` of the decay: the rate is multiplied by the sum of squares to the power `p`.
    #[config(default = -0.5, range = ..=0.0)]
    learning_rate_power: f64,
    /// The initial value of the sums of squares.
    #[config(default = 0.1, range = 0.0..)]
    initial_accumulator_value: f64,
    /// The strength of the L1 penalty.
    #[config(default = 0.0, range = 0.0..)]
    l1_regularization_strength: f64,
    /// The strength of the L2 penalty.
    #[config(default = 0.0, range = 0.0..)]
    l2_regularization_strength: f64,
    /// The strength of the L2 shrinkage, which is added to the gradient.
    #[config(default = 0.0, range = 0.0..)]
    l2_shrinkage_regularization_strength: f64,
    /// The paper's beta; it adds `beta / (2 rate)` to the strength of the L2 penalty.
    #[config(default = 0.0)]
    beta: f64,
}

#[formula]
impl ElementwiseOptimizer<2, 4> for Ftrl {
    fn info(&self) -> OptimizerInfo {
        // The sums determine a parameter, independent of its previous value.
        OptimizerInfo { still_at_zero: false, ..OptimizerInfo::default() }
    }

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulator", self.initial_accumulator_value), ("linear", 0.0)]
    }
    /// Returns the learning rate, the L1 strength, twice the L2 strength including the part of `beta`, and twice the
    /// strength of the shrinkage.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 4] {
        let rate = step.learning_rate;
        [
            rate,
            R::from(self.l1_regularization_strength),
            R::from(self.beta) / rate + 2.0 * self.l2_regularization_strength,
            R::from(2.0 * self.l2_shrinkage_regularization_strength),
        ]
    }
    fn update<R: Real>(
        &self,
        &[rate, l1, l2, shrinkage]: &[R; 4],
        parameter: R,
        gradient: R,
        [sum, linear]: [R; 2],
    ) -> (R, [R; 2]) {
        let zero = R::from(0.0);
        let power = -self.learning_rate_power;
        let raised = |x: R| if power == 0.5 { x.sqrt() } else { x.powf(power) };
        let grown = bounded(sum + gradient * gradient);
        let (before, after) = (raised(sum), raised(grown));
        let moved_linear = linear + gradient + shrinkage * parameter - (after - before) / rate * parameter;
        let size = after / rate + l2;
        let moved = (moved_linear.max(-l1).min(l1) - moved_linear) / size;
        // At a rate of 0, as at the start of a warm-up, the formula yields NaN.
        let stays = rate.eq(zero);
        let keep = |new: R, old: R| R::select(stays, old, new);
        (keep(R::select(size.eq(zero), parameter, moved), parameter), [keep(grown, sum), keep(moved_linear, linear)])
    }
}
