//! A sequence of layers and the gradients between them.

use super::Training;
use super::layer::{InputGradient, Layer};
use super::matmul::Store;
use crate::Result;

/// A sequence of layers. The output of an empty chain is its input.
#[derive(Default)]
pub struct Chain {
    pub layers: Vec<Box<dyn Layer>>,
    /// The index of the earlier layer whose output is added to that of each layer, if there is one.
    added: Vec<Option<usize>>,
    /// The gradient of each layer's output.
    gradients: Vec<Vec<f32>>,
    /// How the next gradient for each layer's output is stored: later ones are added to the first one.
    stores: Vec<Store>,
    /// The index of the first layer with trained weights. Layers before it need no gradient.
    first_trained: Option<usize>,
}

impl Chain {
    /// Appends a layer.
    pub fn push(&mut self, layer: Box<dyn Layer>, trainable: bool) {
        if trainable && layer.weights().iter().any(|weight| weight.has_gradient) {
            self.first_trained.get_or_insert(self.layers.len());
        }
        self.layers.push(layer);
        self.added.push(None);
        self.gradients.push(Vec::new());
        self.stores.push(Store::Replace);
    }

    /// Appends a layer that adds the output of an earlier one, of the same size.
    pub fn push_sum(&mut self, layer: Box<dyn Layer>, earlier: usize) {
        self.push(layer, true);
        if let Some(added) = self.added.last_mut() {
            *added = Some(earlier);
        }
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
            if let Some(earlier) = self.added[i] {
                rest[0].add(before[earlier].output());
            }
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
        self.stores.fill(Store::Replace);
        for i in (first..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            let (gradients_before, gradients) = self.gradients.split_at_mut(i);
            // The gradient of a sum is that of both of its terms.
            if let Some(earlier) = self.added[i].filter(|earlier| *earlier >= first) {
                gradients_before[earlier].resize(gradients[0].len(), 0.0);
                self.stores[earlier].write_all(&mut gradients_before[earlier], &gradients[0]);
                self.stores[earlier] = Store::Add;
            }
            let (input, input_gradient) = match (before.last(), gradients_before.last_mut()) {
                (Some(layer), Some(gradient)) if i > first => {
                    gradient.resize(layer.output().len(), 0.0);
                    (layer.output(), Some((std::mem::replace(&mut self.stores[i - 1], Store::Add), &mut gradient[..])))
                }
                (Some(layer), _) => (layer.output(), None),
                (None, _) => (input, input_gradient.take()),
            };
            rest[0].backward(input, &mut gradients[0], input_gradient);
        }
    }

    /// Lets every layer update its weights without a gradient.
    pub fn end_step(&mut self) {
        self.layers.iter_mut().for_each(|layer| layer.end_step());
    }
}
