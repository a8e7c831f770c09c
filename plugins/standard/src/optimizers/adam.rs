//! Gradients divided by their own size, as moving averages know it.

use super::{LEAST_EPSILON, LEAST_EPSILON_OF_SQUARES, bounded};
use plugfit_api::prelude::*;

/// Adam: averages of the gradient and of its square, both corrected for their start at 0. Kingma & Ba 2014; amsgrad: Reddi et al. 2018.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.7957066, -1.900637, 0.4022896]}"#
)]
#[config(
    example = r#"{"config": {"amsgrad": true, "beta_2": 0.5}, "start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.7989321, -1.900859, 0.4041727]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, 0], [0.1, 0.2, -0.4, 0.6]], "learning_rate": 0.1, "gives": [0.8976114, -2.018904, 0.5006793, -0.1495727]}"#
)]
#[config(
    example = r#"{"config": {"amsgrad": true, "beta_2": 0.5}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.7786703, -1.927162, 0.4336914, -0.3268888]}"#
)]
pub struct Adam {
    /// How much of the gradient's average stays in a step.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// How much of the squares' average stays in a step.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the divisor.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
    /// Whether to divide by the greatest average of squares so far.
    #[config(default = false)]
    amsgrad: bool,
}

/// Adam with a weight decay that isn't part of the gradient. Loshchilov & Hutter 2017.
#[derive(Clone, Debug, Config)]
#[config(base(weight_decay = 0.004))]
#[config(
    example = r#"{"start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.7957066, -1.900637, 0.4022896]}"#
)]
#[config(
    example = r#"{"config": {"amsgrad": true, "beta_2": 0.5}, "start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.7989321, -1.900859, 0.4041727]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, 0], [0.1, 0.2, -0.4, 0.6]], "learning_rate": 0.1, "gives": [0.8976114, -2.018904, 0.5006793, -0.1495727]}"#
)]
#[config(
    example = r#"{"config": {"amsgrad": true, "beta_1": 0.6, "beta_2": 0.3}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.8504731, -1.972392, 0.4547675, -0.2940581]}"#
)]
pub struct AdamW {
    /// How much of the gradient's average stays in a step.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// How much of the squares' average stays in a step.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the divisor.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
    /// Whether to divide by the greatest average of squares so far.
    #[config(default = false)]
    amsgrad: bool,
}

/// What a step of Adam computes once.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// The learning rate with both bias corrections.
    rate: f32,
    /// How much of a gradient goes into its average.
    first: f32,
    /// How much of a square goes into their average.
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

/// Zero for what is too small to be a normal number. The moments of a unit that is dead go there, and arithmetic on subnormal
/// numbers takes many times as long; a step of below 1e-38 moves no parameter.
#[inline(always)]
fn normal(moment: f32) -> f32 {
    if moment.abs() < f32::MIN_POSITIVE { 0.0 } else { moment }
}

/// The square, where it is a normal number.
#[inline(always)]
fn squared(gradient: f32) -> f32 {
    let gradient = if gradient.abs() < 1.1e-19 { 0.0 } else { gradient };
    bounded(gradient * gradient)
}

fn slots(amsgrad: bool) -> Vec<(&'static str, f64)> {
    let names = ["momentum", "velocity", "velocity_hat"];
    names[..if amsgrad { 3 } else { 2 }].iter().map(|name| (*name, 0.0)).collect()
}

#[formula]
impl ElementwiseOptimizer<3> for Adam {
    type Numbers = Moments;

    fn slots(&self) -> Vec<(&'static str, f64)> {
        slots(self.amsgrad)
    }
    fn numbers(&self, step: &Step) -> Moments {
        Moments::new(step, self.beta_1, self.beta_2, self.epsilon)
    }
    fn update(&self, moments: &Moments, parameter: f32, gradient: f32, slots: [f32; 3]) -> (f32, [f32; 3]) {
        moments.step(self.amsgrad, parameter, gradient, slots)
    }
}

#[formula]
impl ElementwiseOptimizer<3> for AdamW {
    type Numbers = Moments;

    fn slots(&self) -> Vec<(&'static str, f64)> {
        slots(self.amsgrad)
    }
    fn numbers(&self, step: &Step) -> Moments {
        Moments::new(step, self.beta_1, self.beta_2, self.epsilon)
    }
    fn update(&self, moments: &Moments, parameter: f32, gradient: f32, slots: [f32; 3]) -> (f32, [f32; 3]) {
        moments.step(self.amsgrad, parameter, gradient, slots)
    }
}

/// Adam with the greatest recent gradient in place of the root mean square. Kingma & Ba 2014.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.816648, -1.902542, 0.4042242]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, 0], [0.1, 0.2, -0.4, 0.6]], "learning_rate": 0.1, "gives": [0.8764762, -2.00252, 0.4818572, -0.1266387]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.6, "beta_2": 0.3}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.8243528, -2.037524, 0.4786494, -0.3345778]}"#
)]
pub struct Adamax {
    /// How much of the gradient's average stays in a step.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// How much of the greatest gradient stays in a step.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the divisor.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

#[formula]
impl ElementwiseOptimizer<2> for Adamax {
    /// The learning rate corrected, what comes into the average, what stays of the greatest, epsilon.
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
        &(rate, new, kept, epsilon): &Self::Numbers,
        parameter: f32,
        gradient: f32,
        [m, u]: [f32; 2],
    ) -> (f32, [f32; 2]) {
        let m = m + (gradient - m) * new;
        let u = (kept * u).max(gradient.abs());
        (parameter - rate * m / (u + epsilon), [m, u])
    }
}

/// Adam with Nesterov momentum. Dozat 2016.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"start": [1.0, -2.0, 0.5], "gradients": [[0.5, -1, 0.1], [0.25, 0.5, -0.2], [-0.5, 1, 0.3]], "learning_rate": 0.1, "gives": [0.90483, -2.001966, 0.398715]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 0.1}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, 0], [0.1, 0.2, -0.4, 0.6]], "learning_rate": 0.1, "gives": [0.9098639, -2.062568, 0.5162868, -0.2052849]}"#
)]
#[config(
    example = r#"{"config": {"beta_1": 0.6, "beta_2": 0.3}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.9075385, -2.002109, 0.4669242, -0.2375323]}"#
)]
pub struct Nadam {
    /// How much of the gradient's average stays in a step, in the end; it starts at half of it.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// How much of the squares' average stays in a step.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the divisor.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

impl Nadam {
    /// The share of the average in step number `step`.
    fn share(&self, step: f64) -> f64 {
        self.beta_1 * (1.0 - 0.5 * 0.96_f64.powf(step))
    }

    /// The product of the shares up to step number `step`. From step 1000 on each is beta_1 to the last digit.
    fn product(&self, step: u64) -> f64 {
        let varying = step.min(1000);
        let product: f64 = (1..=varying).map(|step| self.share(step as f64)).product();
        product * self.beta_1.powf((step - varying) as f64)
    }
}

/// What a step of Nadam computes once.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// By what the average, and by what the gradient is multiplied.
    average: f32,
    gradient: f32,
    first: f32,
    second: f32,
    /// By what the average of squares is multiplied.
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
