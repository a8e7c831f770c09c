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

impl FormulaSchedule for CosineDecay {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        let (start, one) = (self.initial_learning_rate, R::from(1.0));
        let decayed = |top: f64, since: R| cosine_decay((since / self.decay_steps).min(one), one, self.alpha) * top;
        let Some(target) = self.warmup_target else { return decayed(start, step) };
        if self.warmup_steps == 0.0 {
            return decayed(target, step);
        }
        let warming = step / self.warmup_steps * (target - start) + start;
        R::select(step.lt(R::from(self.warmup_steps)), warming, decayed(target, step - self.warmup_steps))
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

impl FormulaSchedule for CosineDecayRestarts {
    fn learning_rate<R: Real>(&self, step: R) -> R {
        let (one, ratio) = (R::from(1.0), self.t_mul);
        let periods = step / self.first_decay_steps;
        let start =
            |restarts: R| if ratio == 1.0 { restarts } else { (restarts.power_of(ratio) - 1.0) / (ratio - 1.0) };
        let restarts = match ratio {
            1.0 => periods.floor(),
            ratio => ((periods * (ratio - 1.0)).ln_1p() / ratio.ln()).floor(),
        };
        // Rounding in the logarithm may be off by one at a restart.
        let early = R::select(start(restarts).gt(periods), restarts - 1.0, restarts);
        let restarts = R::select(start(restarts + 1.0).le(periods), restarts + 1.0, early);
        let done = (periods - start(restarts)) / restarts.power_of(ratio);
        let top = if self.m_mul == 1.0 { one } else { restarts.power_of(self.m_mul) };
        cosine_decay(done, top, self.alpha) * self.initial_learning_rate
    }
}

/// Returns the cosine decay from `top` to `alpha` at the fraction `done` of a period, from 0 to 1.
fn cosine_decay<R: Real>(done: R, top: R, alpha: f64) -> R {
    ((done * PI).cos() + 1.0) * top * (0.5 * (1.0 - alpha)) + alpha
}
