//! Gradients divided by their own size, as moving averages know it.

use plugfit_api::prelude::*;

/// Adam: averages of the gradient and of its square, both corrected for their start at 0. Kingma & Ba 2014; amsgrad: Reddi et al. 2018.
#[derive(Clone, Debug, Config)]
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
            epsilon: epsilon as f32,
        }
    }

    #[inline(always)]
    fn step(&self, amsgrad: bool, parameter: f32, gradient: f32, [m, v, greatest]: [f32; 3]) -> (f32, [f32; 3]) {
        let m = m + (gradient - m) * self.first;
        let v = v + (gradient * gradient - v) * self.second;
        let greatest = if amsgrad { greatest.max(v) } else { v };
        (parameter - m * self.rate / (greatest.sqrt() + self.epsilon), [m, v, greatest])
    }
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
