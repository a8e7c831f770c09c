//! The reduction of a loss's values, as in Keras.

use burn::tensor::{FloatDType, Tensor, backend::Backend};
use plugfit::Result;
use plugfit::component::Reduction;
use plugfit_emit::weight_shape;

/// The weights of values.
pub(crate) struct Weights<B: Backend> {
    /// One for each value.
    pub each: Tensor<B, 1>,
    /// Their sum before they are broadcast to the values: as in Keras, each counts once.
    sum: Tensor<B, 1>,
}

/// Returns the weights of values. As in Keras, they broadcast to the values, and may have a last axis of length 1 that
/// the values don't have. There is at least one value.
pub(crate) fn fitting<B: Backend, const W: usize>(
    weight: Tensor<B, W>,
    values: &[usize],
    dtype: FloatDType,
) -> Result<Weights<B>> {
    let shape = weight_shape(&weight.dims(), values)?;
    let length = |axes: &[usize]| axes.iter().product::<usize>();
    let mut shape = [vec![1; values.len() - shape.len()], shape].concat();
    let mut each: Tensor<B, 1> = weight.cast(dtype).reshape([length(&shape)]);
    let sum = each.clone().sum();
    for (axis, &wanted) in values.iter().enumerate() {
        if shape[axis] == wanted {
            continue;
        }
        // The axes before and after it, as one axis each.
        let (before, after) = (length(&shape[..axis]), length(&shape[axis + 1..]));
        shape[axis] = wanted;
        let repeated: Tensor<B, 3> = each.reshape([before, 1, after]).expand([before, wanted, after]);
        each = repeated.reshape([length(&shape)]);
    }
    Ok(Weights { each, sum })
}

/// Returns the loss from its values.
pub(crate) fn reduced<B: Backend>(
    values: Tensor<B, 1>,
    weight: Option<Weights<B>>,
    reduction: Reduction,
) -> Tensor<B, 1> {
    let values = match &weight {
        None => values,
        Some(weight) => values * weight.each.clone(),
    };
    match (reduction, weight) {
        (Reduction::None, _) => values,
        (Reduction::Sum, _) => values.sum(),
        (Reduction::MeanWithSampleWeight, Some(Weights { sum, .. })) => {
            // If all weights are 0, the loss is.
            let is_zero = sum.clone().equal_elem(0.0);
            values.sum() / sum.mask_fill(is_zero, 1.0)
        }
        _ => values.mean(),
    }
}
