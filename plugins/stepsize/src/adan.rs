//! Nesterov momentum from differences of gradients.

use crate::LEAST_EPSILON;
use plugfit_api::prelude::*;

/// Adan: averages of the gradient, of its change, and of the square of where both lead. Xie et al. 2022.
#[derive(Clone, Debug, Config)]
pub struct Adan {
    /// How much of the gradient's average stays in a step.
    #[config(default = 0.98, range = 0.0..1.0)]
    beta_1: f64,
    /// How much of the changes' average stays in a step.
    #[config(default = 0.92, range = 0.0..1.0)]
    beta_2: f64,
    /// How much of the squares' average stays in a step.
    #[config(default = 0.99, range = 0.0..1.0)]
    beta_3: f64,
    /// Added to the divisor.
    #[config(default = 1e-8, range = 0.0..)]
    epsilon: f64,
}

/// What a step computes once.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    rate: f32,
    new: [f32; 3],
    /// By what the averages are multiplied, because they start at 0.
    corrections: [f32; 3],
    beta_2: f32,
    epsilon: f32,
    /// There is no gradient before the first.
    is_first: bool,
}

#[formula]
impl ElementwiseOptimizer<4> for Adan {
    type Numbers = Numbers;

    fn slots(&self) -> Vec<(&'static str, f64)> {
        ["momentum", "change", "velocity", "last_gradient"].map(|name| (name, 0.0)).to_vec()
    }

    fn numbers(&self, step: &Step) -> Numbers {
        let betas = [self.beta_1, self.beta_2, self.beta_3];
        Numbers {
            rate: step.learning_rate as f32,
            new: betas.map(|beta| (1.0 - beta) as f32),
            corrections: betas.map(|beta| (1.0 / (1.0 - beta.powf(step.number()))) as f32),
            beta_2: self.beta_2 as f32,
            epsilon: self.epsilon.max(LEAST_EPSILON) as f32,
            is_first: step.iteration == 0,
        }
    }

    fn update(&self, n: &Numbers, parameter: f32, gradient: f32, [m, v, s, last]: [f32; 4]) -> (f32, [f32; 4]) {
        let change = if n.is_first { 0.0 } else { gradient - last };
        let ahead = gradient + n.beta_2 * change;
        let m = m + (gradient - m) * n.new[0];
        let v = v + (change - v) * n.new[1];
        let square = ahead * ahead;
        // An average that was infinite once would become NaN.
        let s = s + (if square > f32::MAX { f32::MAX } else { square } - s) * n.new[2];
        let [of_m, of_v, of_s] = n.corrections;
        let step = (m * of_m + n.beta_2 * v * of_v) / ((s * of_s).sqrt() + n.epsilon);
        (parameter - n.rate * step, [m, v, s, gradient])
    }
}
