//! Lion, an optimizer of sign updates.

use plugfit_api::prelude::*;

/// Lion: steps by the sign of a weighted mean of the gradient and its moving average. Chen et al. 2023.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::LION)]
pub struct Lion {
    /// The weight of the moving average in a step.
    #[config(default = 0.9, above = 0.0, range = ..=1.0)]
    beta_1: f64,
    /// The decay rate of the moving average.
    #[config(default = 0.99, range = 0.0..=1.0)]
    beta_2: f64,
}

#[formula]
impl ElementwiseOptimizer<1> for Lion {
    /// The learning rate, and for each beta the weights of the average and of the gradient.
    type Numbers = (f32, [f32; 2], [f32; 2]);

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0)]
    }
    fn numbers(&self, step: &Step) -> Self::Numbers {
        let shares = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        (step.learning_rate as f32, shares(self.beta_1), shares(self.beta_2))
    }
    fn update(
        &self,
        &(rate, step, average): &Self::Numbers,
        parameter: f32,
        gradient: f32,
        [m]: [f32; 1],
    ) -> (f32, [f32; 1]) {
        let blend = step[0] * m + step[1] * gradient;
        let sign = if blend == 0.0 || blend.is_nan() { blend } else { 1.0_f32.copysign(blend) };
        (parameter - rate * sign, [average[0] * m + average[1] * gradient])
    }
}
