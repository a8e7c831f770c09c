//! A sequence of layers and the gradients between them.

use super::Training;
use super::layer::{InputGradient, Layer};
use super::matmul::Store;
use crate::Result;

/// A sequence of layers. The output of an empty chain is its input.
#[derive(Default)]
pub struct Chain {
    pub layers: Vec<Box<dyn Layer>>,
    /// The gradient of each layer's output.
    gradients: Vec<Vec<f32>>,
    /// The index of the first layer with trained weights. Layers before it need no gradient.
    first_trained: Option<usize>,
}

impl Chain {
    /// Appends a layer.
    pub fn push(&mut self, layer: Box<dyn Layer>, trainable: bool) {
        if trainable && !layer.weights().is_empty() {
            self.first_trained.get_or_insert(self.layers.len());
        }
        self.layers.push(layer);
        self.gradients.push(Vec::new());
    }

    /// Returns whether the chain contains trained weights.
    pub fn is_trained(&self) -> bool {
        self.first_trained.is_some()
    }

    /// Computes the output of every layer. Returns the error of the first layer that fails.
    pub fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()> {
        for i in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(i);
            rest[0].forward(before.last().map_or(input, |layer| layer.output()), training)?;
        }
        Ok(())
    }

    /// Returns the output of the last layer; for an empty chain, the input.
    pub fn output<'a>(&'a self, input: &'a [f32]) -> &'a [f32] {
        self.layers.last().map_or(input, |layer| layer.output())
    }

    /// Returns the output of the last layer and the buffer for its gradient, of the same size.
    pub fn output_and_gradient(&mut self) -> (&[f32], &mut [f32]) {
        match (self.layers.last(), self.gradients.last_mut()) {
            (Some(layer), Some(gradient)) => {
                let output = layer.output();
                gradient.resize(output.len(), 0.0);
                (output, gradient)
            }
            _ => (&[], &mut []),
        }
    }

    /// Backpropagates the gradient in the buffer of [`Chain::output_and_gradient`].
    pub fn backward(&mut self, input: &[f32], mut input_gradient: InputGradient<'_>) {
        let first = if input_gradient.is_some() { Some(0) } else { self.first_trained };
        let Some(first) = first else { return };
        for i in (first..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            let (gradients_before, gradients) = self.gradients.split_at_mut(i);
            let (input, input_gradient) = match (before.last(), gradients_before.last_mut()) {
                (Some(layer), Some(gradient)) if i > first => {
                    gradient.resize(layer.output().len(), 0.0);
                    (layer.output(), Some((Store::Replace, &mut gradient[..])))
                }
                (Some(layer), _) => (layer.output(), None),
                (None, _) => (input, input_gradient.take()),
            };
            rest[0].backward(input, &mut gradients[0], input_gradient);
        }
    }
}
