//! Adam and its variants: moving averages of gradients divided by the root of averaged squares.

use super::{LEAST_EPSILON, LEAST_EPSILON_OF_SQUARES, bounded, correction};
use plugfit_api::prelude::*;

macro_rules! adam {
    ($(#[$attribute:meta])* $name:ident) => {
        #[derive(Clone, Debug, Config)]
        $(#[$attribute])*
        pub struct $name {
            /// The decay rate of the gradient's average.
            #[config(default = 0.9, range = 0.0..1.0)]
            beta_1: f64,
            /// The decay rate of the average of squares.
            #[config(default = 0.999, range = 0.0..1.0)]
            beta_2: f64,
            /// Added to the denominator.
            #[config(default = 1e-7, range = 0.0..)]
            epsilon: f64,
            /// Whether to divide by the root of the greatest average of squares so far.
            #[config(default = false)]
            amsgrad: bool,
        }

        #[formula]
        impl ElementwiseOptimizer<3, 4> for $name {
            fn slots(&self) -> Vec<(&'static str, f64)> {
                let names = ["momentum", "velocity", "velocity_hat"];
                names[..if self.amsgrad { 3 } else { 2 }].iter().map(|name| (*name, 0.0)).collect()
            }
            /// Returns the learning rate including both bias corrections, the weights of a gradient and of a square in
            /// their averages, and epsilon.
            fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 4] {
                let corrections = correction(self.beta_2, step.number).sqrt() / correction(self.beta_1, step.number);
                let constants = [1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon.max(LEAST_EPSILON)];
                let [first, second, epsilon] = constants.map(R::from);
                [step.learning_rate * corrections, first, second, epsilon]
            }
            fn update<R: Real>(
                &self,
                &[rate, first, second, epsilon]: &[R; 4],
                parameter: R,
                gradient: R,
                [m, v, greatest]: [R; 3],
            ) -> (R, [R; 3]) {
                // The moments of dead units decay to subnormal numbers. A step below 1e-38 changes no parameter.
                let m = (m + (gradient - m) * first).flush_subnormal();
                let v = (v + (squared(gradient) - v) * second).flush_subnormal();
                let greatest = if self.amsgrad { R::select(v.gt(greatest), v, greatest) } else { v };
                (parameter - m * rate / (greatest.sqrt() + epsilon), [m, v, greatest])
            }
        }
    };
}

adam! {
    /// Adam: bias-corrected moving averages of the gradient and of its square.
    /// Kingma & Ba 2014; amsgrad: Reddi et al. 2018.
    #[config(examples = super::examples::ADAM)]
    Adam
}
adam! {
    /// AdamW: Adam with decoupled weight decay. Loshchilov & Hutter 2017.
    #[config(base(weight_decay = 0.004))]
    #[config(examples = super::examples::ADAM_W)]
    AdamW
}

/// Returns the bounded square of a gradient, or 0 if it would be subnormal.
#[inline(always)]
fn squared<R: Real>(gradient: R) -> R {
    let tiny = gradient.abs().lt(R::from(1.1e-19));
    let gradient = R::select(tiny, R::from(0.0), gradient);
    bounded(gradient * gradient)
}

/// Adamax: Adam with the infinity norm, the greatest decayed gradient, instead of the root mean square.
/// Kingma & Ba 2014.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ADAMAX)]
pub struct Adamax {
    /// The decay rate of the gradient's average.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the infinity norm.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

#[formula]
impl ElementwiseOptimizer<2, 4> for Adamax {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0), ("norm", 0.0)]
    }
    /// Returns the bias-corrected learning rate, the weight of a new gradient, the decay rate of the norm, and epsilon.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 4] {
        let epsilon = self.epsilon.max(LEAST_EPSILON_OF_SQUARES);
        let [new, decay, epsilon] = [1.0 - self.beta_1, self.beta_2, epsilon].map(R::from);
        [step.learning_rate / correction(self.beta_1, step.number), new, decay, epsilon]
    }
    fn update<R: Real>(
        &self,
        &[rate, new, decay, epsilon]: &[R; 4],
        parameter: R,
        gradient: R,
        [m, u]: [R; 2],
    ) -> (R, [R; 2]) {
        let m = m + (gradient - m) * new;
        let (old, size) = (decay * u, gradient.abs());
        let u = R::select(size.gt(old), size, old);
        (parameter - rate * m / (u + epsilon), [m, u])
    }
}

/// Nadam: Adam with Nesterov momentum. Dozat 2016.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::NADAM)]
pub struct Nadam {
    /// The final decay rate of the gradient's average; the rate starts at about half of it.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the average of squares.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

/// Nadam's coefficients are `beta_1 (1 - HALF RATE^t)` at step `t`.
const HALF: f64 = 0.5;
const RATE: f64 = 0.96;

/// The factors `(HALF RATE)^k / (k (1 - RATE^k))` for `k` from 1; the first that is left out is below 1e-16.
const WEIGHTS: [f64; 48] = {
    let mut weights = [0.0; 48];
    let (mut k, mut numerator, mut power) = (0, 1.0, 1.0);
    while k < weights.len() {
        (numerator, power) = (numerator * HALF * RATE, power * RATE);
        weights[k] = numerator / ((k + 1) as f64 * (1.0 - power));
        k += 1;
    }
    weights
};

impl Nadam {
    /// Returns the momentum coefficient at step number `step`.
    fn share<R: Real>(&self, step: R) -> R {
        (R::from(1.0) - (step * RATE.ln()).exp() * HALF) * self.beta_1
    }

    /// Returns the product of the coefficients up to step number `step`, in closed form. With `u = RATE^step`,
    /// `sum over t of ln(1 - HALF RATE^t) = -sum over k of (HALF RATE)^k / (k (1 - RATE^k)) (1 - u^k)`.
    fn product<R: Real>(&self, step: R) -> R {
        let u = (step * RATE.ln()).exp();
        // Horner's scheme, from the last term.
        let powers = WEIGHTS.iter().rev().fold(R::from(0.0), |sum, &weight| (sum + weight) * u);
        let total: f64 = WEIGHTS.iter().sum();
        (powers - total + step * self.beta_1.ln()).exp()
    }
}

#[formula]
impl ElementwiseOptimizer<2, 6> for Nadam {
    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0), ("velocity", 0.0)]
    }
    /// Returns the factors of the average and of the gradient, the weights of a gradient and of a square in their
    /// averages, the bias correction of the average of squares, and epsilon.
    fn numbers<R: Real>(&self, step: &FormulaStep<R>) -> [R; 6] {
        let one = R::from(1.0);
        let (number, rate) = (step.number, step.learning_rate);
        let (now, next, product) = (self.share(number), self.share(number + 1.0), self.product(number));
        let constants = [1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon.max(LEAST_EPSILON)];
        let [first, second, epsilon] = constants.map(R::from);
        [
            rate * next / (one - product * next),
            rate * (one - now) / (one - product),
            first,
            second,
            one / correction(self.beta_2, number),
            epsilon,
        ]
    }
    fn update<R: Real>(
        &self,
        &[of_average, of_gradient, first, second, correction, epsilon]: &[R; 6],
        parameter: R,
        gradient: R,
        [m, v]: [R; 2],
    ) -> (R, [R; 2]) {
        let m = m + (gradient - m) * first;
        let v = v + (bounded(gradient * gradient) - v) * second;
        let change = of_average * m + of_gradient * gradient;
        (parameter - change / ((v * correction).sqrt() + epsilon), [m, v])
    }
}
