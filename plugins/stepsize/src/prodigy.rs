//! Prodigy: Adam with an estimated step size.

use crate::LEAST_EPSILON;
use plugfit_api::prelude::*;

/// Prodigy: Adam whose step size is an estimate of the distance to the solution; keep the learning rate at 1.
/// Mishchenko & Defazio 2023.
#[derive(Clone, Debug, Config)]
#[config(base(learning_rate = 1.0))]
pub struct Prodigy {
    /// The decay rate of the gradient's average.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the average of squares; its root is the decay rate of the estimate's sums.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator, times the estimate.
    #[config(default = 1e-8, range = 0.0..)]
    epsilon: f64,
    /// The initial estimate; a value that is too small does no harm.
    #[config(default = 1e-6, above = 0.0)]
    d0: f64,
    /// A factor of the estimates.
    #[config(default = 1.0, above = 0.0)]
    d_coef: f64,
}

/// The slots of a parameter: averages of the gradient and of its square, a sum of gradients, and the initial value.
const SLOTS: [&str; 4] = ["momentum", "velocity", "gradient_sum", "start"];

impl Optimizer for Prodigy {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            slots.extend(SLOTS.map(|name| Slot::like(i, parameter, name)));
            if let Some(start) = slots.last_mut() {
                start.start = Start::Copy;
            }
        }
        slots.push(Slot::scalar("estimate", self.d0));
        slots.push(Slot::scalar("numerator", 0.0));
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        let [estimate, numerator] = &mut *update.slots else { return Err(Error::state("a slot is missing")) };
        let (estimate, numerator) = (&mut estimate.f32s_mut("estimate")?[0], &mut numerator.f32s_mut("numerator")?[0]);
        let d = f64::from(*estimate);
        let correction = (1.0 - self.beta_2.powf(number)).sqrt() / (1.0 - self.beta_1.powf(number));
        let rate = d * update.step.learning_rate * correction;
        let decay = self.beta_2.sqrt();
        let (mut progress, mut size) = (0.0, 0.0);
        for entry in update.entries.iter_mut() {
            let Some(gradient) = entry.gradient else { continue };
            let (gradient, values) = (gradient.f32s("a gradient")?, entry.value.f32s_mut("a parameter")?);
            let [m, v, sum, start] = &mut entry.slots[..] else { return Err(Error::state("a slot is missing")) };
            let (m, v, sum) = (m.f32s_mut("momentum")?, v.f32s_mut("velocity")?, sum.f32s_mut("gradient_sum")?);
            let start = start.f32s_mut("start")?;
            for i in 0..values.len() {
                let g = f64::from(gradient[i]);
                let scaled = d * g;
                progress += g * (f64::from(start[i]) - f64::from(values[i]));
                m[i] = (self.beta_1 * f64::from(m[i]) + (1.0 - self.beta_1) * scaled) as f32;
                let square = (self.beta_2 * f64::from(v[i]) + (1.0 - self.beta_2) * scaled * scaled) as f32;
                v[i] = if square > f32::MAX { f32::MAX } else { square };
                sum[i] = (decay * f64::from(sum[i]) + rate * scaled / self.d0) as f32;
                size += f64::from(sum[i]).abs();
            }
        }
        *numerator = (decay * f64::from(*numerator) + d / self.d0 * rate * progress) as f32;
        let found = if size > 0.0 { self.d_coef * f64::from(*numerator) / size } else { 0.0 };
        let d = d.max(found);
        *estimate = d as f32;
        for entry in update.entries.iter_mut().filter(|entry| entry.gradient.is_some()) {
            // The learning-rate factor of this parameter; the estimate is shared by all parameters.
            let factor =
                if update.step.learning_rate == 0.0 { 0.0 } else { entry.learning_rate / update.step.learning_rate };
            let [m, v, ..] = &entry.slots[..] else { return Err(Error::state("a slot is missing")) };
            let (m, v) = (m.as_tensor(), v.as_tensor());
            let (m, v) = (m.f32s("momentum")?, v.f32s("velocity")?);
            for ((value, &m), &v) in entry.value.f32s_mut("a parameter")?.iter_mut().zip(m).zip(v) {
                *value -= (factor * rate * f64::from(m) / (f64::from(v).sqrt() + (d * self.epsilon).max(LEAST_EPSILON)))
                    as f32;
            }
        }
        Ok(())
    }
}
