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

/// The constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    rate: f32,
    old: f32,
    new: f32,
    momentum: f32,
    epsilon: f32,
}

#[formula]
impl ElementwiseOptimizer<3> for RmsProp {
    type Numbers = Numbers;

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

    fn numbers(&self, step: &Step) -> Numbers {
        Numbers {
            rate: step.learning_rate as f32,
            old: self.rho as f32,
            new: (1.0 - self.rho) as f32,
            momentum: self.momentum as f32,
            epsilon: self.epsilon.max(LEAST_EPSILON_OF_SQUARES) as f32,
        }
    }

    fn update(&self, numbers: &Numbers, parameter: f32, gradient: f32, slots: [f32; 3]) -> (f32, [f32; 3]) {
        let Numbers { rate, old, new, momentum, epsilon } = *numbers;
        // If not centered, the momentum is the second slot, and there is no third.
        let [velocity, second, third] = slots;
        let velocity = old * velocity + new * bounded(gradient * gradient);
        let average = if self.centered { old * second + new * gradient } else { 0.0 };
        // Rounding may make the variance negative.
        let variance = velocity - bounded(average * average);
        let variance = if variance < 0.0 { 0.0 } else { variance };
        let size = (variance + epsilon).sqrt();
        let last = if self.centered { third } else { second };
        let change = momentum * last + rate * gradient / size;
        (parameter - change, if self.centered { [velocity, average, change] } else { [velocity, change, 0.0] })
    }
}
