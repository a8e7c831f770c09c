//! The tensors of safetensors files that hold more than weights: checkpoints and models.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::plugin::SlotValues;

/// The prefixes of tensor names.
pub const WEIGHT: &str = "weight:";
pub const SLOT: &str = "slot:";

/// A tensor of float32 or float64.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub values: SlotValues,
    pub shape: Vec<usize>,
}

impl Stored {
    /// Creates a tensor of one axis.
    pub fn vector(values: SlotValues) -> Self {
        Stored { shape: vec![values.len()], values }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        if let SlotValues::Single(_) = self.values { Dtype::F32 } else { Dtype::F64 }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        match &self.values {
            SlotValues::Single(values) => {
                values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
            }
            SlotValues::Double(values) => {
                values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
            }
        }
    }
    fn data_len(&self) -> usize {
        match &self.values {
            SlotValues::Single(values) => size_of_val(values.as_slice()),
            SlotValues::Double(values) => size_of_val(values.as_slice()),
        }
    }
}

/// Reads every tensor of a file. An error says why it can't be read.
pub fn read(bytes: &[u8]) -> Result<HashMap<String, Stored>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let read = |(name, tensor): (String, safetensors::tensor::TensorView<'_>)| {
        let (singles, doubles) = (tensor.data().as_chunks::<4>().0, tensor.data().as_chunks::<8>().0);
        let values = match tensor.dtype() {
            Dtype::F32 => SlotValues::Single(singles.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Dtype::F64 => SlotValues::Double(doubles.iter().map(|b| f64::from_le_bytes(*b)).collect()),
            other => return Err(format!("\"{name}\" is of {other:?}")),
        };
        Ok((name, Stored { values, shape: tensor.shape().to_vec() }))
    };
    file.tensors().into_iter().map(read).collect()
}
