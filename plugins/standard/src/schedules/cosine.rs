//! Cosine schedules.

use plugfit_api::prelude::*;
use std::f64::consts::PI;

/// Cosine decay from `initial_learning_rate` to the fraction `alpha` of it. If `warmup_target` is given, a linear
/// warm-up to that rate comes first. Loshchilov & Hutter 2016.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::COSINE_DECAY)]
pub struct CosineDecay {
    /// The rate at step 0.
    initial_learning_rate: f64,
    /// The number of steps of the decay.
    #[config(above = 0.0)]
    decay_steps: f64,
    /// The final rate, as a fraction of the rate at which the decay starts.
    #[config(default = 0.0)]
    alpha: f64,
    /// The rate at the end of the warm-up; null: no warm-up.
    warmup_target: Option<f64>,
    /// The number of steps of the warm-up.
    #[config(default = 0.0, range = 0.0..)]
    warmup_steps: f64,
}

impl Schedule for CosineDecay {
    fn learning_rate(&self, when: &When) -> f64 {
        let step = when.step as f64;
        let (top, since) = match self.warmup_target {
            None => (self.initial_learning_rate, step),
            Some(target) if step < self.warmup_steps => {
                return self.initial_learning_rate + (target - self.initial_learning_rate) * step / self.warmup_steps;
            }
            Some(target) => (target, step - self.warmup_steps),
        };
        top * cosine_decay((since / self.decay_steps).min(1.0), 1.0, self.alpha)
    }
}

/// Cosine decay with restarts. Each period is `t_mul` times as long as the one before and starts at `m_mul` times its
/// initial rate. Loshchilov & Hutter 2016.
#[derive(Clone, Debug, Config)]
#[config(base(name = "SGDRDecay"))]
#[config(examples = super::examples::COSINE_DECAY_RESTARTS)]
pub struct CosineDecayRestarts {
    /// The rate at step 0.
    initial_learning_rate: f64,
    /// The number of steps of the first period.
    #[config(above = 0.0)]
    first_decay_steps: f64,
    /// The factor by which each period is longer than the one before.
    #[config(default = 2.0, range = 1.0..)]
    t_mul: f64,
    /// The factor of the initial rate of each period relative to the one before.
    #[config(default = 1.0, range = 0.0..)]
    m_mul: f64,
    /// The lowest rate, as a fraction of the initial rate.
    #[config(default = 0.0)]
    alpha: f64,
}

impl Schedule for CosineDecayRestarts {
    fn learning_rate(&self, when: &When) -> f64 {
        let periods = when.step as f64 / self.first_decay_steps;
        let mut restarts = match self.t_mul {
            1.0 => periods.floor(),
            ratio => ((periods * (ratio - 1.0)).ln_1p() / ratio.ln()).floor(),
        };
        let start = |restarts: f64| match self.t_mul {
            1.0 => restarts,
            ratio => (ratio.powf(restarts) - 1.0) / (ratio - 1.0),
        };
        // Rounding in the logarithm may be off by one at a restart.
        if start(restarts + 1.0) <= periods {
            restarts += 1.0;
        } else if start(restarts) > periods {
            restarts -= 1.0;
        }
        let done = (periods - start(restarts)) / self.t_mul.powf(restarts);
        self.initial_learning_rate * cosine_decay(done, self.m_mul.powf(restarts), self.alpha)
    }
}

/// Returns the cosine decay from `top` to `alpha` at the fraction `done` of a period, from 0 to 1.
fn cosine_decay(done: f64, top: f64, alpha: f64) -> f64 {
    (1.0 - alpha) * 0.5 * top * (1.0 + (PI * done).cos()) + alpha
}
