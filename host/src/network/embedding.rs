//! The embedding layer: each category id is replaced by a trained vector.

use super::Training;
use super::ids::{MAX_CATEGORIES, id};
use super::initializer::Initializer;
use super::layer::{InputGradient, Layer, Weight};
use crate::text::grouped;
use crate::{Error, Result};

/// An embedding of ids `[N, ...]` as vectors `[N, ..., dim]`. It is the first layer, so its input has no gradient.
pub struct Embedding {
    name: String,
    categories: usize,
    dim: usize,
    trainable: bool,
    /// The table `[categories, dim]`.
    weights: Vec<Weight>,
    output: Vec<f32>,
}

impl Embedding {
    /// Creates the layer. `layer_index` is the index of the layer; it distinguishes the random numbers of the layers.
    pub fn new(
        [categories, dim]: [usize; 2],
        initializer: &Initializer,
        trainable: bool,
        (name, seed, layer_index): (&str, u64, usize),
    ) -> Result<Self> {
        if categories > MAX_CATEGORIES {
            let (most, found) = (grouped(MAX_CATEGORIES), grouped(categories));
            let message = format!("{name} has {found} categories; {most} is the most that float32 can count");
            return Err(Error::usage(message));
        }
        let mut table = Weight::new("embeddings", vec![categories, dim], name)?;
        initializer.fill(&mut table.values, [categories, dim], seed, &[layer_index as u64, 0]);
        Ok(Embedding { name: name.to_owned(), categories, dim, trainable, weights: vec![table], output: Vec::new() })
    }
}

impl Layer for Embedding {
    fn forward(&mut self, input: &[f32], _training: Option<Training>) -> Result<()> {
        self.output.resize(input.len() * self.dim, 0.0);
        for (value, vector) in input.iter().zip(self.output.chunks_exact_mut(self.dim)) {
            let id = id(*value, self.categories).ok_or_else(|| {
                let (name, largest) = (&self.name, self.categories - 1);
                Error::failure(format!("an input of the layer \"{name}\" is {value}; category ids are 0 to {largest}"))
            })?;
            vector.copy_from_slice(&self.weights[0].values[id * self.dim..][..self.dim]);
        }
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    /// Adds the gradients of the vectors in the order of the ids.
    fn backward(&mut self, input: &[f32], gradient: &mut [f32], _input_gradient: InputGradient<'_>) {
        if !self.trainable {
            return;
        }
        let sums = &mut self.weights[0].gradient;
        sums.fill(0.0);
        for (value, gradient) in input.iter().zip(gradient.chunks_exact(self.dim)) {
            // The forward pass has checked that the value is an id.
            let sum = &mut sums[*value as usize * self.dim..][..self.dim];
            sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
        }
    }

    fn weights(&self) -> &[Weight] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }
}
