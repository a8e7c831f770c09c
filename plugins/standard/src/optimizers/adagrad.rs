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
impl ElementwiseOptimizer<1, 2> for Adagrad {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulator", self.initial_accumulator_value)]
    }
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 2] {
        [step.learning_rate, R::from(self.epsilon.max(LEAST_EPSILON_OF_SQUARES))]
    }
    fn update<R: Real>(&self, &[rate, epsilon]: &[R; 2], parameter: R, gradient: R, [sum]: [R; 1]) -> (R, [R; 1]) {
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
impl ElementwiseOptimizer<2, 4> for Adadelta {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("accumulated_grad", 0.0), ("accumulated_delta_var", 0.0)]
    }
    /// Returns the learning rate, the weights of the averages and of new squares, and epsilon.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 4] {
        let epsilon = self.epsilon.max(LEAST_EPSILON_OF_SQUARES);
        [step.learning_rate, R::from(self.rho), R::from(1.0 - self.rho), R::from(epsilon)]
    }
    fn update<R: Real>(
        &self,
        &[rate, old, new, epsilon]: &[R; 4],
        parameter: R,
        gradient: R,
        [squares, steps]: [R; 2],
    ) -> (R, [R; 2]) {
        let squares = old * squares + new * bounded(gradient * gradient);
        let change = -(steps + epsilon).sqrt() * gradient / (squares + epsilon).sqrt();
        (parameter + rate * change, [squares, old * steps + new * change * change])
    }
}
