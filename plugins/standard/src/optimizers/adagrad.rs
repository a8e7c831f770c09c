//! Adagrad and Adadelta: steps divided by the root of a sum or an average of squared gradients.

use super::{LEAST_EPSILON_OF_SQUARES, bounded};
use plugfit_api::prelude::*;

/// Adagrad: the gradient divided by the root of the sum of its past squares. Duchi, Hazan & Singer 2011.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ADAGRAD)]
pub struct Adagrad {
    /// The initial value of the sums of squares.
    #[config(default = 0.1, range = 0.0..)]
    initial_accumulator_value: f64,
    /// Added to the sum of squares.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

#[formula]
impl ElementwiseOptimizer<1> for Adagrad {
    /// The learning rate and epsilon.
    type Numbers = (f32, f32);

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulator", self.initial_accumulator_value)]
    }
    fn numbers(&self, step: &Step) -> (f32, f32) {
        (step.learning_rate as f32, self.epsilon.max(LEAST_EPSILON_OF_SQUARES) as f32)
    }
    fn update(&self, &(rate, epsilon): &(f32, f32), parameter: f32, gradient: f32, [sum]: [f32; 1]) -> (f32, [f32; 1]) {
        let sum = bounded(sum + gradient * gradient);
        (parameter - rate * gradient / (sum + epsilon).sqrt(), [sum])
    }
}

/// Adadelta: the gradient scaled by the ratio of moving averages of past steps and past gradients. Zeiler 2012.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ADADELTA)]
pub struct Adadelta {
    /// The decay rate of both averages.
    #[config(default = 0.95, range = 0.0..=1.0)]
    rho: f64,
    /// Added to both averages.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

#[formula]
impl ElementwiseOptimizer<2> for Adadelta {
    /// The learning rate, the weights of the averages and of new squares, and epsilon.
    type Numbers = (f32, f32, f32, f32);

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulated_grad", 0.0), ("accumulated_delta_var", 0.0)]
    }
    fn numbers(&self, step: &Step) -> Self::Numbers {
        let epsilon = self.epsilon.max(LEAST_EPSILON_OF_SQUARES);
        (step.learning_rate as f32, self.rho as f32, (1.0 - self.rho) as f32, epsilon as f32)
    }
    fn update(
        &self,
        &(rate, old, new, epsilon): &Self::Numbers,
        parameter: f32,
        gradient: f32,
        [squares, steps]: [f32; 2],
    ) -> (f32, [f32; 2]) {
        let squares = old * squares + new * bounded(gradient * gradient);
        let change = -(steps + epsilon).sqrt() * gradient / (squares + epsilon).sqrt();
        (parameter + rate * change, [squares, old * steps + new * change * change])
    }
}
