//! Adam and its variants: moving averages of gradients divided by the root of averaged squares.

use super::{LEAST_EPSILON, LEAST_EPSILON_OF_SQUARES, bounded};
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
        impl ElementwiseOptimizer<3> for $name {
            type Numbers = Moments;

            fn slots(&self) -> Vec<(&'static str, f64)> {
                let names = ["momentum", "velocity", "velocity_hat"];
                names[..if self.amsgrad { 3 } else { 2 }].iter().map(|name| (*name, 0.0)).collect()
            }
            fn numbers(&self, step: &Step) -> Moments {
                Moments::new(step, self.beta_1, self.beta_2, self.epsilon)
            }
            fn update(&self, moments: &Moments, parameter: f32, gradient: f32, slots: [f32; 3]) -> (f32, [f32; 3]) {
                moments.step(self.amsgrad, parameter, gradient, slots)
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

/// The constants of one step of Adam.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The learning rate, including both bias corrections.
    rate: f32,
    /// The weight of a gradient in its average.
    first: f32,
    /// The weight of a square in the average of squares.
    second: f32,
    epsilon: f32,
}

impl Moments {
    fn new(step: &Step, beta_1: f64, beta_2: f64, epsilon: f64) -> Self {
        let correction = (1.0 - beta_2.powf(step.number())).sqrt() / (1.0 - beta_1.powf(step.number()));
        Moments {
            rate: (step.learning_rate * correction) as f32,
            first: (1.0 - beta_1) as f32,
            second: (1.0 - beta_2) as f32,
            epsilon: epsilon.max(LEAST_EPSILON) as f32,
        }
    }

    #[inline(always)]
    fn step(&self, amsgrad: bool, parameter: f32, gradient: f32, [m, v, greatest]: [f32; 3]) -> (f32, [f32; 3]) {
        let m = normal(m + (gradient - m) * self.first);
        let v = normal(v + (squared(gradient) - v) * self.second);
        let greatest = if amsgrad { greatest.max(v) } else { v };
        (parameter - m * self.rate / (greatest.sqrt() + self.epsilon), [m, v, greatest])
    }
}

/// Returns the moment, or 0 if it is subnormal. The moments of dead units decay to subnormal numbers, on which
/// arithmetic is many times slower. A step below 1e-38 changes no parameter.
#[inline(always)]
fn normal(moment: f32) -> f32 {
    if moment.abs() < f32::MIN_POSITIVE { 0.0 } else { moment }
}

/// Returns the bounded square of a gradient, or 0 if it would be subnormal.
#[inline(always)]
fn squared(gradient: f32) -> f32 {
    let gradient = if gradient.abs() < 1.1e-19 { 0.0 } else { gradient };
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
impl ElementwiseOptimizer<2> for Adamax {
    /// The bias-corrected learning rate, the weight of a new gradient, the decay rate of the norm, and epsilon.
    type Numbers = (f32, f32, f32, f32);

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0), ("norm", 0.0)]
    }
    fn numbers(&self, step: &Step) -> Self::Numbers {
        let rate = step.learning_rate / (1.0 - self.beta_1.powf(step.number()));
        let epsilon = self.epsilon.max(LEAST_EPSILON_OF_SQUARES);
        (rate as f32, (1.0 - self.beta_1) as f32, self.beta_2 as f32, epsilon as f32)
    }
    fn update(
        &self,
        &(rate, new, decay, epsilon): &Self::Numbers,
        parameter: f32,
        gradient: f32,
        [m, u]: [f32; 2],
    ) -> (f32, [f32; 2]) {
        let m = m + (gradient - m) * new;
        let u = (decay * u).max(gradient.abs());
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

impl Nadam {
    /// Returns the momentum coefficient at step number `step`.
    fn share(&self, step: f64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * 0.96_f64.powf(step))
    }

    /// Returns the product of the coefficients up to step number `step`. From step 1000 on, each equals beta_1 in
    /// float64.
    fn product(&self, step: u64) -> f64 {
        let varying = step.min(1000);
        let product: f64 = (1..=varying).map(|step| self.share(step as f64)).product();
        product * self.beta_1.powf((step - varying) as f64)
    }
}

/// The constants of one step of Nadam.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// The factors of the average and of the gradient.
    average: f32,
    gradient: f32,
    first: f32,
    second: f32,
    /// The bias correction of the average of squares.
    correction: f32,
    epsilon: f32,
}

#[formula]
impl ElementwiseOptimizer<2> for Nadam {
    type Numbers = Ahead;

    fn slots(&self) -> Vec<(&'static str, f64)> {
        vec![("momentum", 0.0), ("velocity", 0.0)]
    }
    fn numbers(&self, step: &Step) -> Ahead {
        let number = step.number();
        let (now, next, product) = (self.share(number), self.share(number + 1.0), self.product(step.iteration + 1));
        Ahead {
            average: (step.learning_rate * next / (1.0 - product * next)) as f32,
            gradient: (step.learning_rate * (1.0 - now) / (1.0 - product)) as f32,
            first: (1.0 - self.beta_1) as f32,
            second: (1.0 - self.beta_2) as f32,
            correction: (1.0 / (1.0 - self.beta_2.powf(number))) as f32,
            epsilon: self.epsilon.max(LEAST_EPSILON) as f32,
        }
    }
    fn update(&self, ahead: &Ahead, parameter: f32, gradient: f32, [m, v]: [f32; 2]) -> (f32, [f32; 2]) {
        let m = m + (gradient - m) * ahead.first;
        let v = v + (bounded(gradient * gradient) - v) * ahead.second;
        let change = ahead.average * m + ahead.gradient * gradient;
        (parameter - change / ((v * ahead.correction).sqrt() + ahead.epsilon), [m, v])
    }
}
