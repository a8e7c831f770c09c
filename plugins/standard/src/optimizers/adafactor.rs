//! Adafactor, with factored second moments.

use super::{bounded, slices};
use plugfit_api::prelude::*;

/// Adafactor: stores only row and column means of the squared gradients of a matrix. Shazeer & Stern 2018.
#[derive(Clone, Debug, Config)]
#[config(
    example = r#"{"start": [[1.0, -2.0], [0.5, 0.25]], "gradients": [[[0.5, -1], [0.1, 0.2]], [[0.25, 0.5], [-0.2, 0.4]], [[-0.5, 1], [0.3, -0.1]]], "learning_rate": 0.1, "gives": [[0.9114486, -2.060335], [0.351634, 0.03543569]]}"#
)]
#[config(
    example = r#"{"config": {"relative_step": false}, "start": [[1.0, -2.0], [0.5, 0.25]], "gradients": [[[0.5, -1], [0.1, 0.2]], [[0.25, 0.5], [-0.2, 0.4]], [[-0.5, 1], [0.3, -0.1]]], "learning_rate": 0.1, "gives": [[0.9114486, -2.060335], [0.351634, 0.03543569]]}"#
)]
#[config(
    example = r#"{"config": {"clip_threshold": 0.5, "epsilon_1": 0.1}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, 0], [0.1, 0.2, -0.4, 0.6]], "learning_rate": 0.1, "gives": [0.9299256, -2.063279, 0.5380371, -0.1576906]}"#
)]
#[config(
    example = r#"{"config": {"clip_threshold": 0.5, "epsilon_1": 0.1, "epsilon_2": 3.0, "beta_2_decay": -0.4}, "start": [[1.0, -2.0], [0.5, 0.25], [-0.5, 1.5]], "gradients": [[[0.5, -1], [0.1, 0.2], [0.3, -0.3]], [[0.25, 0.5], [-0.2, 0.4], [0.1, 0.2]]], "learning_rate": 0.1, "gives": [[0.7154917, -1.970836], [0.5696794, -0.060414], [-0.7667317, 1.505705]]}"#
)]
#[config(
    example = r#"{"start": [[[1.0, -2.0], [0.5, 0.25], [-0.5, 1.5]], [[0.5, 1.0], [-1.0, 0.75], [2.0, 0.5]]], "gradients": [[[[0.5, -1], [0.1, 0.2], [0.3, -0.3]], [[0.2, 0.1], [-0.3, 0.4], [0.6, -0.1]]], [[[0.25, 0.5], [-0.2, 0.4], [0.1, 0.2]], [[0.2, 0.1], [-0.3, 0.4], [0.6, -0.1]]]], "learning_rate": 0.1, "gives": [[[0.8341228, -1.96054], [0.5218189, 0.00878422], [-0.7263451, 1.513433]], [[0.2759607, 0.815177], [-0.8497099, 0.4193785], [1.752925, 0.5679423]]]}"#
)]
#[config(
    example = r#"{"start": [0.0, 0.0], "gradients": [[0.5, -1], [0.2, 0.3]], "learning_rate": 0.1, "gives": [-0.0001556013, 5.657835e-05]}"#
)]
#[config(
    example = r#"{"config": {"relative_step": false, "beta_2_decay": -0.5}, "start": [[1.0, -2.0], [0.5, 0.25], [-0.5, 1.5]], "gradients": [[[0.5, -1], [0.1, 0.2], [0.3, -0.3]], [[0.25, 0.5], [-0.2, 0.4], [0.1, 0.2]]], "learning_rate": 0.1, "gives": [[0.8216119, -1.970875], [0.5206387, 0.01007368], [-0.7392796, 1.50302]]}"#
)]
#[config(
    example = r#"{"config": {"relative_step": false}, "start": [1.0, -2.0, 0.5, 0.0], "gradients": [[0.5, -1, 0.1, 0.2], [0.25, 0.5, -0.2, 0.3], [-0.5, 1, 0.3, -0.1], [0.1, 0.2, -0.4, 0.6], [-0.1, -0.7, 0.05, -0.3]], "learning_rate": 0.1, "gives": [0.9411144, -1.988098, 0.5061004, -0.2612685]}"#
)]
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

/// Returns the number of matrices, and the rows and columns of the last two axes; `None` for fewer than two axes.
fn matrices(shape: &[i64]) -> Option<(usize, usize, usize)> {
    let [leading @ .., rows, columns] = shape else { return None };
    Some((leading.iter().product::<i64>() as usize, *rows as usize, *columns as usize))
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
        let decay = 1.0 - number.powf(self.beta_2_decay);
        // A much smaller epsilon underflows to 0 in float32, and a row without a gradient would be divided by 0.
        let epsilon_1 = self.epsilon_1.max(1e-30);
        let square = |g: f32| f64::from(g) * f64::from(g) + epsilon_1;
        let average = |old: f32, new: f64| bounded((decay * f64::from(old) + (1.0 - decay) * new) as f32);
        let mut steps: Vec<f64> = Vec::new();
        for entry in update.entries.iter_mut() {
            let rate = entry.learning_rate.min(1.0 / number.sqrt());
            let shape = matrices(entry.parameter.shape);
            steps.clear();
            if entry.value.is_empty() {
                continue;
            }
            let values = match shape {
                None => {
                    let Some((values, gradient, [v])) = slices::<1>(entry)? else { continue };
                    for (v, &g) in v.iter_mut().zip(gradient) {
                        *v = average(*v, square(g));
                        steps.push(f64::from(g) / f64::from(*v).sqrt());
                    }
                    values
                }
                Some((many, rows, columns)) => {
                    let Some((values, gradient, [row, column])) = slices::<2>(entry)? else { continue };
                    let each = rows * columns;
                    for matrix in 0..many {
                        let gradient = &gradient[matrix * each..(matrix + 1) * each];
                        let row = &mut row[matrix * rows..(matrix + 1) * rows];
                        let column = &mut column[matrix * columns..(matrix + 1) * columns];
                        for (r, gradient) in row.iter_mut().zip(gradient.chunks_exact(columns)) {
                            let mean = gradient.iter().map(|&g| square(g)).sum::<f64>() / columns as f64;
                            *r = average(*r, mean);
                        }
                        for (j, c) in column.iter_mut().enumerate() {
                            let mean =
                                gradient[j..].iter().step_by(columns).map(|&g| square(g)).sum::<f64>() / rows as f64;
                            *c = average(*c, mean);
                        }
                        let mean = row.iter().map(|&r| f64::from(r)).sum::<f64>() / rows as f64;
                        for (r, gradient) in row.iter().zip(gradient.chunks_exact(columns)) {
                            let of_row = f64::from(*r) / mean;
                            steps.extend(
                                gradient
                                    .iter()
                                    .zip(&*column)
                                    .map(|(&g, &c)| f64::from(g) / (of_row * f64::from(c)).sqrt()),
                            );
                        }
                    }
                    values
                }
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
