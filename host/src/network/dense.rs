//! The dense layer: `activation(x · kernel + bias)` along the last axis.

use super::Training;
use super::activation::Activation;
use super::initializer::Initializer;
use super::layer::{InputGradient, Layer, Weight};
use super::matmul::{Store, product, product_transposed, transposed_product};
use crate::Result;

/// The resolved settings of a dense layer.
pub struct DenseSettings {
    pub inputs: usize,
    pub units: usize,
    pub activation: Activation,
    pub use_bias: bool,
    pub kernel_initializer: Initializer,
    pub bias_initializer: Initializer,
    pub trainable: bool,
}

/// A dense layer.
pub struct Dense {
    inputs: usize,
    units: usize,
    activation: Activation,
    trainable: bool,
    /// The kernel `[inputs, units]`, then the bias `[units]` if there is one.
    weights: Vec<Weight>,
    output: Vec<f32>,
    derivatives: Vec<f32>,
    /// Scratch space: the bias gradients of the blocks of a large batch.
    partial: Vec<f32>,
}

impl Dense {
    /// Creates the layer. `layer_index` is the index of the layer; it distinguishes the random numbers of the layers.
    pub fn new(settings: DenseSettings, name: &str, seed: u64, layer_index: usize) -> Result<Self> {
        let DenseSettings { inputs, units, activation, trainable, .. } = settings;
        let mut kernel = Weight::new("kernel", vec![inputs, units], name)?;
        settings.kernel_initializer.fill(&mut kernel.values, [inputs, units], seed, &[layer_index as u64, 0]);
        let mut weights = vec![kernel];
        if settings.use_bias {
            let mut bias = Weight::new("bias", vec![units], name)?;
            settings.bias_initializer.fill(&mut bias.values, [units, units], seed, &[layer_index as u64, 1]);
            weights.push(bias);
        }
        Ok(Dense {
            inputs,
            units,
            activation,
            trainable,
            weights,
            output: Vec::new(),
            derivatives: Vec::new(),
            partial: Vec::new(),
        })
    }

    fn dimensions(&self, input: &[f32]) -> [usize; 3] {
        [input.len() / self.inputs, self.inputs, self.units]
    }
}

impl Layer for Dense {
    fn forward(&mut self, input: &[f32], training: Option<Training>) -> Result<()> {
        let dimensions = self.dimensions(input);
        let length = dimensions[0] * self.units;
        self.output.resize(length, 0.0);
        let store_derivatives = training.is_some() && self.activation.stores_derivatives();
        self.derivatives.resize(if store_derivatives { length } else { 0 }, 0.0);
        product(&mut self.output, Store::Replace, input, &self.weights[0].values, dimensions);
        let bias = self.weights.get(1).map_or(&[][..], |bias| &bias.values);
        self.activation.forward(&mut self.output, bias, &mut self.derivatives, self.units);
        Ok(())
    }

    fn output(&self) -> &[f32] {
        &self.output
    }

    fn backward(&mut self, input: &[f32], gradient: &mut [f32], input_gradient: InputGradient<'_>) {
        let dimensions = self.dimensions(input);
        let stored = if self.activation.stores_derivatives() { &self.derivatives } else { &self.output };
        let bias_gradient = match self.weights.get_mut(1) {
            Some(bias) if self.trainable => &mut bias.gradient[..],
            _ => &mut [],
        };
        self.activation.backward(gradient, stored, bias_gradient, &mut self.partial, self.units);
        let kernel = &mut self.weights[0];
        if self.trainable {
            transposed_product(&mut kernel.gradient, Store::Replace, input, gradient, dimensions);
        }
        if let Some((store, target)) = input_gradient {
            product_transposed(target, store, gradient, &kernel.values, dimensions);
        }
    }

    fn weights(&self) -> &[Weight] {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut [Weight] {
        &mut self.weights
    }
}
