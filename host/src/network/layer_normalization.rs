//! Layer normalisation along the last axis. Ba et al. 2016.

use super::Training;
use super::initializer::Initializer;
use super::layer::{InputGradient, Layer, Weight};
use super::matmul::Store;
use super::normalization::{Affine, AffineGradients, affine_weights};
use crate::Result;

/// A layer normalisation: each row is normalised with its own mean and variance.
pub struct LayerNormalization {
    width: usize,
    epsilon: f64,
    trainable: bool,
    /// `gamma` and `beta`, if there are any.
    weights: Vec<Weight>,
    /// The mean, and the factor 1 / √(variance + epsilon), of each row in the last forward pass.
    statistics: Vec<(f64, f64)>,
    gradients: AffineGradients,
    output: Vec<f32>,
}

impl LayerNormalization {
    /// Creates the layer for rows of `width`, with initialisers of `gamma` and `beta` for those that it has.
    /// `layer_index` is the index of the layer; it distinguishes the random numbers of the layers.
    pub fn new(
        width: usize,
        epsilon: f64,
        affine: [Option<Initializer>; 2],
        trainable: bool,
        (name, seed, layer_index): (&str, u64, usize),
    ) -> Result<Self> {
        Ok(LayerNormalization {
            width,
            epsilon,
            trainable,
            weights: affine_weights(affine, width, name, seed, layer_index)?,
            statistics: Vec::new(),
            gradients: AffineGradients::default(),
            output: Vec::new(),
        })
    }
}

impl Layer for LayerNormalization {
    fn forward(&mut self, input: &[f32], _training: Option<Training>) -> Result<()> {
        let width = self.width as f64;
        self.statistics.clear();
        self.output.resize(input.len(), 0.0);
        let affine = Affine::of(&self.weights);
        for (row, output) in input.chunks_exact(self.width).zip(self.output.chunks_exact_mut(self.width)) {
            let mean = row.iter().map(|&value| f64::from(value)).sum::<f64>() / width;
            let variance = row.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / width;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            for (column, (value, output)) in row.iter().zip(output).enumerate() {
                *output = affine.apply(((f64::from(*value) - mean) * factor) as f32, column);
            }
            self.statistics.push((mean, factor));
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let width = self.width as f64;
        let affine = Affine::of(&self.weights);
        let (store, mut targets) = match input_gradient {
            Some((store, target)) => (store, target.chunks_exact_mut(self.width)),
            None => (Store::Replace, [].chunks_exact_mut(self.width)),
        };
        self.gradients.reset(self.width);
        let rows = input.chunks_exact(self.width).zip(gradient.chunks_exact(self.width));
        for ((row, gradient), &(mean, factor)) in rows.zip(&self.statistics) {
            let (mut sum, mut product) = (0.0, 0.0);
            for (column, (value, gradient)) in row.iter().zip(gradient).enumerate() {
                let normalized = (f64::from(*value) - mean) * factor;
                self.gradients.add(column, *gradient, normalized as f32);
                let scaled = f64::from(*gradient) * f64::from(affine.scale(column));
                sum += scaled;
                product += scaled * normalized;
            }
            let Some(target) = targets.next() else { continue };
            for (column, ((value, gradient), target)) in row.iter().zip(gradient).zip(target).enumerate() {
                let normalized = (f64::from(*value) - mean) * factor;
                let scaled = f64::from(*gradient) * f64::from(affine.scale(column));
                let value = factor * (scaled - (sum + normalized * product) / width);
                store.write(target, value as f32);
            }
        }
        if self.trainable {
            self.gradients.store(&mut self.weights);
        }
    }

    fn weights(&self) -> &[Weight] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }
}
