//! Muon, with orthogonalised steps for matrices.

use super::{LEAST_EPSILON, bounded, slices};
use ndarray::{Array2, ArrayView2};
use plugfit_api::{Plain, prelude::*};
use regex_lite::Regex;

/// Muon: the momentum of a matrix, orthogonalised by Newton-Schulz iteration. Other parameters are trained by AdamW.
/// Jordan et al. 2024.
#[derive(Clone, Debug, Config)]
#[config(examples = super::examples::MUON)]
pub struct Muon {
    /// AdamW: the decay rate of the gradient's average.
    #[config(default = 0.9, range = 0.0..1.0)]
    adam_beta_1: f64,
    /// AdamW: the decay rate of the average of squares.
    #[config(default = 0.999, range = 0.0..1.0)]
    adam_beta_2: f64,
    /// AdamW: the weight decay; null: none.
    #[config(default = 0.004)]
    adam_weight_decay: Option<f64>,
    /// AdamW: added to the denominator.
    #[config(default = 1e-7, range = 0.0..)]
    epsilon: f64,
    /// The weight decay of matrices; null: none.
    #[config(default = 0.004)]
    weight_decay: Option<f64>,
    /// Regular expressions; a parameter whose path contains a match is trained by AdamW.
    #[config(default = [])]
    exclude_layers: Option<Vec<String>>,
    /// Whether embeddings are trained by AdamW.
    #[config(default = true)]
    exclude_embeddings: bool,
    /// The iteration's first coefficient.
    #[config(default = 3.4445)]
    muon_a: f64,
    /// The iteration's second coefficient.
    #[config(default = -4.775)]
    muon_b: f64,
    /// The iteration's third coefficient.
    #[config(default = 2.0315)]
    muon_c: f64,
    /// AdamW: the learning rate as a multiple of Muon's.
    #[config(default = 1.0)]
    adam_lr_ratio: f64,
    /// The decay rate of the momentum.
    #[config(default = 0.95, range = 0.0..=1.0)]
    momentum: f64,
    /// The number of Newton-Schulz iterations.
    #[config(default = 5, range = 0..=1000)]
    ns_steps: u64,
    /// Whether to use Nesterov momentum.
    #[config(default = true)]
    nesterov: bool,
    /// The root mean square to which the steps of matrices are scaled, as for Adam; null: steps aren't scaled.
    #[config(default = 0.2)]
    rms_rate: Option<f64>,
    #[config(skip)]
    patterns: Vec<Regex>,
}

impl Muon {
    /// Returns whether AdamW trains a parameter.
    fn uses_adam(&self, parameter: &Parameter<'_>) -> bool {
        let embedding = parameter.embedding || parameter.path.to_lowercase().contains("embedding");
        parameter.shape.len() != 2
            || self.exclude_embeddings && embedding
            || self.patterns.iter().any(|pattern| pattern.is_match(parameter.path))
    }

    /// Returns an approximately orthogonal matrix close to `matrix`: its singular values are close to 1.
    fn orthogonal(&self, matrix: Array2<f32>) -> Array2<f32> {
        let tall = matrix.nrows() > matrix.ncols();
        let mut x = if tall { matrix.reversed_axes() } else { matrix };
        let norm = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        x /= (norm + 1e-7) as f32;
        for _ in 0..self.ns_steps {
            let square = x.dot(&x.t());
            let blend = &square * self.muon_b as f32 + square.dot(&square) * self.muon_c as f32;
            x = &x * self.muon_a as f32 + blend.dot(&x);
        }
        if tall { x.reversed_axes() } else { x }
    }
}

impl Optimizer for Muon {
    fn info(&self) -> OptimizerInfo {
        let decays = [self.weight_decay, self.adam_weight_decay].iter().flatten().any(|decay| *decay != 0.0);
        OptimizerInfo { still_at_zero: !decays, ..OptimizerInfo::default() }
    }
    fn prepare(&mut self, _: &Host<'_>) -> Result<()> {
        let regex = |word: &String| {
            Regex::new(word).map_err(|error| {
                Error::config("exclude_layers", format!("has \"{word}\", which isn't a regular expression: {error}"))
            })
        };
        self.patterns = self.exclude_layers.iter().flatten().map(regex).collect::<Result<_>>()?;
        Ok(())
    }

    fn slots(&self, parameters: &[Parameter<'_>], _: &Host<'_>) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            slots.push(Slot::like(i, parameter, "momentum"));
            if self.uses_adam(parameter) {
                slots.push(Slot::like(i, parameter, "velocity"));
            }
        }
        Ok(slots)
    }

    fn update(&self, update: &mut Update<'_, '_>, _: &Host<'_>) -> Result<()> {
        let number = update.step.number();
        let correction = (1.0 - self.adam_beta_2.powf(number)).sqrt() / (1.0 - self.adam_beta_1.powf(number));
        let epsilon = self.epsilon.max(LEAST_EPSILON) as f32;
        for entry in update.entries.iter_mut() {
            let (rate, by_adam) = (entry.learning_rate, self.uses_adam(&entry.parameter));
            let decay = if by_adam { self.adam_weight_decay } else { self.weight_decay };
            let decay = decay.filter(|_| entry.parameter.decays).unwrap_or(0.0);
            let decay_factor = (1.0 - decay * rate) as f32;
            if by_adam {
                let Some((values, gradient, [m, v])) = slices::<2>(entry)? else { continue };
                let alpha = (rate * self.adam_lr_ratio * correction) as f32;
                for (((value, &g), m), v) in values.iter_mut().zip(gradient).zip(m).zip(v) {
                    *m += (g - *m) * (1.0 - self.adam_beta_1) as f32;
                    *v += (bounded(Plain(g * g)).0 - *v) * (1.0 - self.adam_beta_2) as f32;
                    *value = *value * decay_factor - *m * alpha / (v.sqrt() + epsilon);
                }
                continue;
            }
            let &[rows, columns] = entry.parameter.shape else { return Err(Error::state("a matrix is expected")) };
            let (rows, columns) = (rows as usize, columns as usize);
            let Some((values, gradient, [m])) = slices::<1>(entry)? else { continue };
            let momentum = self.momentum as f32;
            m.iter_mut().zip(gradient).for_each(|(m, g)| *m = momentum * *m + g);
            let view =
                |slice| ArrayView2::from_shape((rows, columns), slice).map_err(|error| Error::state(error.to_string()));
            let direction = match self.nesterov {
                true => &view(m)? * momentum + view(gradient)?,
                false => view(m)?.to_owned(),
            };
            let step = self.orthogonal(direction);
            let scale = self.rms_rate.map_or(1.0, |target| target * (rows.max(columns) as f64).sqrt());
            let rate = (rate * scale) as f32;
            // Row by row, because the result for a tall matrix isn't in row-major order.
            for (values, step) in values.chunks_exact_mut(columns.max(1)).zip(step.rows()) {
                values.iter_mut().zip(step).for_each(|(value, step)| *value = *value * decay_factor - rate * step);
            }
        }
        Ok(())
    }
}
