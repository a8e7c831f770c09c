//! The embedded network: a trunk of layers with named heads.

use std::collections::{HashMap, HashSet};

use ndarray::{ArrayView, ArrayViewD, ArrayViewMut, ArrayViewMutD, IxDyn};

use super::chain::Chain;
use super::column_embedding::ColumnEmbeddings;
use super::dense::{Dense, DenseSettings};
use super::layer::{ActivationLayer, Dropout, Layer, Weight};
use super::matmul::Store;
use super::summary::summary;
use super::{Activation, LayerConfig, LayerKind, Network, NetworkConfig, Parameter, ParameterVisitor, Training};
use crate::{Error, Result};

/// The embedded network. After the first batch, batches of the same or a smaller size allocate nothing.
pub struct Sequential {
    input_shape: Vec<usize>,
    output_names: Vec<String>,
    output_shapes: Vec<Vec<usize>>,
    /// The shapes of the outputs, including the batch size.
    batch_shapes: Vec<Vec<usize>>,
    parameters: Vec<Parameter>,
    summary: String,
    trunk: Chain,
    heads: Vec<Chain>,
    /// A copy of the inputs of the last forward pass, if it was in training or they weren't contiguous.
    inputs: Vec<f32>,
    batch_size: usize,
    was_training: bool,
    /// Whether the last backward pass reached the trunk (first element) and each head.
    has_gradient: Vec<bool>,
}

impl Sequential {
    /// Creates a network for samples of `input_shape`, with random weights from `seed`.
    ///
    /// # Errors
    /// Returns a usage error if there are no layers, two layers or outputs have the same name, the input of a layer has
    /// no elements, or the network doesn't fit in memory.
    pub fn new(config: &NetworkConfig, input_shape: &[usize], seed: u64) -> Result<Self> {
        if config.layers.is_empty() && config.outputs.is_empty() {
            return Err(Error::usage("the network has no layers")
                .with("in", "network.layers")
                .hint("such as layers = [\"Dense(10, activation=softmax)\"]"));
        }
        if input_shape.contains(&0) {
            let message = format!("inputs of shape {} have no numbers", shape_text(None, input_shape));
            return Err(Error::usage(message).hint("name at least one input column"));
        }
        let names = layer_names(config)?;
        let mut builder = Builder { names: names.into_iter(), parameters: Vec::new(), seed, layer_index: 0 };
        let only_trunk = config.outputs.is_empty();
        let mut network = Sequential {
            input_shape: input_shape.to_vec(),
            output_names: Vec::new(),
            output_shapes: Vec::new(),
            batch_shapes: Vec::new(),
            parameters: Vec::new(),
            summary: String::new(),
            trunk: Chain::default(),
            heads: Vec::new(),
            inputs: Vec::new(),
            batch_size: 0,
            was_training: false,
            has_gradient: vec![false; 1 + config.outputs.len()],
        };
        let mut trunk = Chain::default();
        let mut trunk_input = input_shape.to_vec();
        if !config.embeddings.is_empty() {
            let layer = ColumnEmbeddings::new(&config.embeddings, input_shape, seed)?;
            for (weight, embedding) in layer.weights().iter().zip(&config.embeddings) {
                builder.describe(weight, &embedding.layer_name(), true);
            }
            trunk_input = vec![layer.width()];
            trunk.push(Box::new(layer), true);
        }
        let (trunk, trunk_shape, trunk_name) = builder.chain(trunk, &config.layers, &trunk_input, only_trunk)?;
        network.trunk = trunk;
        if only_trunk {
            network.output_names.push(trunk_name);
            network.output_shapes.push(trunk_shape);
        } else {
            for (name, layers) in &config.outputs {
                let (head, shape, _) = builder.chain(Chain::default(), layers, &trunk_shape, true)?;
                network.heads.push(head);
                network.output_names.push(name.clone());
                network.output_shapes.push(shape);
            }
        }
        network.batch_shapes = network.output_shapes.iter().map(|shape| [&[0], &shape[..]].concat()).collect();
        network.parameters = builder.parameters;
        network.summary = summary(config, input_shape, network.parameter_count());
        Ok(network)
    }

    fn weights(&self) -> impl Iterator<Item = &Weight> {
        let chains = std::iter::once(&self.trunk).chain(&self.heads);
        chains.flat_map(|chain| &chain.layers).flat_map(|layer| layer.weights())
    }
}

impl Network for Sequential {
    fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    fn output_names(&self) -> &[String] {
        &self.output_names
    }

    fn output_shape(&self, index: usize) -> &[usize] {
        &self.output_shapes[index]
    }

    fn forward(&mut self, inputs: &ArrayViewD<'_, f32>, training: Option<Training>) -> Result<()> {
        if inputs.shape().get(1..) != Some(&self.input_shape[..]) {
            let message = format!(
                "the network takes inputs of shape {}; these have {}",
                shape_text(None, &self.input_shape),
                shape_text(inputs.shape().first().copied(), inputs.shape().get(1..).unwrap_or_default())
            );
            return Err(Error::usage(message));
        }
        self.batch_size = inputs.shape()[0];
        // If a layer fails, no backward pass may follow.
        self.was_training = false;
        self.has_gradient.fill(false);
        for shape in &mut self.batch_shapes {
            shape[0] = self.batch_size;
        }
        let inputs = match inputs.as_slice() {
            Some(inputs) if training.is_none() => inputs,
            contiguous => {
                self.inputs.clear();
                match contiguous {
                    Some(inputs) => self.inputs.extend_from_slice(inputs),
                    None => self.inputs.extend(inputs.iter()),
                }
                &self.inputs
            }
        };
        self.trunk.forward(inputs, training)?;
        let trunk_output = self.trunk.output(inputs);
        for head in &mut self.heads {
            head.forward(trunk_output, training)?;
        }
        self.was_training = training.is_some();
        Ok(())
    }

    fn output(&self, index: usize) -> ArrayViewD<'_, f32> {
        let chain = if self.heads.is_empty() { &self.trunk } else { &self.heads[index] };
        ArrayView::from_shape(IxDyn(&self.batch_shapes[index]), chain.output(&[])).expect("the output has its shape")
    }

    fn output_and_gradient(&mut self, index: usize) -> (ArrayViewD<'_, f32>, ArrayViewMutD<'_, f32>) {
        let chain = if self.heads.is_empty() { &mut self.trunk } else { &mut self.heads[index] };
        let shape = IxDyn(&self.batch_shapes[index]);
        let (output, gradient) = chain.output_and_gradient();
        (
            ArrayView::from_shape(shape.clone(), output).expect("the output has its shape"),
            ArrayViewMut::from_shape(shape, gradient).expect("the gradient has the output's shape"),
        )
    }

    fn backward(&mut self, outputs: &[usize]) -> Result<()> {
        if !self.was_training {
            return Err(Error::usage("a backward pass must follow a forward pass in training"));
        }
        if let Some(index) = outputs.iter().find(|index| **index >= self.output_names.len()) {
            let message = format!("the network has {} outputs, and none of index {index}", self.output_names.len());
            return Err(Error::usage(message));
        }
        // The backward pass overwrites the stored gradients, so it can't run twice.
        self.was_training = false;
        self.has_gradient.fill(false);
        let mut reaches_trunk = self.heads.is_empty() && !outputs.is_empty();
        for (index, head) in self.heads.iter_mut().enumerate() {
            if !outputs.contains(&index) {
                continue;
            }
            self.has_gradient[1 + index] = true;
            if self.trunk.is_trained() {
                let store = if reaches_trunk { Store::Add } else { Store::Replace };
                let (trunk_output, trunk_gradient) = self.trunk.output_and_gradient();
                head.backward(trunk_output, Some((store, trunk_gradient)));
            } else {
                head.backward(self.trunk.output(&self.inputs), None);
            }
            reaches_trunk = true;
        }
        if reaches_trunk {
            self.has_gradient[0] = true;
            self.trunk.backward(&self.inputs, None);
        }
        Ok(())
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn parameter(&self, index: usize) -> &[f32] {
        &self.weights().nth(index).expect("a parameter of that index").values
    }

    fn parameter_mut(&mut self, index: usize) -> &mut [f32] {
        let chains = std::iter::once(&mut self.trunk).chain(&mut self.heads);
        let mut weights = chains.flat_map(|chain| &mut chain.layers).flat_map(|layer| layer.weights_mut());
        &mut weights.nth(index).expect("a parameter of that index").values
    }

    fn visit_parameters<'network>(&'network mut self, visit: &mut ParameterVisitor<'_, 'network>) {
        let mut index = 0;
        let chains = std::iter::once(&mut self.trunk).chain(&mut self.heads);
        for (chain, has_gradient) in chains.zip(&self.has_gradient) {
            for weight in chain.layers.iter_mut().flat_map(|layer| layer.weights_mut()) {
                let has_gradient = *has_gradient && self.parameters[index].trainable;
                visit(index, &mut weight.values, has_gradient.then_some(&weight.gradient[..]));
                index += 1;
            }
        }
    }

    fn summary(&self) -> String {
        self.summary.clone()
    }
}

struct Builder {
    /// The names of the remaining layers, trunk first.
    names: std::vec::IntoIter<String>,
    parameters: Vec<Parameter>,
    seed: u64,
    /// The index of the next layer.
    layer_index: usize,
}

impl Builder {
    /// Appends layers to a chain whose output has the shape `shape` for a sample. Returns the chain, the shape of its
    /// output and the name of its last layer.
    fn chain(
        &mut self,
        mut chain: Chain,
        layers: &[LayerConfig],
        shape: &[usize],
        is_output: bool,
    ) -> Result<(Chain, Vec<usize>, String)> {
        let mut shape = shape.to_vec();
        let mut last_name = String::new();
        for config in layers {
            let name = self.names.next().unwrap_or_default();
            let width = shape.last().copied().unwrap_or(1);
            match config.kind {
                LayerKind::Dense { units, activation, use_bias, ref kernel_initializer, ref bias_initializer } => {
                    let inputs = match shape.last() {
                        Some(&inputs) if inputs > 0 => inputs,
                        _ => {
                            let message =
                                format!("{name} needs inputs of at least one number; they have the shape {shape:?}");
                            return Err(Error::usage(message).hint("a sample is a vector: [N, 1] rather than [N]"));
                        }
                    };
                    let settings = DenseSettings {
                        inputs,
                        units,
                        activation,
                        use_bias,
                        kernel_initializer: *kernel_initializer,
                        bias_initializer: *bias_initializer,
                        trainable: config.trainable,
                    };
                    let layer = Dense::new(settings, &name, self.seed, self.layer_index)?;
                    layer.weights().iter().for_each(|weight| self.describe(weight, &name, config.trainable));
                    chain.push(Box::new(layer), config.trainable);
                    if let Some(last) = shape.last_mut() {
                        *last = units;
                    }
                }
                LayerKind::Activation(activation) => {
                    chain.push(Box::new(ActivationLayer::new(activation, width)), true)
                }
                LayerKind::Dropout { rate, seed } => {
                    chain.push(Box::new(Dropout::new(rate, seed, self.layer_index)), true)
                }
                // Flattening doesn't change the order of the elements.
                LayerKind::Flatten => shape = vec![shape.iter().product()],
            }
            self.layer_index += 1;
            last_name = name;
        }
        if is_output && chain.layers.is_empty() {
            // An output needs its own buffer.
            let width = shape.last().copied().unwrap_or(1);
            chain.push(Box::new(ActivationLayer::new(Activation::Linear, width)), true);
        }
        Ok((chain, shape, last_name))
    }

    fn describe(&mut self, weight: &Weight, layer_name: &str, trainable: bool) {
        self.parameters.push(Parameter {
            name: weight.name.to_owned(),
            path: format!("{layer_name}/{}", weight.name),
            shape: weight.shape.clone(),
            trainable,
        });
    }
}

/// Returns the names of all layers, trunk first: the configured name; else, for the last layer of a head, the name of
/// the output; else the name of the kind, numbered from the second on, as in Keras.
fn layer_names(config: &NetworkConfig) -> Result<Vec<String>> {
    let mut given: Vec<(Option<&str>, &LayerKind)> =
        config.layers.iter().map(|layer| (layer.name.as_deref(), &layer.kind)).collect();
    let mut outputs = HashSet::new();
    for (output, layers) in &config.outputs {
        let path = format!("network.outputs.{output}");
        if output.is_empty() || output.contains('/') {
            return Err(Error::usage("an output's name must not be empty or have a \"/\"").with("in", path));
        }
        if !outputs.insert(output) {
            return Err(Error::usage(format!("two outputs are called \"{output}\"")).with("in", path));
        }
        let Some(last) = layers.len().checked_sub(1) else {
            return Err(Error::usage(format!("the output \"{output}\" has no layers")).with("in", path));
        };
        given.extend(layers.iter().enumerate().map(|(i, layer)| {
            let name = layer.name.as_deref().or((i == last).then_some(output.as_str()));
            (name, &layer.kind)
        }));
    }
    let mut taken: HashSet<String> = HashSet::new();
    for embedding in &config.embeddings {
        if !taken.insert(embedding.layer_name()) {
            return Err(Error::usage(format!("two embeddings are called \"{}\"", embedding.name))
                .with("in", "network.embeddings"));
        }
    }
    // The first number of each kind that may be free.
    let mut next: HashMap<&str, usize> = HashMap::new();
    for name in given.iter().filter_map(|(name, _)| *name) {
        if !taken.insert(name.to_owned()) {
            return Err(
                Error::usage(format!("two layers are called \"{name}\"")).hint("give one of them another \"name\"")
            );
        }
    }
    Ok(given
        .into_iter()
        .map(|(name, kind)| match name {
            Some(name) => name.to_owned(),
            None => {
                let kind = match kind {
                    LayerKind::Dense { .. } => "dense",
                    LayerKind::Activation(_) => "activation",
                    LayerKind::Dropout { .. } => "dropout",
                    LayerKind::Flatten => "flatten",
                };
                let next = next.entry(kind).or_default();
                loop {
                    let name = if *next == 0 { kind.to_owned() } else { format!("{kind}_{next}") };
                    *next += 1;
                    if taken.insert(name.clone()) {
                        break name;
                    }
                }
            }
        })
        .collect())
}

/// Formats a shape with the batch axis, "N" if the batch size is unknown: `[N, 64]`.
fn shape_text(batch_size: Option<usize>, shape: &[usize]) -> String {
    let first = batch_size.map_or("N".to_owned(), |size| size.to_string());
    let axes: Vec<String> = std::iter::once(first).chain(shape.iter().map(usize::to_string)).collect();
    format!("[{}]", axes.join(", "))
}
