//! The embedded network: a trunk of layers with named heads.

use ndarray::{ArrayView, ArrayViewD, ArrayViewMut, ArrayViewMutD, IxDyn};

use super::builder::Builder;
use super::chain::Chain;
use super::layer::Weight;
use super::matmul::Store;
use super::summary::summary;
use super::{Network, NetworkConfig, Parameter, ParameterVisitor, Training};
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
        let mut builder = Builder::new(config, seed)?;
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
        let trunk = builder.trunk(config, input_shape)?;
        for (name, layers) in &config.outputs {
            let head = builder.head(layers, &trunk)?;
            network.heads.push(head.chain);
            network.output_names.push(name.clone());
            network.output_shapes.push(head.shape);
        }
        if config.outputs.is_empty() {
            network.output_names.push(trunk.last_name);
            network.output_shapes.push(trunk.shape);
        }
        network.trunk = trunk.chain;
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
        std::iter::once(&mut self.trunk).chain(&mut self.heads).for_each(Chain::end_step);
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

/// Formats a shape with the batch axis, "N" if the batch size is unknown: `[N, 64]`.
fn shape_text(batch_size: Option<usize>, shape: &[usize]) -> String {
    let first = batch_size.map_or("N".to_owned(), |size| size.to_string());
    let axes: Vec<String> = std::iter::once(first).chain(shape.iter().map(usize::to_string)).collect();
    format!("[{}]", axes.join(", "))
}
