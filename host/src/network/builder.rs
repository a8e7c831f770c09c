//! Builds the chains of layers of a network from its configuration.

use std::collections::HashMap;

use super::add::Add;
use super::batch_normalization::{BatchNormalization, BatchNormalizationSettings};
use super::chain::Chain;
use super::column_embedding::ColumnEmbeddings;
use super::dense::{Dense, DenseSettings};
use super::embedding::Embedding;
use super::layer::{ActivationLayer, Dropout, Layer, Weight};
use super::layer_normalization::LayerNormalization;
use super::names::layer_names;
use super::rescaling::Rescaling;
use super::{Activation, LayerConfig, LayerKind, NetworkConfig, Parameter};
use crate::{Error, Result};

/// Builds chains, and describes their parameters.
pub struct Builder {
    /// The names of the remaining layers, trunk first.
    names: std::vec::IntoIter<String>,
    pub parameters: Vec<Parameter>,
    seed: u64,
    /// The index of the next layer.
    layer_index: usize,
}

/// A chain that is being built.
pub struct Built {
    pub chain: Chain,
    /// The shape of the output of the chain for a sample.
    pub shape: Vec<usize>,
    /// The name of the last layer.
    pub last_name: String,
    /// Whether the output is that of a layer, and not the inputs of the network, which may be ids.
    pub is_computed: bool,
}

impl Builder {
    /// Creates a builder for the layers of a network.
    ///
    /// # Errors
    /// Returns a usage error if two layers or outputs have the same name, or a name is invalid.
    pub fn new(config: &NetworkConfig, seed: u64) -> Result<Self> {
        Ok(Builder { names: layer_names(config)?.into_iter(), parameters: Vec::new(), seed, layer_index: 0 })
    }

    /// Builds the trunk of a network for samples of `input_shape`.
    pub fn trunk(&mut self, config: &NetworkConfig, input_shape: &[usize]) -> Result<Built> {
        let (mut chain, mut shape) = (Chain::default(), input_shape.to_vec());
        if !config.embeddings.is_empty() {
            let layer = ColumnEmbeddings::new(&config.embeddings, input_shape, self.seed)?;
            for (weight, embedding) in layer.weights().iter().zip(&config.embeddings) {
                self.describe(weight, &embedding.layer_name(), true);
            }
            shape = vec![layer.width()];
            chain.push(Box::new(layer), true);
        }
        let is_computed = !config.embeddings.is_empty();
        let start = Built { chain, shape, last_name: String::new(), is_computed };
        self.layers(start, &config.layers, config.outputs.is_empty())
    }

    /// Builds a head at the end of a trunk.
    pub fn head(&mut self, layers: &[LayerConfig], trunk: &Built) -> Result<Built> {
        let start = Built {
            chain: Chain::default(),
            shape: trunk.shape.clone(),
            last_name: String::new(),
            is_computed: trunk.is_computed,
        };
        self.layers(start, layers, true)
    }

    /// Appends layers.
    fn layers(&mut self, mut built: Built, layers: &[LayerConfig], is_output: bool) -> Result<Built> {
        // The layers of this list by name: their index in the chain, and the shape of their output.
        let mut earlier: HashMap<String, (usize, Vec<usize>)> = HashMap::new();
        for config in layers {
            let name = self.names.next().unwrap_or_default();
            self.layer(&mut built, config, &name, &earlier)?;
            built.is_computed |= config.kind != LayerKind::Flatten;
            self.layer_index += 1;
            if let Some(last) = built.chain.layers.len().checked_sub(1) {
                earlier.insert(name.clone(), (last, built.shape.clone()));
            }
            built.last_name = name;
        }
        if is_output && built.chain.layers.is_empty() {
            // An output needs its own buffer.
            let width = built.shape.last().copied().unwrap_or(1);
            built.chain.push(Box::new(ActivationLayer::new(Activation::Linear, width)), true);
        }
        Ok(built)
    }

    /// Appends a layer, and describes its weights.
    fn layer(
        &mut self,
        built: &mut Built,
        config: &LayerConfig,
        name: &str,
        earlier: &HashMap<String, (usize, Vec<usize>)>,
    ) -> Result<()> {
        let place = (name, self.seed, self.layer_index);
        let LayerConfig { trainable, .. } = *config;
        let width = built.shape.last().copied().unwrap_or(1);
        let layer: Box<dyn Layer> = match &config.kind {
            LayerKind::Dense { units, activation, use_bias, kernel_initializer, bias_initializer } => {
                let settings = DenseSettings {
                    inputs: last_axis(name, &built.shape)?,
                    units: *units,
                    activation: *activation,
                    use_bias: *use_bias,
                    kernel_initializer: *kernel_initializer,
                    bias_initializer: *bias_initializer,
                    trainable,
                };
                Box::new(Dense::new(settings, name, self.seed, self.layer_index)?)
            }
            LayerKind::Activation(activation) => Box::new(ActivationLayer::new(*activation, width)),
            LayerKind::Dropout { rate, seed } => Box::new(Dropout::new(*rate, *seed, self.layer_index)),
            // Flattening doesn't change the order of the elements.
            LayerKind::Flatten => {
                built.shape = vec![built.shape.iter().product()];
                return Ok(());
            }
            LayerKind::Embedding { input_dim, output_dim, embeddings_initializer } => {
                if built.is_computed {
                    return Err(Error::usage(format!(
                        "{name} needs category ids, and the layers before it compute numbers"
                    ))
                    .hint("put the Embedding first"));
                }
                Box::new(Embedding::new([*input_dim, *output_dim], embeddings_initializer, trainable, place)?)
            }
            LayerKind::BatchNormalization {
                momentum,
                epsilon,
                beta_initializer,
                gamma_initializer,
                moving_mean_initializer,
                moving_variance_initializer,
            } => {
                let settings = BatchNormalizationSettings {
                    width: last_axis(name, &built.shape)?,
                    momentum: *momentum,
                    epsilon: *epsilon,
                    beta_initializer: *beta_initializer,
                    gamma_initializer: *gamma_initializer,
                    moving_mean_initializer: *moving_mean_initializer,
                    moving_variance_initializer: *moving_variance_initializer,
                    trainable,
                };
                Box::new(BatchNormalization::new(settings, name, self.seed, self.layer_index)?)
            }
            LayerKind::LayerNormalization { epsilon, beta_initializer, gamma_initializer } => {
                let width = last_axis(name, &built.shape)?;
                let affine = [*gamma_initializer, *beta_initializer];
                Box::new(LayerNormalization::new(width, *epsilon, affine, trainable, place)?)
            }
            LayerKind::Rescaling { scale, offset } => {
                for (key, numbers) in [("scale", scale), ("offset", offset)] {
                    if numbers.len() != 1 && numbers.len() != width {
                        let found = numbers.len();
                        return Err(Error::usage(format!("{name} has {found} numbers as {key}, and {width} columns")));
                    }
                }
                Box::new(Rescaling::new(scale, offset, width))
            }
            LayerKind::Add { from } => {
                let Some((index, shape)) = earlier.get(from) else {
                    let mut names: Vec<&str> = earlier.keys().map(String::as_str).collect();
                    names.sort_unstable();
                    return Err(Error::usage(format!(
                        "{name} adds \"{from}\", and no earlier layer beside it has that name"
                    ))
                    .near_or_all(from, names.iter().copied()));
                };
                if *shape != built.shape {
                    let found = &built.shape;
                    return Err(Error::usage(format!(
                        "{name} adds \"{from}\", whose output has the shape {shape:?}, to an input of shape {found:?}"
                    )));
                }
                built.chain.push_sum(Box::new(Add::default()), *index);
                return Ok(());
            }
        };
        layer.weights().iter().for_each(|weight| self.describe(weight, name, trainable));
        built.chain.push(layer, trainable);
        let too_large = || Error::usage(format!("the output of {name} doesn't fit in memory"));
        built.shape = config.kind.output_shape(std::mem::take(&mut built.shape)).ok_or_else(too_large)?;
        Ok(())
    }

    fn describe(&mut self, weight: &Weight, layer_name: &str, trainable: bool) {
        self.parameters.push(Parameter {
            name: weight.name.to_owned(),
            path: format!("{layer_name}/{}", weight.name),
            shape: weight.shape.clone(),
            trainable: trainable && weight.has_gradient,
        });
    }
}

/// Returns the length of the last axis, along which a layer has weights.
fn last_axis(name: &str, shape: &[usize]) -> Result<usize> {
    shape.last().copied().filter(|inputs| *inputs > 0).ok_or_else(|| {
        Error::usage(format!("{name} needs inputs of at least one number; they have the shape {shape:?}"))
            .hint("a sample is a vector: [N, 1] rather than [N]")
    })
}
