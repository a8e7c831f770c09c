//! plugfit's components for candle: losses, optimizers, metrics and learning-rate schedules by their identifiers, from
//! the plug-ins of a [`plugfit::Host`].
//!
//! * [`Loss`] is a function of tensors with a gradient.
//! * [`Optimizer`] implements [`candle_nn::Optimizer`].
//! * [`Metric`] accumulates batches of tensors.
//! * [`Schedule`] sets the learning rate of any optimizer of candle.
//!
//! A loss or an optimizer with a formula is computed by candle's operations, on any device; its derivatives are those
//! that the plug-in gives. Others, and metrics, are computed by the plug-in in memory.

#![warn(missing_docs)]

mod arrays;
mod engine;
mod loss;
mod metric;
mod operation;
mod optimizer;
mod reduction;
mod schedule;

pub use loss::Loss;
pub use metric::Metric;
pub use optimizer::Optimizer;
pub use schedule::Schedule;
