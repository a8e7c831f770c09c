//! plugfit's components for burn: losses, optimizers, metrics and learning-rate schedules by their identifiers, from
//! the plug-ins of a [`plugfit::Host`].
//!
//! * [`Loss`] is a function of tensors with a gradient.
//! * [`Optimizer`] implements [`burn::optim::Optimizer`].
//! * [`Metric`] accumulates batches of tensors.
//! * [`Schedule`] implements [`burn::lr_scheduler::LrScheduler`].
//!
//! A loss or an optimizer with a formula is computed by burn's operations, on any backend; its derivatives are those
//! that the plug-in gives. Others, and metrics, are computed by the plug-in in memory.

#![warn(missing_docs)]

mod engine;
mod labels;
mod loss;
mod metric;
mod optimizer;
mod reduction;
mod schedule;

pub use labels::Labels;
pub use loss::Loss;
pub use metric::Metric;
pub use optimizer::{Optimizer, OptimizerRecord};
pub use schedule::Schedule;
