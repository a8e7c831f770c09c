//! Batch normalisation over all axes but the last. Ioffe & Szegedy 2015.

use super::Training;
use super::initializer::Initializer;
use super::layer::{InputGradient, Layer, Weight};
use super::normalization::{Affine, AffineGradients, affine_weights};
use crate::Result;

/// The resolved settings of a batch normalisation.
pub struct BatchNormalizationSettings {
    /// The length of the last axis.
    pub width: usize,
    pub momentum: f64,
    pub epsilon: f64,
    /// `None` without a scale.
    pub gamma_initializer: Option<Initializer>,
    /// `None` without an offset.
    pub beta_initializer: Option<Initializer>,
    pub moving_mean_initializer: Initializer,
    pub moving_variance_initializer: Initializer,
    pub trainable: bool,
}

/// A batch normalisation.
///
/// In training, each column is normalised with its mean and variance in the batch, and the moving statistics follow
/// these after the backward pass. Otherwise, and always if the layer isn't trainable, the moving statistics are used.
pub struct BatchNormalization {
    width: usize,
    momentum: f64,
    epsilon: f64,
    trainable: bool,
    /// `gamma` and `beta` if there are any, then `moving_mean` and `moving_variance`.
    weights: Vec<Weight>,
    /// The mean, the variance and the factor 1 / √(variance + epsilon) of each column in the last forward pass.
    means: Vec<f64>,
    variances: Vec<f64>,
    factors: Vec<f64>,
    /// Whether the last forward pass used the statistics of its batch.
    used_batch: bool,
    gradients: AffineGradients,
    output: Vec<f32>,
}

impl BatchNormalization {
    /// Creates the layer. `layer_index` is the index of the layer; it distinguishes the random numbers of the layers.
    pub fn new(settings: BatchNormalizationSettings, name: &str, seed: u64, layer_index: usize) -> Result<Self> {
        let BatchNormalizationSettings { width, momentum, epsilon, trainable, .. } = settings;
        let affine = [settings.gamma_initializer, settings.beta_initializer];
        let mut weights = affine_weights(affine, width, name, seed, layer_index)?;
        for (index, weight_name, initializer) in [
            (2, "moving_mean", settings.moving_mean_initializer),
            (3, "moving_variance", settings.moving_variance_initializer),
        ] {
            let mut weight = Weight::without_gradient(weight_name, vec![width], name)?;
            initializer.fill(&mut weight.values, [width, width], seed, &[layer_index as u64, index]);
            weights.push(weight);
        }
        Ok(BatchNormalization {
            width,
            momentum,
            epsilon,
            trainable,
            weights,
            means: vec![0.0; width],
            variances: vec![0.0; width],
            factors: vec![0.0; width],
            used_batch: false,
            gradients: AffineGradients::default(),
            output: Vec::new(),
        })
    }

    /// Computes the mean and the biased variance of each column, in two passes of float64 sums in the order of the
    /// rows.
    fn measure(&mut self, input: &[f32]) {
        let rows = (input.len() / self.width) as f64;
        self.means.fill(0.0);
        self.variances.fill(0.0);
        for row in input.chunks_exact(self.width) {
            self.means.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        self.means.iter_mut().for_each(|mean| *mean /= rows);
        for row in input.chunks_exact(self.width) {
            for ((sum, value), mean) in self.variances.iter_mut().zip(row).zip(&self.means) {
                *sum += (f64::from(*value) - mean).powi(2);
            }
        }
        self.variances.iter_mut().for_each(|variance| *variance /= rows);
    }
}

impl Layer for BatchNormalization {
    fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()> {
        self.used_batch = training.is_some() && self.trainable && !input.is_empty();
        if self.used_batch {
            self.measure(input);
        } else {
            let first = self.weights.len() - 2;
            for (moving, batch) in self.weights[first..].iter().zip([&mut self.means, &mut self.variances]) {
                batch.iter_mut().zip(&moving.values).for_each(|(value, moving)| *value = f64::from(*moving));
            }
        }
        for (factor, variance) in self.factors.iter_mut().zip(&self.variances) {
            *factor = 1.0 / (variance + self.epsilon).sqrt();
        }
        self.output.resize(input.len(), 0.0);
        let affine = Affine::of(&self.weights);
        for (row, output) in input.chunks_exact(self.width).zip(self.output.chunks_exact_mut(self.width)) {
            for (column, (value, output)) in row.iter().zip(output).enumerate() {
                let normalized = (f64::from(*value) - self.means[column]) * self.factors[column];
                *output = affine.apply(normalized as f32, column);
            }
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let rows = input.chunks_exact(self.width).zip(gradient.chunks_exact(self.width));
        self.gradients.reset(self.width);
        for (row, gradient) in rows.clone() {
            for (column, (value, gradient)) in row.iter().zip(gradient).enumerate() {
                let normalized = (f64::from(*value) - self.means[column]) * self.factors[column];
                self.gradients.add(column, *gradient, normalized as f32);
            }
        }
        if self.trainable {
            self.gradients.store(&mut self.weights);
        }
        let Some((store, target)) = input_gradient else { return };
        let affine = Affine::of(&self.weights);
        // The mean and the variance of the batch depend on the inputs, the moving statistics don't.
        let share = if self.used_batch { self.width as f64 / input.len() as f64 } else { 0.0 };
        for ((row, gradient), target) in rows.zip(target.chunks_exact_mut(self.width)) {
            for (column, ((value, gradient), target)) in row.iter().zip(gradient).zip(target).enumerate() {
                let normalized = (f64::from(*value) - self.means[column]) * self.factors[column];
                let through_statistics =
                    (self.gradients.beta[column] + normalized * self.gradients.gamma[column]) * share;
                let scale = f64::from(affine.scale(column)) * self.factors[column];
                store.write(target, (scale * (f64::from(*gradient) - through_statistics)) as f32);
            }
        }
    }

    /// Moves the moving statistics towards those of the batch: `moving * momentum + batch * (1 - momentum)`.
    fn end_step(&mut self) {
        if !std::mem::take(&mut self.used_batch) {
            return;
        }
        let first = self.weights.len() - 2;
        let (momentum, rest) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        for (weight, batch) in self.weights[first..].iter_mut().zip([&self.means, &self.variances]) {
            for (moving, batch) in weight.values.iter_mut().zip(batch) {
                *moving = *moving * momentum + *batch as f32 * rest;
            }
        }
    }

    fn weights(&self) -> &[Weight] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }
}
