//! What plugfit's adapters of tensor libraries share.
//!
//! [`evaluate`] computes a formula with the operations of an [`Engine`]; [`Rows`] brings the arguments of a loss to
//! rows, and [`weight_shape`] its weights to its values; [`NativeLoss`] and [`NativeMetric`] call a plug-in's compiled
//! function with arrays in memory.

#![warn(missing_docs)]

mod engine;
mod evaluate;
mod native;
mod rows;

pub use engine::{Engine, Operand, Value};
pub use evaluate::evaluate;
pub use native::{Array, NativeLoss, NativeMetric};
pub use rows::{Rows, weight_shape};
