//! Compiles an optimizer, losses and metrics for the outputs of a model, like Keras's `compile(optimizer, loss,
//! metrics)`.
//!
//! [`Compile`] is the configuration. [`Host::compile`](crate::Host::compile) turns it into a [`Compiled`], which
//! computes the loss and its gradients, applies the optimizer's steps, and updates the metrics.

mod accuracy_and_crossentropy;
mod compiled;
mod components;
mod config;
mod logs;
mod mean;
mod names;
mod outputs;
mod parts;
mod place;
mod plan;
mod state;
mod tree;

pub use accuracy_and_crossentropy::{OutputShapes, metric_by_shapes};
pub use compiled::Compiled;
pub(crate) use components::Components;
pub use logs::{LogValue, Logs};
pub use tree::{LossWeights, PerOutput};

use crate::Identifier;
pub use crate::component::{Accepted, Conversions, Group, Number, Output, Values};

/// The optimizer, losses and metrics to compile for a model.
///
/// ```
/// use plugfit::compile::Compile;
///
/// let compile = Compile {
///     optimizer: "AdamW(learning_rate=3e-4)".into(),
///     loss: "sparse_categorical_crossentropy".into(),
///     metrics: ["accuracy"].into(),
///     ..Compile::default()
/// };
/// ```
#[derive(Clone, Debug)]
pub struct Compile {
    /// The optimizer; "rmsprop" by default, as in Keras. Without an optimizer the model can only be evaluated.
    pub optimizer: Identifier,
    /// The losses: one for all outputs, a list, or a table by output name.
    pub loss: PerOutput,
    /// The factor of each loss in the total.
    pub loss_weights: LossWeights,
    /// The metrics: a list for a single output; a list with an entry for each output, or a table by output name.
    pub metrics: PerOutput,
    /// Metrics that use the sample weights; `metrics` ignore them.
    pub weighted_metrics: PerOutput,
    /// Parameter groups with different training settings.
    pub groups: Vec<Group>,
    /// The names of the outputs, in order; empty if they have none. A single output needs no name.
    pub outputs: Vec<String>,
}

impl Default for Compile {
    fn default() -> Self {
        Compile {
            optimizer: "rmsprop".into(),
            loss: PerOutput::none(),
            loss_weights: LossWeights::None,
            metrics: PerOutput::none(),
            weighted_metrics: PerOutput::none(),
            groups: Vec::new(),
            outputs: Vec::new(),
        }
    }
}
