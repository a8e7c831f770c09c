//! The states of optimizers as bytes.

use plugfit::Error;
use plugfit::component::OptimizerState;
use plugfit::plugin::SlotValues;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Writes a state as a safetensors file: a tensor per slot, and one each for the step count and the learning rate.
///
/// # Errors
/// Returns an error if it can't be written.
pub fn write(state: &OptimizerState) -> plugfit::Result<Vec<u8>> {
    let mut tensors = vec![("steps".to_owned(), Dtype::U64, state.steps.to_le_bytes().to_vec())];
    if let Some(rate) = state.learning_rate {
        tensors.push(("learning_rate".into(), Dtype::F64, rate.to_le_bytes().to_vec()));
    }
    for (name, values) in &state.tensors {
        tensors.push(match values {
            SlotValues::Single(values) => (format!("slot {name}"), Dtype::F32, bytes(values, f32::to_le_bytes)),
            SlotValues::Double(values) => (format!("slot {name}"), Dtype::F64, bytes(values, f64::to_le_bytes)),
        });
    }
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        let size = if *dtype == Dtype::F32 { 4 } else { 8 };
        TensorView::new(*dtype, vec![bytes.len() / size], bytes).map(|view| (name.as_str(), view))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| Error::failure(error.to_string()))?;
    safetensors::serialize(views, None).map_err(|error| Error::failure(error.to_string()))
}

/// Returns the concatenated bytes of each number.
fn bytes<T: Copy, const N: usize>(numbers: &[T], to_bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().map(|&number| to_bytes(number)).collect::<Vec<_>>().into_flattened()
}

/// Reads a state from a safetensors file.
///
/// # Errors
/// Returns an error if the bytes are something else.
pub fn read(bytes: &[u8]) -> plugfit::Result<OptimizerState> {
    let damaged = || Error::failure("this isn't the state of an optimizer, or it is damaged");
    let file = SafeTensors::deserialize(bytes).map_err(|_| damaged())?;
    let doubles = |data: &[u8]| -> Vec<[u8; 8]> { data.as_chunks::<8>().0.to_vec() };
    let mut state = OptimizerState { steps: 0, learning_rate: None, tensors: Vec::new() };
    let mut has_steps = false;
    for (name, view) in file.tensors() {
        let data = view.data();
        match (name.as_str(), view.dtype()) {
            ("steps", Dtype::U64) => {
                state.steps = u64::from_le_bytes(*doubles(data).first().ok_or_else(damaged)?);
                has_steps = true;
            }
            ("learning_rate", Dtype::F64) => {
                state.learning_rate = Some(f64::from_le_bytes(*doubles(data).first().ok_or_else(damaged)?));
            }
            (name, dtype) => {
                let name = name.strip_prefix("slot ").ok_or_else(damaged)?.to_owned();
                let values = match dtype {
                    Dtype::F32 => SlotValues::Single(
                        data.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
                    ),
                    Dtype::F64 => SlotValues::Double(doubles(data).into_iter().map(f64::from_le_bytes).collect()),
                    _ => return Err(damaged()),
                };
                state.tensors.push((name, values));
            }
        }
    }
    if has_steps { Ok(state) } else { Err(damaged()) }
}
