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
impl ElementwiseOptimizer<1, 5> for Lion {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0)]
    }
    /// Returns the learning rate, and for each beta the weights of the average and of the gradient.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 5] {
        let [old, new] = [self.beta_1, 1.0 - self.beta_1].map(R::from);
        let [kept, added] = [self.beta_2, 1.0 - self.beta_2].map(R::from);
        [step.learning_rate, old, new, kept, added]
    }
    fn update<R: Real>(
        &self,
        &[rate, old, new, kept, added]: &[R; 5],
        parameter: R,
        gradient: R,
        [m]: [R; 1],
    ) -> (R, [R; 1]) {
        (parameter - rate * (old * m + new * gradient).sign(), [kept * m + added * gradient])
    }
}
