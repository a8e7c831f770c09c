//! Stochastic gradient descent.

use plugfit_api::prelude::*;

/// Stochastic gradient descent, optionally with momentum (Polyak 1964) or Nesterov momentum (Sutskever et al. 2013).
#[derive(Clone, Debug, Config)]
#[config(name = "SGD", base(learning_rate = 0.01))]
#[config(examples = super::examples::SGD)]
pub struct Sgd {
    /// The fraction of the previous step that is added to a step.
    #[config(default = 0.0, range = 0.0..=1.0)]
    momentum: f64,
    /// Whether to use Nesterov momentum; without momentum it has no effect.
    #[config(default = false)]
    nesterov: bool,
}

#[formula]
impl ElementwiseOptimizer<1> for Sgd {
    /// The momentum and the learning rate.
    type Numbers = (f32, f32);

    fn slots(&self) -> Vec<(&'static str, f64)> {
        if self.momentum > 0.0 { vec![("momentum", 0.0)] } else { Vec::new() }
    }

    fn numbers(&self, step: &Step) -> (f32, f32) {
        (self.momentum as f32, step.learning_rate as f32)
    }

    fn update(
        &self,
        &(momentum, rate): &(f32, f32),
        parameter: f32,
        gradient: f32,
        [velocity]: [f32; 1],
    ) -> (f32, [f32; 1]) {
        let velocity = momentum * velocity - rate * gradient;
        let change = if self.nesterov { momentum * velocity - rate * gradient } else { velocity };
        (parameter + change, [velocity])
    }
}
