//! Schedule-free AdamW, with weight averaging instead of a schedule.

use super::{LEAST_EPSILON, bounded, slices};
use plugfit_api::{Plain, prelude::*};

/// Schedule-free AdamW: gradients are evaluated between the fast weights and their mean. At the end of training the
/// model has the mean weights. Defazio et al. 2024.
#[derive(Clone, Debug, Config)]
#[config(base(learning_rate = 0.0025))]
#[config(examples = super::examples::SCHEDULE_FREE_ADAM_W)]
pub struct ScheduleFreeAdamW {
    /// The interpolation between the fast weights (0) and their mean (1) at which gradients are evaluated.
    #[config(default = 0.9, above = 0.0, range = ..=1.0)]
    beta_1: f64,
    /// The decay rate of the average of squares.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator.
    #[config(default = 1e-8, range = 0.0..)]
    epsilon: f64,
    /// The number of steps over which the rate rises linearly from 0.
    #[config(default = 0)]
    warmup_steps: u64,
}

impl Optimizer for ScheduleFreeAdamW {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let slots =
            |(i, p)| [Slot { start: Start::Copy, ..Slot::like(i, p, "momentum") }, Slot::like(i, p, "velocity")];
        Ok(parameters.iter().enumerate().flat_map(slots).collect())
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        let warm = if self.warmup_steps > 0 { (number / self.warmup_steps as f64).min(1.0) } else { 1.0 };
        let correction = 1.0 / (1.0 - self.beta_2.powf(number));
        let (near, share, epsilon) = (self.beta_1, 1.0 / number, self.epsilon.max(LEAST_EPSILON));
        for entry in update.entries.iter_mut() {
            let rate = entry.learning_rate * warm;
            let Some((values, gradient, [fast, v])) = slices::<2>(entry)? else { continue };
            for (((value, &g), fast), v) in values.iter_mut().zip(gradient).zip(fast).zip(v) {
                *v += (bounded(Plain(g * g)).0 - *v) * (1.0 - self.beta_2) as f32;
                let (between, before) = (f64::from(*value), f64::from(*fast));
                let after = before - rate * f64::from(g) / ((f64::from(*v) * correction).sqrt() + epsilon);
                let mean = (between - (1.0 - near) * before) / near;
                let mean = (1.0 - share) * mean + share * after;
                *fast = after as f32;
                *value = ((1.0 - near) * after + near * mean) as f32;
            }
        }
        Ok(())
    }

    fn finalize(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        for entry in update.entries.iter_mut() {
            let Some(fast) = entry.slots.first() else { return Err(Error::state("a slot is missing")) };
            let fast = fast.as_tensor();
            let fast = fast.f32s("the fast weights")?;
            for (value, fast) in entry.value.f32s_mut("a parameter")?.iter_mut().zip(fast) {
                *value = ((f64::from(*value) - (1.0 - self.beta_1) * f64::from(*fast)) / self.beta_1) as f32;
            }
        }
        Ok(())
    }
}
