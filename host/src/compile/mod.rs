//! Compile: an optimizer, losses and metrics for the outputs of a model, as Keras's `compile(optimizer, loss, metrics)`.
//!
//! [`Compile`] says what is wanted, [`Host::compile`](crate::Host::compile) makes a [`Compiled`] of it, and that gives the
//! loss and its gradients, lets the optimizer take its step, and keeps the metrics.

mod auto;
mod compiled;
mod config;
mod convert;
mod groups;
mod logs;
mod mean;
mod names;
mod outputs;
mod parts;
mod place;
mod plan;
mod state;
mod tree;
mod values;

pub use auto::OutputShapes;
pub use compiled::Compiled;
pub use convert::{Accepted, Conversions};
pub use groups::Group;
pub use logs::{LogValue, Logs};
pub use tree::{LossWeights, PerOutput};
pub use values::{Number, Output, Values};

use crate::Identifier;

/// What a model is compiled with.
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
    /// The optimizer; "rmsprop" by default, as in Keras. None: the model is evaluated only.
    pub optimizer: Identifier,
    /// The losses: one for all outputs, a list, or a table by output name.
    pub loss: PerOutput,
    /// By what each loss is multiplied in the total.
    pub loss_weights: LossWeights,
    /// The metrics: a list for a single output; a list with an entry for each output, or a table by output name.
    pub metrics: PerOutput,
    /// Metrics that count each sample by its weight; `metrics` don't look at weights.
    pub weighted_metrics: PerOutput,
    /// Parameters that are trained otherwise than the rest.
    pub groups: Vec<Group>,
    /// The outputs' names in order; empty: they have none, as a single output needs none.
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
