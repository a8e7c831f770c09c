//! Muon, with orthogonalised steps for matrices.

use super::{
    LEAST_EPSILON, bounded,
    orthogonal::{NewtonSchulz, scale},
    parts::{BLOCK, part_length, run_parts, sum_of_squares, totals},
    slices,
};
use plugfit_api::{
    Plain, Scratch,
    prelude::*,
    simd::{Kernel, dispatch},
};
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
}

/// Updates the momentum of a part of a matrix, and writes the direction. Returns the sum of its squares.
struct Momentum<'a> {
    momentum: f32,
    nesterov: bool,
    gradient: &'a [f32],
    m: &'a mut [f32],
    direction: &'a mut [f32],
}

impl Kernel for Momentum<'_> {
    type Output = [f64; 1];

    #[inline(always)]
    fn run(self) -> [f64; 1] {
        let mut of_direction = 0.0;
        let slots = self.m.chunks_mut(BLOCK).zip(self.direction.chunks_mut(BLOCK));
        for (gradient, (m, direction)) in self.gradient.chunks(BLOCK).zip(slots) {
            m.iter_mut().zip(gradient).for_each(|(m, g)| *m = self.momentum * *m + g);
            if self.nesterov {
                let given = direction.iter_mut().zip(&*m).zip(gradient);
                given.for_each(|((direction, m), g)| *direction = m * self.momentum + g);
            } else {
                direction.copy_from_slice(m);
            }
            of_direction += sum_of_squares(direction);
        }
        [of_direction]
    }
}

/// Changes the values of a part of a matrix.
struct Apply<'a> {
    values: &'a mut [f32],
    steps: &'a [f32],
    decay_factor: f32,
    rate: f32,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (value, step) in self.values.iter_mut().zip(self.steps) {
            *value = *value * self.decay_factor - self.rate * step;
        }
    }
}

/// The step of AdamW for a part of a parameter.
struct AdamW<'a> {
    numbers: AdamNumbers,
    values: &'a mut [f32],
    gradient: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

/// The numbers that all elements share in one step of AdamW.
#[derive(Clone, Copy)]
struct AdamNumbers {
    new_first: f32,
    new_second: f32,
    alpha: f32,
    epsilon: f32,
    decay_factor: f32,
}

impl Kernel for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let numbers = self.numbers;
        for (((value, &g), m), v) in self.values.iter_mut().zip(self.gradient).zip(self.m).zip(self.v) {
            *m += (g - *m) * numbers.new_first;
            *v += (bounded(Plain(g * g)).0 - *v) * numbers.new_second;
            *value = *value * numbers.decay_factor - *m * numbers.alpha / (v.sqrt() + numbers.epsilon);
        }
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

    fn update(&self, update: &mut Update<'_, '_>, host: &Host<'_>) -> Result<()> {
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
                let numbers = AdamNumbers {
                    new_first: (1.0 - self.adam_beta_1) as f32,
                    new_second: (1.0 - self.adam_beta_2) as f32,
                    alpha: (rate * self.adam_lr_ratio * correction) as f32,
                    epsilon,
                    decay_factor,
                };
                let length = part_length(values.len(), BLOCK);
                let parts = values.chunks_mut(length).zip(gradient.chunks(length));
                let parts = parts.zip(m.chunks_mut(length).zip(v.chunks_mut(length)));
                let parts = parts.map(|((values, gradient), (m, v))| AdamW { numbers, values, gradient, m, v });
                run_parts(host, parts, dispatch);
                continue;
            }
            let &[rows, columns] = entry.parameter.shape else { return Err(Error::state("a matrix is expected")) };
            let (rows, columns) = (rows as usize, columns as usize);
            let Some((values, gradient, [m])) = slices::<1>(entry)? else { continue };
            let (momentum, nesterov) = (self.momentum as f32, self.nesterov);
            let length = part_length(values.len(), BLOCK);
            let mut direction = Scratch::of_length(rows * columns);
            let parts = gradient.chunks(length).zip(m.chunks_mut(length).zip(direction.chunks_mut(length)));
            let parts = parts.map(|(gradient, (m, direction))| Momentum { momentum, nesterov, gradient, m, direction });
            let [of_direction] = totals(run_parts(host, parts, dispatch));
            scale(&mut direction, (1.0 / (of_direction.sqrt() + 1e-7)) as f32, host);
            let (a, b, c) = (self.muon_a as f32, self.muon_b as f32, self.muon_c as f32);
            NewtonSchulz { steps: self.ns_steps, a, b, c }.orthogonalize(&mut direction, [rows, columns], host);
            let scale = self.rms_rate.map_or(1.0, |target| target * (rows.max(columns) as f64).sqrt());
            let rate = (rate * scale) as f32;
            let parts = values.chunks_mut(length).zip(direction.chunks(length));
            let parts = parts.map(|(values, steps)| Apply { values, steps, decay_factor, rate });
            run_parts(host, parts, dispatch);
        }
        Ok(())
    }
}
