//! Adan: Nesterov momentum estimated from differences of gradients.

use crate::LEAST_EPSILON;
use plugfit_api::prelude::*;

/// Adan: moving averages of the gradient, of its change, and of the square of the extrapolated gradient.
/// Xie et al. 2022.
#[derive(Clone, Debug, Config)]
pub struct Adan {
    /// The decay rate of the gradient's average.
    #[config(default = 0.98, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the average of gradient differences.
    #[config(default = 0.92, range = 0.0..1.0)]
    beta_2: f64,
    /// The decay rate of the average of squares.
    #[config(default = 0.99, range = 0.0..1.0)]
    beta_3: f64,
    /// Added to the denominator.
    #[config(default = 1e-8, range = 0.0..)]
    epsilon: f64,
}

/// The constants of one step.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    rate: f32,
    new: [f32; 3],
    /// Bias corrections: factors of the averages, which start at 0.
    corrections: [f32; 3],
    beta_2: f32,
    epsilon: f32,
    /// In the first step there is no previous gradient.
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
        // Bound the square: an infinite average would turn into NaN later.
        let s = s + (if square > f32::MAX { f32::MAX } else { square } - s) * n.new[2];
        let [m_correction, v_correction, s_correction] = n.corrections;
        let step = (m * m_correction + n.beta_2 * v * v_correction) / ((s * s_correction).sqrt() + n.epsilon);
        (parameter - n.rate * step, [m, v, s, gradient])
    }
}
