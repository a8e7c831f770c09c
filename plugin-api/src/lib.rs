#![doc = include_str!("guide.md")]
#![warn(missing_docs)]
// The guide shows complete crates with their tests; hidden lines run the tests' bodies.
#![allow(clippy::test_attr_in_doctest)]
extern crate self as plugfit_api;

mod catch_panics;
pub mod config;
mod error;
#[doc(hidden)]
pub mod export;
pub mod formula;
mod host;
mod inputs;
pub mod instance;
mod kernels;
mod labels;
pub mod loss;
pub mod manifest;
pub mod metric;
mod nested;
mod numeric;
pub mod optimizer;
pub mod real;
mod row;
#[doc(hidden)]
pub mod row_kernels;
pub mod schedule;
#[doc(hidden)]
pub mod shape;
pub mod simd;
mod sums;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "ndarray")]
mod views;
mod walk;
mod weights;

pub use config::Config;
pub use error::{Error, Result};
pub use host::Host;
pub use inputs::Inputs;
pub use kernels::{float::Float, scratch::Scratch};
pub use nested::{NestedLoss, NestedOptimizer, NestedSchedule};
pub use plugfit_macros::{formula, state, Choice, Config};
pub use real::{ClassId, Dual, Mask, Plain, Real};
pub use row::{Pairs, Row};
pub use tensor::{Element, Tensor, TensorMut};
pub use walk::Prediction;

#[doc(hidden)]
pub use {plugfit_abi as abi, serde, serde_json};

/// The items that most plug-ins use.
pub mod prelude {
    pub use crate::{
        config::Identifier,
        export_plugin, formula,
        loss::{ElementwiseLoss, Loss, LossInfo, LossOutput, LossTotals, RowLoss, Targets},
        metric::{
            Around, Direction, Each, MeanMetric, Metric, MetricInfo, Outcome, SumLayout, SumMetric, SumResult, Sums,
            Term,
        },
        optimizer::{
            ElementwiseOptimizer, Entry, FormulaStep, Optimizer, OptimizerInfo, Parameter, Slot, Start, Step, Update,
        },
        schedule::{FormulaSchedule, Schedule, When},
        state, Choice, Config, Error, Host, Inputs, Real, Result, Row, Tensor, TensorMut,
    };
}
