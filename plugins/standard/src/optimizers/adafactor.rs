//! Adafactor, with factored second moments.

use super::{bounded, slices};
use plugfit_api::{Plain, prelude::*};

/// Adafactor: stores only row and column means of the squared gradients of a matrix. Shazeer & Stern 2018.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::ADAFACTOR)]
pub struct Adafactor {
    /// The exponent `p` of the decay rate `1 - step^p` of the averages.
    #[config(default = -0.8, range = ..=0.0)]
    beta_2_decay: f64,
    /// Added to squared gradients.
    #[config(default = 1e-30, range = 0.0..)]
    epsilon_1: f64,
    /// The minimum root mean square of a parameter, by which its steps are scaled.
    #[config(default = 0.001, range = 0.0..)]
    epsilon_2: f64,
    /// The maximum root mean square of a step.
    #[config(default = 1.0, above = 0.0, infinite)]
    clip_threshold: f64,
    /// Has no effect: as in Keras, the rate is always at most `1 / sqrt(step)`.
    #[config(default = true)]
    relative_step: bool,
}

/// The running averages of squared gradients, in one step.
struct SecondMoments {
    decay: f64,
    epsilon: f64,
}

impl SecondMoments {
    fn square(&self, g: f32) -> f64 {
        f64::from(g) * f64::from(g) + self.epsilon
    }

    fn average(&self, old: f32, new: f64) -> f32 {
        bounded(Plain((self.decay * f64::from(old) + (1.0 - self.decay) * new) as f32)).0
    }

    /// Updates the averages of the rows and columns of a matrix, and appends the step of each element.
    fn factored_steps(&self, gradient: &[f32], row: &mut [f32], column: &mut [f32], steps: &mut Vec<f64>) {
        let (rows, columns) = (row.len(), column.len());
        for (r, gradient) in row.iter_mut().zip(gradient.chunks_exact(columns)) {
            *r = self.average(*r, gradient.iter().map(|&g| self.square(g)).sum::<f64>() / columns as f64);
        }
        for (j, c) in column.iter_mut().enumerate() {
            let squares = gradient[j..].iter().step_by(columns).map(|&g| self.square(g));
            *c = self.average(*c, squares.sum::<f64>() / rows as f64);
        }
        let mean = row.iter().map(|&r| f64::from(r)).sum::<f64>() / rows as f64;
        for (&r, gradient) in row.iter().zip(gradient.chunks_exact(columns)) {
            let of_row = f64::from(r) / mean;
            let step = |(&g, &c): (&f32, &f32)| f64::from(g) / (of_row * f64::from(c)).sqrt();
            steps.extend(gradient.iter().zip(&*column).map(step));
        }
    }
}

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    (values.map(|value| value * value).sum::<f64>() / count).sqrt()
}

impl Optimizer for Adafactor {
    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            match parameter.shape {
                [leading @ .., rows, columns] => {
                    let shape = |last: &i64| leading.iter().chain([last]).copied().collect();
                    slots.push(Slot { shape: shape(rows), ..Slot::like(i, parameter, "row") });
                    slots.push(Slot { shape: shape(columns), ..Slot::like(i, parameter, "column") });
                }
                _ => slots.push(Slot::like(i, parameter, "velocity")),
            }
        }
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        // A much smaller epsilon underflows to 0 in float32, and a row without a gradient would be divided by 0.
        let epsilon = self.epsilon_1.max(1e-30);
        let moments = SecondMoments { decay: 1.0 - number.powf(self.beta_2_decay), epsilon };
        let mut steps: Vec<f64> = Vec::new();
        for entry in update.entries.iter_mut() {
            if entry.value.is_empty() {
                continue;
            }
            let rate = entry.learning_rate.min(1.0 / number.sqrt());
            steps.clear();
            let values = if let [.., rows, columns] = *entry.parameter.shape {
                let (rows, columns) = (rows as usize, columns as usize);
                let Some((values, gradient, [row, column])) = slices::<2>(entry)? else { continue };
                let averages = row.chunks_exact_mut(rows).zip(column.chunks_exact_mut(columns));
                for (gradient, (row, column)) in gradient.chunks_exact(rows * columns).zip(averages) {
                    moments.factored_steps(gradient, row, column, &mut steps);
                }
                values
            } else {
                let Some((values, gradient, [v])) = slices::<1>(entry)? else { continue };
                for (v, &g) in v.iter_mut().zip(gradient) {
                    *v = moments.average(*v, moments.square(g));
                    steps.push(f64::from(g) / f64::from(*v).sqrt());
                }
                values
            };
            let size = root_mean_square(values.iter().map(|&value| f64::from(value))).max(self.epsilon_2);
            let clip = (root_mean_square(steps.iter().copied()) / self.clip_threshold).max(1.0);
            for (value, step) in values.iter_mut().zip(&steps) {
                *value -= (rate * size * step / clip) as f32;
            }
        }
        Ok(())
    }
}
