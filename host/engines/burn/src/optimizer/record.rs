//! The state of an optimizer, to save and to load.

use burn::record::Record;
use burn::tensor::{Tensor, backend::Backend};

/// The state of an optimizer. Slots belong to the path of their parameter, such as `conv/weight:momentum`.
#[derive(Clone, Debug, Record)]
pub struct OptimizerRecord<B: Backend> {
    /// The number of steps.
    pub steps: u64,
    /// The names of `tensors`.
    pub tensor_names: Vec<String>,
    /// Slots of float32, flat.
    pub tensors: Vec<Tensor<B, 1>>,
    /// The names of `numbers`.
    pub number_names: Vec<String>,
    /// Slots of float64.
    pub numbers: Vec<Vec<f64>>,
}
