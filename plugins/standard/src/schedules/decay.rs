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

impl FormulaSchedule for ExponentialDecay {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        periods(step, self.decay_steps, self.staircase).power_of(self.decay_rate) * self.initial_learning_rate
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

impl FormulaSchedule for InverseTimeDecay {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        let periods = periods(step, self.decay_steps, self.staircase);
        R::from(self.initial_learning_rate) / (periods * self.decay_rate + 1.0)
    }
}

fn periods<R: Real>(step: R, steps: f64, whole: bool) -> R {
    let periods = step / steps;
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

impl FormulaSchedule for PolynomialDecay {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        let one = R::from(1.0);
        let periods = step / self.decay_steps;
        let done = if self.cycle { periods / periods.ceil().max(one) } else { periods };
        let left = (one - done).max(R::from(0.0));
        left.powf(self.power) * (self.initial_learning_rate - self.end_learning_rate) + self.end_learning_rate
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

impl FormulaSchedule for PiecewiseConstantDecay {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        let rates = self.values.iter().map(|&rate| R::from(rate));
        let last = R::from(self.values.last().copied().unwrap_or(f64::NAN));
        // From the last boundary to the first.
        let of_boundaries = self.boundaries.iter().zip(rates).rev();
        of_boundaries.fold(last, |rate, (&boundary, before)| R::select(step.le(R::from(boundary)), before, rate))
    }
}
