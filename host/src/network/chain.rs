//! Layers one after the other, and the gradients between them.

use super::Training;
use super::layer::{InputGradient, Layer};
use super::matmul::Store;

/// Layers one after the other. A chain without layers passes its input on.
#[derive(Default)]
pub struct Chain {
    pub layers: Vec<Box<dyn Layer>>,
    /// The gradient of each layer's output.
    gradients: Vec<Vec<f32>>,
    /// The first layer whose weights are trained; no gradient is needed before it.
    first_trained: Option<usize>,
}

impl Chain {
    /// Adds a layer at the end.
    pub fn push(&mut self, layer: Box<dyn Layer>, trainable: bool) {
        if trainable && !layer.weights().is_empty() {
            self.first_trained.get_or_insert(self.layers.len());
        }
        self.layers.push(layer);
        self.gradients.push(Vec::new());
    }

    /// Whether any weight in it is trained.
    pub fn is_trained(&self) -> bool {
        self.first_trained.is_some()
    }

    /// Computes every layer's output.
    pub fn forward(&mut self, input: &[f32], training: Option<Training>) {
        for i in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(i);
            rest[0].forward(before.last().map_or(input, |layer| layer.output()), training);
        }
    }

    /// The last layer's output, or the input of a chain without layers.
    pub fn output<'a>(&'a self, input: &'a [f32]) -> &'a [f32] {
        self.layers.last().map_or(input, |layer| layer.output())
    }

    /// The last layer's output, and the buffer for its gradient at the same size.
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

    /// Goes back from the gradient of the last layer's output, which [`Chain::output_and_gradient`] lent.
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
