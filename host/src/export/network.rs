//! The layers of a network as ONNX nodes.

use std::collections::HashMap;

use super::graph::{Attribute, Element, Graph, Value};
use crate::network::{Activation, ColumnEmbedding, LayerConfig, LayerKind, Network, NetworkConfig, layer_names};
use crate::{Error, Result};

/// Adds a network, and returns the value of each output. `features` is a float32 value of the network's input shape.
///
/// # Errors
/// Returns an error if a layer can't be exported.
pub fn add_network(
    graph: &mut Graph,
    config: &NetworkConfig,
    network: &dyn Network,
    features: Value,
) -> Result<Vec<Value>> {
    let names = layer_names(config)?;
    let (trunk_names, mut head_names) = names.split_at(config.layers.len());
    let mut adder = Adder { graph, network };
    let shape = network.input_shape().to_vec();
    let trunk = Sample { value: features, shape };
    let trunk = adder.embeddings(&config.embeddings, trunk)?;
    let trunk = adder.layers(&config.layers, trunk_names, trunk)?;
    if config.outputs.is_empty() {
        return Ok(vec![trunk.value]);
    }
    let mut outputs = Vec::new();
    for (_, layers) in &config.outputs {
        let (names, rest) = head_names.split_at(layers.len());
        outputs.push(adder.layers(layers, names, trunk.clone())?.value);
        head_names = rest;
    }
    Ok(outputs)
}

/// A value, and its shape without the axis of the samples.
#[derive(Clone)]
struct Sample {
    value: Value,
    shape: Vec<usize>,
}

struct Adder<'a> {
    graph: &'a mut Graph,
    network: &'a dyn Network,
}

impl Adder<'_> {
    /// Adds a parameter as a constant.
    fn parameter(&mut self, path: &str) -> Result<Value> {
        let values = self.network.weight(path)?;
        let flat: Vec<f32> = values.iter().copied().collect();
        Ok(self.graph.floats(path, values.shape(), &flat))
    }

    /// Looks up ids in a table. ONNX would count a negative id from the end, and round others: an id that predictions
    /// refuse becomes one beyond the table, for which the runtime reports an error.
    fn look_up(&mut self, path: &str, categories: usize, ids: &Value) -> Result<Value> {
        let table = self.parameter(path)?;
        let (zero, beyond) = (self.graph.float(0.0), self.graph.float(categories as f32));
        let floor = self.graph.apply("Floor", &[ids]);
        let is_whole = self.graph.apply("Equal", &[&floor, ids]);
        let is_positive = self.graph.apply("GreaterOrEqual", &[ids, &zero]);
        let is_id = self.graph.apply("And", &[&is_whole, &is_positive]);
        let ids = self.graph.apply("Where", &[&is_id, ids, &beyond]);
        let ids = self.graph.cast(&ids, Element::Int64);
        Ok(self.graph.apply("Gather", &[&table, &ids]))
    }

    /// Replaces the embedded columns: the other columns come first.
    fn embeddings(&mut self, embeddings: &[ColumnEmbedding], features: Sample) -> Result<Sample> {
        if embeddings.is_empty() {
            return Ok(features);
        }
        let columns = features.shape.iter().product::<usize>();
        let features = &features.value;
        let is_other = |column: &i64| !embeddings.iter().any(|embedding| embedding.column as i64 == *column);
        let others: Vec<i64> = (0..columns as i64).filter(is_other).collect();
        let axis = || [("axis", Attribute::Int(1))];
        let mut parts = Vec::new();
        let mut width = others.len();
        if !others.is_empty() {
            let others = self.graph.integers(&others);
            parts.push(self.graph.apply_with("Gather", &[features, &others], &axis()));
        }
        for ColumnEmbedding { name, column, categories, dim } in embeddings {
            let column = self.graph.integers(&[*column as i64]);
            let ids = self.graph.apply_with("Gather", &[features, &column], &axis());
            let vectors = self.look_up(&format!("embedding_{name}/embeddings"), *categories, &ids)?;
            let shape = self.graph.integers(&[-1, *dim as i64]);
            parts.push(self.graph.apply("Reshape", &[&vectors, &shape]));
            width += dim;
        }
        Ok(Sample { value: self.graph.concat(&parts), shape: vec![width] })
    }

    fn layers(&mut self, layers: &[LayerConfig], names: &[String], mut sample: Sample) -> Result<Sample> {
        let mut earlier: HashMap<&str, Value> = HashMap::new();
        for (layer, name) in layers.iter().zip(names) {
            let value = self.layer(&layer.kind, name, &sample, &earlier)?;
            let shape = layer.kind.output_shape(sample.shape);
            let shape = shape.ok_or_else(|| Error::failure(format!("the output of {name} doesn't fit in memory")))?;
            earlier.insert(name, value.clone());
            sample = Sample { value, shape };
        }
        Ok(sample)
    }

    fn layer(&mut self, kind: &LayerKind, name: &str, input: &Sample, earlier: &HashMap<&str, Value>) -> Result<Value> {
        let value = input.value.clone();
        Ok(match kind {
            LayerKind::Dense { activation, use_bias, .. } => {
                let kernel = self.parameter(&format!("{name}/kernel"))?;
                let mut value = self.graph.apply("MatMul", &[&value, &kernel]);
                if *use_bias {
                    let bias = self.parameter(&format!("{name}/bias"))?;
                    value = self.graph.apply("Add", &[&value, &bias]);
                }
                add_activation(self.graph, *activation, value)
            }
            LayerKind::Activation(activation) => add_activation(self.graph, *activation, value),
            LayerKind::Dropout { .. } => value,
            LayerKind::Flatten => self.graph.apply_with("Flatten", &[&value], &[("axis", Attribute::Int(1))]),
            LayerKind::Embedding { input_dim, .. } => {
                self.look_up(&format!("{name}/embeddings"), *input_dim, &value)?
            }
            LayerKind::BatchNormalization { epsilon, gamma_initializer, beta_initializer, .. } => {
                // The operator BatchNormalization has its channels on the second axis, the layer on the last.
                let mean = self.parameter(&format!("{name}/moving_mean"))?;
                let mut factors = self.network.weight(&format!("{name}/moving_variance"))?;
                factors.mapv_inplace(|variance| (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32);
                if gamma_initializer.is_some() {
                    factors *= &self.network.weight(&format!("{name}/gamma"))?;
                }
                let flat: Vec<f32> = factors.iter().copied().collect();
                let factors = self.graph.floats(&format!("{name}/factors"), &[flat.len()], &flat);
                let value = self.graph.apply("Sub", &[&value, &mean]);
                let value = self.graph.apply("Mul", &[&value, &factors]);
                match beta_initializer {
                    None => value,
                    Some(_) => {
                        let beta = self.parameter(&format!("{name}/beta"))?;
                        self.graph.apply("Add", &[&value, &beta])
                    }
                }
            }
            LayerKind::LayerNormalization { epsilon, gamma_initializer, beta_initializer } => {
                let affine = (gamma_initializer.is_some(), beta_initializer.is_some());
                self.layer_normalization(name, input, *epsilon, affine)?
            }
            LayerKind::Rescaling { scale, offset } => {
                let mut constant = |numbers: &[f64], key: &str| {
                    let numbers: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
                    self.graph.floats(&format!("{name}/{key}"), &[numbers.len()], &numbers)
                };
                let (scale, offset) = (constant(scale, "scale"), constant(offset, "offset"));
                let scaled = self.graph.apply("Mul", &[&value, &scale]);
                self.graph.apply("Add", &[&scaled, &offset])
            }
            LayerKind::Add { from } => {
                let Some(other) = earlier.get(from.as_str()) else {
                    return Err(Error::failure(format!("{name} adds \"{from}\", which isn't an earlier layer")));
                };
                self.graph.apply("Add", &[&value, other])
            }
        })
    }

    fn layer_normalization(
        &mut self,
        name: &str,
        input: &Sample,
        epsilon: f64,
        (scale, center): (bool, bool),
    ) -> Result<Value> {
        let scale = match scale {
            true => self.parameter(&format!("{name}/gamma"))?,
            false => {
                let width = input.shape.last().copied().unwrap_or(1);
                self.graph.floats(&format!("{name}/gamma"), &[width], &vec![1.0; width])
            }
        };
        let settings = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(epsilon as f32))];
        if !center {
            return Ok(self.graph.apply_with("LayerNormalization", &[&input.value, &scale], &settings));
        }
        let offset = self.parameter(&format!("{name}/beta"))?;
        Ok(self.graph.apply_with("LayerNormalization", &[&input.value, &scale, &offset], &settings))
    }
}

/// Adds an activation along the last axis.
fn add_activation(graph: &mut Graph, activation: Activation, value: Value) -> Value {
    let alpha = |alpha: f32| ("alpha", Attribute::Float(alpha));
    match activation {
        Activation::Linear => value,
        Activation::Relu => graph.apply("Relu", &[&value]),
        Activation::LeakyRelu => graph.apply_with("LeakyRelu", &[&value], &[alpha(0.2)]),
        Activation::Elu => graph.apply_with("Elu", &[&value], &[alpha(1.0)]),
        Activation::Selu => {
            graph.apply_with("Selu", &[&value], &[alpha(1.673_263_2), ("gamma", Attribute::Float(1.050_701))])
        }
        Activation::Gelu => {
            // The operator Gelu is newer: z (1 + erf(z / √2)) / 2.
            let (root, one, half) = (graph.float(std::f32::consts::FRAC_1_SQRT_2), graph.float(1.0), graph.float(0.5));
            let scaled = graph.apply("Mul", &[&value, &root]);
            let error_function = graph.apply("Erf", &[&scaled]);
            let doubled = graph.apply("Add", &[&error_function, &one]);
            let below = graph.apply("Mul", &[&doubled, &half]);
            graph.apply("Mul", &[&value, &below])
        }
        Activation::Sigmoid => graph.apply("Sigmoid", &[&value]),
        Activation::Tanh => graph.apply("Tanh", &[&value]),
        Activation::Softmax => graph.apply_with("Softmax", &[&value], &[("axis", Attribute::Int(-1))]),
        Activation::Softplus => graph.apply("Softplus", &[&value]),
        Activation::Silu => {
            let gate = graph.apply("Sigmoid", &[&value]);
            graph.apply("Mul", &[&value, &gate])
        }
        Activation::Exponential => graph.apply("Exp", &[&value]),
    }
}
