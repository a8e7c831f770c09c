//! Write an optimizer, a loss, a metric or a schedule for plugfit, as a crate of your own.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
extern crate self as plugfit_api;

pub mod config;
mod error;
#[doc(hidden)]
pub mod export;
mod inputs;
pub mod instance;
mod lanes;
pub mod loss;
pub mod manifest;
pub mod metric;
pub mod optimizer;
pub mod real;
pub mod schedule;
mod shape;
mod walk;

pub use config::Config;
pub use error::{Error, Result};
pub use export::{
    host::Host,
    nested::{NestedLoss, NestedOptimizer, NestedSchedule},
};
pub use inputs::{Inputs, Prediction};
pub use lanes::tensor::{Element, Tensor, TensorMut};
pub use plugfit_macros::{formula, state, Choice, Config};
pub use real::{Dual, Plain, Real};

#[doc(hidden)]
pub use {plugfit_abi as abi, serde, serde_json};

/// What an author needs, at once.
pub mod prelude {
    pub use crate::{
        config::Identifier,
        export_plugin, formula,
        loss::{ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss, Targets},
        metric::{Direction, Each, MeanMetric, Metric, MetricInfo, Outcome},
        optimizer::{ElementwiseOptimizer, Entry, Optimizer, Parameter, Slot, Start, Step, Update},
        schedule::{Schedule, When},
        state, Choice, Config, Error, Host, Inputs, Real, Result, Tensor, TensorMut,
    };
}
