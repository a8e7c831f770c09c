//! RMSprop: gradients divided by their root mean square.

use super::{LEAST_EPSILON_OF_SQUARES, bounded};
use plugfit_api::prelude::*;

/// RMSprop: the gradient divided by the root of a moving average of its square. Hinton 2012; centered: Graves 2013.
#[derive(Clone, Debug, Config)]
#[config(name = "RMSprop")]
#[config(examples = super::examples::RMS_PROP)]
pub struct RmsProp {
    /// The decay rate of the average of squares.
    #[config(default = 0.9, range = 0.0..=1.0)]
    rho: f64,
    /// The fraction of the previous step that is added to a step.
    #[config(default = 0.0, range = 0.0..=1.0)]
    momentum: f64,
    /// Added to the mean square or the variance, inside the root.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
    /// Whether to divide by the standard deviation of the gradient instead of the root mean square.
    #[config(default = false)]
    centered: bool,
}

#[formula]
impl ElementwiseOptimizer<3, 5> for RmsProp {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        let mut slots = vec![("velocity", 0.0)];
        if self.centered {
            slots.push(("average_gradient", 0.0));
        }
        if self.momentum > 0.0 {
            slots.push(("momentum", 0.0));
        }
        slots
    }

    /// Returns the learning rate, the weights of the averages and of new values, the momentum, and epsilon.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 5] {
        let epsilon = self.epsilon.max(LEAST_EPSILON_OF_SQUARES);
        let [old, new, momentum, epsilon] = [self.rho, 1.0 - self.rho, self.momentum, epsilon].map(R::from);
        [step.learning_rate, old, new, momentum, epsilon]
    }

    fn update<R: Real>(
        &self,
        &[rate, old, new, momentum, epsilon]: &[R; 5],
        parameter: R,
        gradient: R,
        [velocity, second, third]: [R; 3],
    ) -> (R, [R; 3]) {
        // If not centered, the momentum is the second slot, and there is no third.
        let zero = R::from(0.0);
        let velocity = old * velocity + new * bounded(gradient * gradient);
        let average = if self.centered { old * second + new * gradient } else { zero };
        let variance = if self.centered { velocity - bounded(average * average) } else { velocity };
        // Rounding may make the variance negative.
        let variance = R::select(variance.lt(zero), zero, variance);
        let size = (variance + epsilon).sqrt();
        let last = if self.centered { third } else { second };
        let change = momentum * last + rate * gradient / size;
        (parameter - change, if self.centered { [velocity, average, change] } else { [velocity, change, zero] })
    }
}
