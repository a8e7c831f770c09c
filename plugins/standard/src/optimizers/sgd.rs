//! Stochastic gradient descent.

use plugfit_api::prelude::*;

/// Stochastic gradient descent, optionally with momentum (Polyak 1964) or Nesterov momentum (Sutskever et al. 2013).
#[derive(Clone, Debug, Config)]
#[config(name = "SGD", base(learning_rate = 0.01))]
#[config(
    example = r#"{"config": {"momentum": 0.9}, "start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.867, -1.924, 0.4809]}"#
)]
#[config(
    example = r#"{"config": {"momentum": 0.9, "nesterov": true}, "start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.8552999, -1.9816, 0.46281]}"#
)]
#[config(
    example = r#"{"start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.975, -2.05, 0.48]}"#
)]
#[config(
    example = r#"{"config": {"momentum": 0.5, "nesterov": true}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.944375, -2.0175, 0.5253125, -0.13875]}"#
)]
#[config(
    example = r#"{"config": {"momentum": 0.5}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.93875, -2.035, 0.520625, -0.1375]}"#
)]
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
