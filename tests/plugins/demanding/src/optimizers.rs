//! An optimizer with a slot that belongs to no parameter, and an optimizer that works on whole matrices.

use plugfit_api::prelude::*;

/// Adam with Nesterov momentum, whose bias correction is a product over all steps. Dozat 2016.
#[derive(Config)]
pub struct Nadam {
    /// Decay of the average of gradients.
    #[config(default = 0.9, range = 0.0..1.0)]
    beta_1: f64,
    /// Decay of the average of squared gradients.
    #[config(default = 0.999, range = 0.0..1.0)]
    beta_2: f64,
    /// Added to the divisor.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
}

impl Optimizer for Nadam {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let each = parameters.iter().enumerate();
        let slots = each.flat_map(|(i, p)| [Slot::like(i, p, "momentum"), Slot::like(i, p, "velocity")]);
        Ok(slots.chain([Slot::scalar("u_product", 1.0)]).collect())
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let step = update.step.number();
        let u = |step: f64| self.beta_1 * (1.0 - 0.5 * 0.96_f64.powf(step));
        let (now, next) = (u(step), u(step + 1.0));
        let product = &mut update.slots[0].f32s_mut("u_product")?[0];
        *product *= now as f32;
        let product = f64::from(*product);
        let correction = 1.0 - self.beta_2.powf(step);
        for entry in update.entries.iter_mut() {
            let Some(gradient) = entry.gradient else { continue };
            let rate = entry.learning_rate;
            let [m, v] = &mut entry.slots[..] else { return Err(Error::state("a slot is missing")) };
            let (m, v) = (m.f32s_mut("momentum")?, v.f32s_mut("velocity")?);
            let values = entry.value.f32s_mut("the parameter")?.iter_mut();
            for (((value, &g), m), v) in values.zip(gradient.f32s("the gradient")?).zip(m).zip(v) {
                let g = f64::from(g);
                *m += (1.0 - self.beta_1) as f32 * (g as f32 - *m);
                *v += (1.0 - self.beta_2) as f32 * ((g * g) as f32 - *v);
                let ahead = next * f64::from(*m) / (1.0 - product * next) + (1.0 - now) * g / (1.0 - product);
                *value -= (rate * ahead / ((f64::from(*v) / correction).sqrt() + self.epsilon)) as f32;
            }
        }
        Ok(())
    }
}

/// Orthogonalises the momentum of a matrix by Newton-Schulz iteration; vectors take plain steps. Jordan et al. 2024.
#[derive(Config)]
pub struct Muon {
    /// Decay of the momentum.
    #[config(default = 0.95, range = 0.0..1.0)]
    momentum: f64,
    /// Number of iterations.
    #[config(default = 8, range = 1..=100)]
    rounds: u64,
}

/// A matrix in row-major order: its number of rows and its elements.
struct Matrix(usize, Vec<f32>);

impl Matrix {
    fn times_transposed(&self, other: &Matrix) -> Matrix {
        let columns = self.1.len() / self.0;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        let rows = self.1.chunks_exact(columns);
        Matrix(self.0, rows.flat_map(|a| other.1.chunks_exact(columns).map(move |b| dot(a, b))).collect())
    }

    fn transposed(&self) -> Matrix {
        let columns = self.1.len() / self.0;
        let cell = |i: usize| self.1[i % self.0 * columns + i / self.0];
        Matrix(columns, (0..self.1.len()).map(cell).collect())
    }

    /// Returns `1.5 X - 0.5 X Xᵀ X`, which brings every singular value nearer to 1.
    fn round(&self) -> Matrix {
        let square = self.times_transposed(self);
        let cubed = square.times_transposed(&self.transposed());
        Matrix(self.0, self.1.iter().zip(&cubed.1).map(|(x, c)| 1.5 * x - 0.5 * c).collect())
    }
}

impl Optimizer for Muon {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        Ok(parameters.iter().enumerate().map(|(i, parameter)| Slot::like(i, parameter, "momentum")).collect())
    }

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
        for entry in update.entries.iter_mut() {
            if host.is_cancelled() {
                return Err(Error::cancelled());
            }
            let Some(gradient) = entry.gradient else { continue };
            let average = entry.slots[0].f32s_mut("momentum")?;
            for (average, g) in average.iter_mut().zip(gradient.f32s("the gradient")?) {
                *average = self.momentum as f32 * *average + g;
            }
            let mut direction = average.to_vec();
            if let ([rows, _], false) = (entry.parameter.shape, entry.parameter.embedding) {
                let norm = direction.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-7);
                let mut matrix = Matrix(*rows as usize, direction.iter().map(|x| x / norm).collect());
                (0..self.rounds).for_each(|_| matrix = matrix.round());
                direction = matrix.1;
            }
            let rate = entry.learning_rate as f32;
            entry.value.f32s_mut("the parameter")?.iter_mut().zip(&direction).for_each(|(value, d)| *value -= rate * d);
        }
        Ok(())
    }
}
