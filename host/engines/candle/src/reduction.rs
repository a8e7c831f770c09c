//! The reduction of a loss's values, as in Keras.

use candle_core::{Error, Result, Tensor};
use plugfit::component::Reduction;

/// Returns the weights with the rank of the values. As in Keras, they may have a last axis of length 1 that the values
/// don't have.
pub(crate) fn fitting(weight: &Tensor, values: &[usize]) -> Result<Tensor> {
    let weight = match weight.dims() {
        [rest @ .., 1] if rest.len() == values.len() => weight.reshape(rest)?,
        _ => weight.clone(),
    };
    let fits = weight.rank() <= values.len()
        && weight.dims().iter().rev().zip(values.iter().rev()).all(|(&own, &length)| own == 1 || own == length);
    match fits {
        true => Ok(weight),
        false => Err(Error::Msg(format!(
            "sample_weight of shape {:?} doesn't fit the loss of shape {values:?}: give a weight for each value",
            weight.dims()
        ))),
    }
}

/// Returns the loss from its values. Weights broadcast to the values.
pub(crate) fn reduced(values: &Tensor, weight: Option<&Tensor>, reduction: Reduction) -> Result<Tensor> {
    let weighted = weight.map(|weight| values.broadcast_mul(weight)).transpose()?;
    let values = weighted.as_ref().unwrap_or(values);
    if reduction == Reduction::None || values.rank() == 0 {
        return Ok(values.clone());
    }
    let total = values.sum_all()?;
    match (reduction, weight) {
        (Reduction::Sum | Reduction::None, _) => Ok(total),
        (Reduction::MeanWithSampleWeight, Some(weight)) => {
            let sum = weight.broadcast_as(values.shape())?.sum_all()?;
            // If all weights are 0, the loss is.
            let divisor = sum.eq(0.0)?.where_cond(&sum.ones_like()?, &sum)?;
            total / divisor
        }
        _ => total / values.elem_count().max(1) as f64,
    }
}
