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
impl ElementwiseOptimizer<1, 2> for Sgd {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        if self.momentum > 0.0 { vec![("momentum", 0.0)] } else { Vec::new() }
    }

    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 2] {
        [R::from(self.momentum), step.learning_rate]
    }

    fn update<R: Real>(
        &self,
        &[momentum, rate]: &[R; 2],
        parameter: R,
        gradient: R,
        [velocity]: [R; 1],
    ) -> (R, [R; 1]) {
        let velocity = momentum * velocity - rate * gradient;
        let change = if self.nesterov { momentum * velocity - rate * gradient } else { velocity };
        (parameter + change, [velocity])
    }
}
