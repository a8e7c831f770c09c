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

#[formula]
impl ElementwiseOptimizer<4, 10> for Adan {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        ["momentum", "change", "velocity", "last_gradient"].map(|name| (name, 0.0)).to_vec()
    }

    /// Returns the learning rate, the weights of new values in the three averages, the factors that correct the bias of
    /// the averages, beta_2, epsilon, and whether there is a previous gradient (0 or 1).
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 10] {
        let betas = [self.beta_1, self.beta_2, self.beta_3];
        let one = R::from(1.0);
        let [a, b, c] = betas.map(|beta| R::from(1.0 - beta));
        let [d, e, f] = betas.map(|beta| one / -(step.number * beta.ln()).exp_m1());
        let has_previous = R::select(step.number.gt(one), one, R::from(0.0));
        let epsilon = R::from(self.epsilon.max(LEAST_EPSILON));
        [step.learning_rate, a, b, c, d, e, f, R::from(self.beta_2), epsilon, has_previous]
    }

    fn update<R: Real>(
        &self,
        &[rate, a, b, c, d, e, f, beta_2, epsilon, has_previous]: &[R; 10],
        parameter: R,
        gradient: R,
        [m, v, s, last]: [R; 4],
    ) -> (R, [R; 4]) {
        let zero = R::from(0.0);
        let change = R::select(has_previous.eq(zero), zero, gradient - last);
        let ahead = gradient + beta_2 * change;
        let m = m + (gradient - m) * a;
        let v = v + (change - v) * b;
        // Bound the square: an infinite average would turn into NaN later.
        let (square, most) = (ahead * ahead, R::from(f32::MAX.into()));
        let s = s + (R::select(square.gt(most), most, square) - s) * c;
        let step = (m * d + beta_2 * v * e) / ((s * f).sqrt() + epsilon);
        (parameter - rate * step, [m, v, s, gradient])
    }
}
