//! The [`Network`] trait, which training requires of a model, and the embedded network.
//!
//! A program with its own model implements [`Network`]. [`Sequential`] is the embedded network: dense layers,
//! activations, dropout, embeddings and normalisations, with one trunk and any number of named outputs, built from a
//! [`NetworkConfig`].

mod activation;
mod add;
mod batch_normalization;
mod builder;
mod chain;
mod column_embedding;
mod dense;
mod elementwise;
mod embedding;
#[cfg(test)]
mod embedding_tests;
mod exp;
mod fields;
mod formulas;
#[cfg(test)]
mod gradient_tests;
mod ids;
mod initializer;
mod layer;
mod layer_config;
mod layer_fields;
mod layer_kind;
mod layer_normalization;
#[cfg(test)]
mod layer_tests;
mod matmul;
mod names;
mod normalization;
mod rescaling;
mod sequential;
mod simd;
mod softmax;
mod spec;
mod summary;

pub use activation::Activation;
pub use column_embedding::ColumnEmbedding;
pub use initializer::{Distribution, Initializer};
pub use layer_config::LayerConfig;
pub use layer_kind::LayerKind;
pub use names::layer_names;
pub use sequential::Sequential;
pub use spec::NetworkConfig;

use ndarray::{ArrayD, ArrayView, ArrayViewD, ArrayViewMutD, IxDyn};

pub use crate::component::Parameter;
use crate::text::grouped;
use crate::{Error, Result};

/// Marks a forward pass as part of training, and seeds its random numbers.
///
/// Dropout draws from (seed, step, layer) only, so a resumed run has no generator state to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the training step since the start of the run.
    pub step: u64,
}

/// A callback for [`visit_parameters`](Network::visit_parameters). Its arguments are the index of a parameter, its
/// values, and its gradient if the last backward pass computed one.
pub type ParameterVisitor<'visit, 'network> = dyn FnMut(usize, &'network mut [f32], Option<&'network [f32]>) + 'visit;

/// A model for `fit`, `evaluate` and `predict`: the embedded [`Sequential`], or one that a program implements.
///
/// A training step calls [`forward`](Network::forward) with [`Training`];
/// [`output_and_gradient`](Network::output_and_gradient) for each output with a loss, which fills the gradient buffer;
/// [`backward`](Network::backward); and then [`visit_parameters`](Network::visit_parameters) for the optimizer. The
/// network owns all buffers, and callers borrow them, so that nothing is copied. All arrays are float32 in C order; the
/// first axis is the sample axis.
pub trait Network: Send {
    /// Returns the shape of one sample.
    fn input_shape(&self) -> &[usize];

    /// Returns the names of the outputs, in order; at least one.
    fn output_names(&self) -> &[String];

    /// Returns the shape of an output for one sample. Panics if `index` is out of bounds.
    fn output_shape(&self, index: usize) -> &[usize];

    /// Computes all outputs for a batch `[N, ...input_shape]`. With `training`, stores what `backward` needs.
    ///
    /// # Errors
    /// Returns an error if the inputs don't have the input shape of the network.
    fn forward(&mut self, inputs: &ArrayViewD<'_, f32>, training: Option<Training>) -> Result<()>;

    /// Returns an output `[N, ...output_shape]` of the last forward pass. Panics if `index` is out of bounds.
    fn output(&self, index: usize) -> ArrayViewD<'_, f32>;

    /// Returns an output of the last forward pass, and the buffer of the same shape for its gradient. The initial
    /// contents of the buffer are unspecified. Panics if `index` is out of bounds.
    fn output_and_gradient(&mut self, index: usize) -> (ArrayViewD<'_, f32>, ArrayViewMutD<'_, f32>);

    /// Computes the gradients of the parameters from the gradients written for `outputs`. Must be called at most once
    /// per forward pass. Parameters that none of these outputs depends on get no gradient.
    ///
    /// # Errors
    /// Returns an error if the last forward pass wasn't in training, or an index is out of bounds.
    fn backward(&mut self, outputs: &[usize]) -> Result<()>;

    /// Returns the regularisation penalty for the parameters of the last forward pass, which is added to the loss.
    /// [`backward`](Self::backward) must include its gradients.
    fn penalty(&self) -> f64 {
        0.0
    }

    /// Returns the names and shapes of the parameters, in a fixed order.
    fn parameters(&self) -> &[Parameter];

    /// Returns the values of a parameter, in C order. Panics if `index` is out of bounds.
    fn parameter(&self, index: usize) -> &[f32];

    /// Returns the values of a parameter, mutably. Panics if `index` is out of bounds.
    fn parameter_mut(&mut self, index: usize) -> &mut [f32];

    /// Calls `visit` for every parameter in order. The slices live as long as the borrow of the network, so that all of
    /// them can be collected and passed to the optimizer in one call. Parameters that aren't trained, or that no output
    /// of the last backward pass depends on, have no gradient.
    fn visit_parameters<'network>(&'network mut self, visit: &mut ParameterVisitor<'_, 'network>);

    /// Returns a summary in one line, such as "64 > 128 relu > 10 softmax, 9,610 parameters".
    fn summary(&self) -> String {
        format!("{} parameters", grouped(self.parameter_count()))
    }

    /// Returns the total number of elements of all parameters.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// Returns a copy of the parameter with this path.
    ///
    /// # Errors
    /// Returns an error if there is no such parameter.
    fn weight(&self, path: &str) -> Result<ArrayD<f32>> {
        let index = index_of(self.parameters(), path)?;
        let shape = IxDyn(&self.parameters()[index].shape);
        let view = ArrayView::from_shape(shape, self.parameter(index));
        view.map(|view| view.to_owned()).map_err(|error| Error::failure(format!("{path} is not whole: {error}")))
    }

    /// Replaces the values of the parameter with this path.
    ///
    /// # Errors
    /// Returns an error if there is no such parameter or the shape of `values` differs. The parameter is then
    /// unchanged.
    fn set_weight(&mut self, path: &str, values: &ArrayViewD<'_, f32>) -> Result<()> {
        let index = index_of(self.parameters(), path)?;
        let shape = &self.parameters()[index].shape;
        if values.shape() != shape {
            return Err(Error::usage(format!("{path} has the shape {shape:?}; the values have {:?}", values.shape())));
        }
        for (parameter, value) in self.parameter_mut(index).iter_mut().zip(values) {
            *parameter = *value;
        }
        Ok(())
    }
}

fn index_of(parameters: &[Parameter], path: &str) -> Result<usize> {
    parameters.iter().position(|parameter| parameter.path == path).ok_or_else(|| {
        let paths = parameters.iter().map(|parameter| parameter.path.as_str());
        Error::usage(format!("the network has no parameter \"{path}\"")).near_or_all(path, paths)
    })
}
