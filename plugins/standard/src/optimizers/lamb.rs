//! LAMB, Adam for large batches.

use super::{LEAST_EPSILON, bounded, correction, slices};
use plugfit_api::{
    Plain,
    formula::{Formula, Traced},
    prelude::*,
};

/// LAMB: Adam's step, scaled for each parameter to the norm of the parameter. You et al. 2019.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::LAMB)]
pub struct Lamb {
    /// The decay rate of the gradient's average.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// The decay rate of the average of squares.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the denominator.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

impl Optimizer for Lamb {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let each = parameters.iter().enumerate();
        Ok(each.flat_map(|(i, p)| [Slot::like(i, p, "momentum"), Slot::like(i, p, "velocity")]).collect())
    }

    fn formula(&self) -> Result<Formula> {
        Formula::of_parameter(&[("momentum", 0.0), ("velocity", 0.0)], |step, parameter, gradient, slots| {
            let (m, v) = (slots[0], slots[1]);
            let m = m + (gradient - m) * (1.0 - self.beta_1);
            let v = v + (bounded(gradient * gradient) - v) * (1.0 - self.beta_2);
            let size = (v / correction(self.beta_2, step.number)).sqrt() + self.epsilon.max(LEAST_EPSILON);
            let change = m / correction(self.beta_1, step.number) / size;
            let squares = |x: Traced| Row::of_element(&x).sum(|x| x * x);
            let (of_value, of_step) = (squares(parameter), squares(change));
            let (zero, one) = (Real::from(0.0), Real::from(1.0));
            let ratio = Traced::select(of_value.gt(zero) & of_step.gt(zero), (of_value / of_step).sqrt(), one);
            (parameter - ratio * step.learning_rate * change, vec![m, v])
        })
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        let first = (1.0 / (1.0 - self.beta_1.powf(number))) as f32;
        let second = (1.0 / (1.0 - self.beta_2.powf(number))) as f32;
        let (new_first, new_second) = ((1.0 - self.beta_1) as f32, (1.0 - self.beta_2) as f32);
        let epsilon = self.epsilon.max(LEAST_EPSILON) as f32;
        for entry in update.entries.iter_mut() {
            let rate = entry.learning_rate;
            let Some((values, gradient, [m, v])) = slices::<2>(entry)? else { continue };
            let step = |m: f32, v: f32| m * first / ((v * second).sqrt() + epsilon);
            let (mut of_value, mut of_step) = (0.0_f64, 0.0_f64);
            for (((m, v), &g), value) in m.iter_mut().zip(v.iter_mut()).zip(gradient).zip(&*values) {
                *m += (g - *m) * new_first;
                *v += (bounded(Plain(g * g)).0 - *v) * new_second;
                of_value += f64::from(*value).powi(2);
                of_step += f64::from(step(*m, *v)).powi(2);
            }
            let ratio = if of_value > 0.0 && of_step > 0.0 { (of_value / of_step).sqrt() } else { 1.0 };
            let factor = (ratio * rate) as f32;
            for ((value, &m), &v) in values.iter_mut().zip(&*m).zip(&*v) {
                *value -= factor * step(m, v);
            }
        }
        Ok(())
    }
}
