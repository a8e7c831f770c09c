//! Exponential, inverse-time, polynomial and piecewise-constant schedules.

use plugfit_api::prelude::*;

/// Exponential decay: `initial_learning_rate * decay_rate^(step / decay_steps)`.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::EXPONENTIAL_DECAY)]
pub struct ExponentialDecay {
    /// The rate at step 0.
    initial_learning_rate: f64,
    /// The number of steps after which the rate has been multiplied by `decay_rate` once.
    #[config(above = 0.0)]
    decay_steps: f64,
    /// The factor of the rate per `decay_steps`.
    #[config(range = 0.0..)]
    decay_rate: f64,
    /// Whether the rate changes only at multiples of `decay_steps`.
    #[config(default = false)]
    staircase: bool,
}

impl Schedule for ExponentialDecay {
    fn learning_rate(&self, when: &When) -> f64 {
        self.initial_learning_rate * self.decay_rate.powf(periods(when, self.decay_steps, self.staircase))
    }
}

/// Inverse-time decay: `initial_learning_rate / (1 + decay_rate * step / decay_steps)`.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::INVERSE_TIME_DECAY)]
pub struct InverseTimeDecay {
    /// The rate at step 0.
    initial_learning_rate: f64,
    /// The number of steps after which `decay_rate` has been added to the denominator once.
    #[config(above = 0.0)]
    decay_steps: f64,
    /// The amount added to the denominator per `decay_steps`.
    #[config(range = 0.0..)]
    decay_rate: f64,
    /// Whether the rate changes only at multiples of `decay_steps`.
    #[config(default = false)]
    staircase: bool,
}

impl Schedule for InverseTimeDecay {
    fn learning_rate(&self, when: &When) -> f64 {
        self.initial_learning_rate / (1.0 + self.decay_rate * periods(when, self.decay_steps, self.staircase))
    }
}

fn periods(when: &When, steps: f64, whole: bool) -> f64 {
    let periods = when.step as f64 / steps;
    if whole { periods.floor() } else { periods }
}

/// Polynomial decay from `initial_learning_rate` to `end_learning_rate` along `(1 - step / decay_steps)^power`.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::POLYNOMIAL_DECAY)]
pub struct PolynomialDecay {
    /// The rate at step 0.
    initial_learning_rate: f64,
    /// The number of steps of the decay.
    #[config(above = 0.0)]
    decay_steps: f64,
    /// The rate at the end of the decay and after it.
    #[config(default = 0.0001)]
    end_learning_rate: f64,
    /// The exponent; 1 is a linear decay.
    #[config(default = 1.0, range = 0.0..)]
    power: f64,
    /// Whether the decay restarts after its end, over a longer period.
    #[config(default = false)]
    cycle: bool,
}

impl Schedule for PolynomialDecay {
    fn learning_rate(&self, when: &When) -> f64 {
        let step = when.step as f64;
        let steps = self.decay_steps * if self.cycle { (step / self.decay_steps).ceil().max(1.0) } else { 1.0 };
        let left = (1.0 - step / steps).max(0.0);
        (self.initial_learning_rate - self.end_learning_rate) * left.powf(self.power) + self.end_learning_rate
    }
}

/// Piecewise constant rates: `values[0]` up to and including step `boundaries[0]`, and so on.
#[derive(Clone, Debug, Config)]
#[config(check = Self::check)]
#[config(base(name = "PiecewiseConstant"))]
#[config(examples = super::examples::PIECEWISE_CONSTANT_DECAY)]
pub struct PiecewiseConstantDecay {
    /// The last step of each constant except the final one, in ascending order.
    boundaries: Vec<f64>,
    /// The constants; one more than there are boundaries.
    values: Vec<f64>,
}

impl PiecewiseConstantDecay {
    fn check(&self) -> Result<()> {
        let (boundaries, values) = (self.boundaries.len(), self.values.len());
        if values != boundaries + 1 {
            return Err(Error::config(
                "values",
                format!("must contain one more than the {boundaries} boundaries, not {values}"),
            ));
        }
        if !self.boundaries.is_sorted_by(|a, b| a < b) {
            return Err(Error::config("boundaries", "must rise"));
        }
        Ok(())
    }
}

impl Schedule for PiecewiseConstantDecay {
    fn learning_rate(&self, when: &When) -> f64 {
        let step = when.step as f64;
        self.values[self.boundaries.partition_point(|&boundary| boundary < step)]
    }
}
