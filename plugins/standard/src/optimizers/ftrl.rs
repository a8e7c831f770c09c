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

/// The constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    rate: f32,
    power: f32,
    l1: f32,
    /// Twice the L2 strength, including the part of `beta`.
    l2: f32,
    shrinkage: f32,
}

#[formula]
impl ElementwiseOptimizer<2> for Ftrl {
    type Numbers = Numbers;

    fn info(&self) -> OptimizerInfo {
        // The sums determine a parameter, independent of its previous value.
        OptimizerInfo { still_at_zero: false, ..OptimizerInfo::default() }
    }

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulator", self.initial_accumulator_value), ("linear", 0.0)]
    }
    fn numbers(&self, step: &Step) -> Numbers {
        Numbers {
            rate: step.learning_rate as f32,
            power: -self.learning_rate_power as f32,
            l1: self.l1_regularization_strength as f32,
            l2: (2.0 * (self.l2_regularization_strength + self.beta / (2.0 * step.learning_rate))) as f32,
            shrinkage: (2.0 * self.l2_shrinkage_regularization_strength) as f32,
        }
    }
    fn update(&self, n: &Numbers, parameter: f32, gradient: f32, [sum, linear]: [f32; 2]) -> (f32, [f32; 2]) {
        // At a rate of 0, as at the start of a warm-up, the formula yields NaN.
        if n.rate == 0.0 {
            return (parameter, [sum, linear]);
        }
        let raised = |x: f32| if n.power == 0.5 { x.sqrt() } else { x.powf(n.power) };
        let grown = bounded(sum + gradient * gradient);
        let (before, after) = (raised(sum), raised(grown));
        let linear = linear + gradient + n.shrinkage * parameter - (after - before) / n.rate * parameter;
        let size = after / n.rate + n.l2;
        let moved = (linear.clamp(-n.l1, n.l1) - linear) / size;
        (if size == 0.0 { parameter } else { moved }, [grown, linear])
    }
}
