//! The reduction of a loss's values, as in Keras.

use candle_core::{Result, Tensor};
use plugfit::component::Reduction;
use plugfit_emit::weight_shape;

use crate::arrays::error;

/// Returns the weights with a shape that broadcasts to that of the values. A loss of one value is multiplied by each weight.
pub(crate) fn fitting(weight: &Tensor, values: &[usize]) -> Result<Tensor> {
    if values.is_empty() {
        return Ok(weight.clone());
    }
    weight.reshape(weight_shape(weight.dims(), values).map_err(error)?)
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
            // As in Keras, a weight counts once, however many values it is broadcast to.
            let sum = weight.sum_all()?;
            // If all weights are 0, the loss is.
            let divisor = sum.eq(0.0)?.where_cond(&sum.ones_like()?, &sum)?;
            total / divisor
        }
        _ => total / values.elem_count().max(1) as f64,
    }
}
