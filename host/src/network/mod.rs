//! The network that is trained: what `fit` asks of any model, and a small fast embedded engine.
//!
//! A program with its own model implements [`Network`] for it. [`Sequential`] is the embedded one: dense layers,
//! activations and dropout, one trunk and any number of named outputs, built from a [`NetworkConfig`].

mod activation;
mod chain;
mod dense;
mod elementwise;
mod exp;
mod fields;
mod formulas;
#[cfg(test)]
mod gradient_tests;
mod initializer;
mod layer;
mod matmul;
mod random;
mod sequential;
mod simd;
mod softmax;
mod spec;
mod summary;

pub use activation::Activation;
pub use initializer::{Distribution, Initializer};
pub use sequential::Sequential;
pub use spec::{LayerConfig, LayerKind, NetworkConfig};

use ndarray::{ArrayD, ArrayView, ArrayViewD, ArrayViewMutD, IxDyn};

use crate::data::text::{grouped, nearest};
use crate::{Error, Result};

/// A forward pass is part of training, and this is what its randomness follows from.
///
/// Dropout and the like draw from (seed, step, layer) alone: a resumed run has no generator's state to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// The run's seed.
    pub seed: u64,
    /// The number of the training step, from the run's beginning.
    pub step: u64,
}

/// What is known of a weight before training: its names and its shape, as in Keras.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in its layer, such as "kernel".
    pub name: String,
    /// Its name in the network, such as "dense_1/kernel"; unique.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is trained.
    pub trainable: bool,
}

impl Parameter {
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no numbers at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Receives a parameter's index, its values, and its gradient if the last backward pass gave it one.
pub type ParameterVisitor<'visit, 'network> = dyn FnMut(usize, &'network mut [f32], Option<&'network [f32]>) + 'visit;

/// A model that `fit`, `evaluate` and `predict` can drive; the embedded [`Sequential`] or a program's own.
///
/// A training step is: [`forward`](Network::forward) with [`Training`]; for each output with a loss,
/// [`output_and_gradient`](Network::output_and_gradient), whose buffer the loss fills;
/// [`backward`](Network::backward); then [`visit_parameters`](Network::visit_parameters) for the optimizer. Buffers are
/// the network's and lent, so that nothing is copied. All arrays are float32 in C order, the first axis the samples.
pub trait Network: Send {
    /// The shape of one sample.
    fn input_shape(&self) -> &[usize];

    /// The outputs' names, in order; at least one.
    fn output_names(&self) -> &[String];

    /// The shape of one sample of an output. Panics if there is no output of that index.
    fn output_shape(&self, index: usize) -> &[usize];

    /// Computes every output for a batch `[N, ...input_shape]`. With `training`, what `backward` needs is kept.
    ///
    /// # Errors
    /// If the inputs haven't the network's input shape.
    fn forward(&mut self, inputs: &ArrayViewD<'_, f32>, training: Option<Training>) -> Result<()>;

    /// An output `[N, ...output_shape]` of the last forward pass. Panics if there is no output of that index.
    fn output(&self, index: usize) -> ArrayViewD<'_, f32>;

    /// An output of the last forward pass, and the buffer of the same shape to write its gradient into; the buffer
    /// holds anything. Panics if there is no output of that index.
    fn output_and_gradient(&mut self, index: usize) -> (ArrayViewD<'_, f32>, ArrayViewMutD<'_, f32>);

    /// Computes the parameters' gradients from the gradients written for these outputs, once for a forward pass. The
    /// others are taken to be without a loss: what only they depend on gets no gradient.
    ///
    /// # Errors
    /// If the last forward pass wasn't training, or there is no output of such an index.
    fn backward(&mut self, outputs: &[usize]) -> Result<()>;

    /// What regularisation adds to the loss at the parameters of the last forward pass; its gradients [`backward`](Self::backward) adds
    /// by itself.
    fn penalty(&self) -> f64 {
        0.0
    }

    /// Describes the parameters, in an order that never changes.
    fn parameters(&self) -> &[Parameter];

    /// The values of a parameter, in C order. Panics if there is no parameter of that index.
    fn parameter(&self, index: usize) -> &[f32];

    /// The values of a parameter, to be changed. Panics if there is no parameter of that index.
    fn parameter_mut(&mut self, index: usize) -> &mut [f32];

    /// Hands every parameter to `visit` in order. The slices live as long as the borrow of the network, so that all
    /// may be collected and given to the optimizer in one call. A parameter that isn't trained, or that no output
    /// of the last backward pass depends on, comes without a gradient.
    fn visit_parameters<'network>(&'network mut self, visit: &mut ParameterVisitor<'_, 'network>);

    /// The network in one line, such as "64 > 128 relu > 10 softmax, 9,610 parameters".
    fn summary(&self) -> String {
        format!("{} parameters", grouped(self.parameter_count()))
    }

    /// How many numbers its parameters have in all.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// A copy of a parameter, by its path.
    ///
    /// # Errors
    /// If no parameter has that path.
    fn weight(&self, path: &str) -> Result<ArrayD<f32>> {
        let index = index_of(self.parameters(), path)?;
        let shape = IxDyn(&self.parameters()[index].shape);
        let view = ArrayView::from_shape(shape, self.parameter(index));
        view.map(|view| view.to_owned()).map_err(|error| Error::failure(format!("{path} is not whole: {error}")))
    }

    /// Replaces the values of a parameter, by its path.
    ///
    /// # Errors
    /// If no parameter has that path, or `values` has another shape; nothing is changed then.
    fn set_weight(&mut self, path: &str, values: &ArrayViewD<'_, f32>) -> Result<()> {
        let index = index_of(self.parameters(), path)?;
        let shape = &self.parameters()[index].shape;
        if values.shape() != shape {
            return Err(Error::usage(format!("{path} has the shape {shape:?}; the values have {:?}", values.shape())));
        }
        for (place, value) in self.parameter_mut(index).iter_mut().zip(values) {
            *place = *value;
        }
        Ok(())
    }
}

fn index_of(parameters: &[Parameter], path: &str) -> Result<usize> {
    parameters.iter().position(|parameter| parameter.path == path).ok_or_else(|| {
        let paths = || parameters.iter().map(|parameter| parameter.path.as_str());
        let error = Error::usage(format!("the network has no parameter \"{path}\""));
        match nearest(path, paths())[..] {
            [] => error.with("has", paths().collect::<Vec<_>>().join(", ")),
            ref near => error.with("near", near.join(", ")),
        }
    })
}
