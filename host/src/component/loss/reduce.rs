//! Weights, masks and reduces the values of a loss, with one call of the plug-in.

use plugfit_api::loss::{LossOutput, LossTotals};
use plugfit_api::{Float, Inputs, Tensor, TensorMut};

use super::inputs::{ValueShapes, aligned, check_pairs, in_order, predictions, reshaped};
use super::zero_weights::{self, Spare, resize};
use crate::Result;
use crate::component::broadcast::{self, Shape, common, for_each_broadcast, squeeze_or_expand_to_same_rank};
use crate::component::combine::{Combined, Combiner, misfit};
use crate::component::named::NamedTensors;
use crate::component::reduction::{Reduction, divide_no_nan};
use crate::plugin::{self, MAX_INPUTS};

/// Memory that is reused for the next batch.
#[derive(Debug, Default)]
pub(super) struct Scratch<F> {
    combiner: Combiner<F>,
    shapes: ValueShapes,
    upstream: Vec<F>,
    values: Vec<F>,
    valid: Vec<F>,
    weighted: Vec<F>,
    weighted_shape: Vec<i64>,
    spare: Spare<F>,
}

/// The value for a batch. If the array is `None`, the value is the number.
pub(super) type Reduced<'s, F> = (f64, Option<(&'s [i64], &'s [F])>);

/// The arguments of a loss.
pub(super) struct Batch<'b> {
    pub y_true: Tensor<'b>,
    pub y_pred: Tensor<'b>,
    pub further: &'b NamedTensors<'b>,
    pub weight: Option<Tensor<'b>>,
    pub mask: Option<Tensor<'b>>,
    pub scale: f64,
}

pub(super) fn run<'s, F: Float>(
    loss: &plugin::Loss,
    reduction: Reduction,
    scratch: &'s mut Scratch<F>,
    Batch { y_true, y_pred, further, weight, mask, scale }: Batch<'_>,
    mut gradient: Option<&mut [F]>,
) -> Result<Reduced<'s, F>> {
    let Scratch { combiner, shapes, upstream, values, valid, weighted, weighted_shape, spare } = scratch;
    let (true_shape, pred_shape) = aligned(&y_true, &y_pred)?;
    check_pairs(loss, (&y_true, &true_shape), (&y_pred, &pred_shape))?;
    let usual =
        [("y_true", reshaped(y_true, true_shape.lengths())), ("y_pred", reshaped(y_pred, pred_shape.lengths()))];
    let ordered = in_order(loss, &usual, further)?;
    let tensors = ordered.as_ref().map_or(&usual[..], |(tensors, count)| &tensors[..*count]);
    let inputs = Inputs::new(tensors, None, None);
    let shape = shapes.get(loss, &inputs, &true_shape, &pred_shape)?;
    let combined = combiner.combine(weight, mask)?;
    let weights = BroadcastWeights::new(&shape, combined, upstream)?;
    let unreduced = reduction == Reduction::None && weights.broadcast_shape.rank() > 0;
    if y_pred.is_empty() || shape.count() == 0 {
        if let Some(gradient) = gradient {
            gradient.fill(F::ZERO);
        }
        if !unreduced || weights.broadcast_shape.count() != 0 {
            return Ok((0.0, None));
        }
        weighted_shape.clear();
        weighted_shape.extend_from_slice(weights.broadcast_shape.lengths());
        return Ok((0.0, Some((&weighted_shape[..], &[]))));
    }
    // The mask of the loss itself is known only after the call.
    let own_mask = loss.info().own_mask;
    let known_factor = if own_mask { None } else { Some(weights.factor(reduction)) };
    let wants_valid = own_mask && (unreduced || mask.is_some());
    let count = shape.count();
    if unreduced {
        resize(values, count, F::ZERO)?;
    }
    if wants_valid {
        resize(valid, count, F::ZERO)?;
    }
    let totals = {
        let target = gradient.as_deref_mut().map(|gradient| TensorMut::new(gradient, pred_shape.lengths()));
        // A loss is asked for the derivative with respect to the predictions only.
        let mut gradients: [_; MAX_INPUTS] = std::array::from_fn(|_| None);
        let y_pred = predictions(&inputs);
        gradients[y_pred] = target;
        let mut output = LossOutput {
            values: unreduced.then_some(&mut values[..]),
            valid: wants_valid.then_some(&mut valid[..]),
            gradients: &mut gradients[..=y_pred],
            upstream: weights.upstream,
            scale: F::from_f64(scale * known_factor.unwrap_or(1.0)),
        };
        zero_weights::call(loss, &inputs, &shape, &mut output, spare)?
    };
    let factor = match known_factor {
        Some(factor) => factor,
        None => {
            let counted = match mask {
                None => totals.count,
                Some(mask) => both_valid(&shape, valid, &mask)?,
            };
            let factor = weights.own_mask_factor(reduction, count, counted, &totals);
            match gradient {
                Some(gradient) if factor == 0.0 => gradient.fill(F::ZERO),
                Some(gradient) if factor != 1.0 => {
                    gradient.iter_mut().for_each(|derivative| *derivative *= F::from_f64(factor));
                }
                _ => {}
            }
            factor
        }
    };
    if !unreduced {
        return Ok((totals.value * factor, None));
    }
    if wants_valid {
        values.iter_mut().zip(&*valid).for_each(|(value, &valid)| *value = times_weight(*value, valid));
    }
    weighted_shape.clear();
    weighted_shape.extend_from_slice(weights.broadcast_shape.lengths());
    let values = match weights.combined {
        None => &values[..],
        Some(combined) => {
            weighted.clear();
            for_each_broadcast(
                &weights.broadcast_shape,
                [&weights.value_shape, &combined.shape],
                |_, [value, weight]| {
                    weighted.push(times_weight(values[value], combined.values[weight]));
                },
            );
            &weighted[..]
        }
    };
    Ok((0.0, Some((&weighted_shape[..], values))))
}

/// Returns a value times its weight; 0 if the weight is 0, even if the value is NaN.
fn times_weight<F: Float>(value: F, weight: F) -> F {
    if weight == F::ZERO { F::ZERO } else { value * weight }
}

/// The broadcast shapes of the values and the weights.
struct BroadcastWeights<'c, F> {
    /// The shape of the product of values and weights.
    broadcast_shape: Shape,
    /// The shape of the values, at the rank of the weights.
    value_shape: Shape,
    /// The weights, at the rank of the values.
    combined: Option<Combined<'c, F>>,
    /// For each value, the sum of the weights that apply to it.
    upstream: Option<&'c [F]>,
}

impl<'c, F: Float> BroadcastWeights<'c, F> {
    fn new(shape: &Shape, combined: Option<Combined<'c, F>>, buffer: &'c mut Vec<F>) -> Result<Self> {
        let Some(mut combined) = combined else {
            return Ok(BroadcastWeights {
                broadcast_shape: *shape,
                value_shape: *shape,
                combined: None,
                upstream: None,
            });
        };
        let given = combined.shape;
        let mut value_shape = *shape;
        squeeze_or_expand_to_same_rank(&mut value_shape, &mut combined.shape);
        let broadcast_shape = common(&value_shape, &combined.shape)
            .ok_or_else(|| misfit("sample_weight", given.lengths(), "the loss", shape.lengths()))?;
        let upstream: &[F] = if combined.shape == broadcast_shape && value_shape == broadcast_shape {
            combined.values
        } else {
            buffer.clear();
            resize(buffer, value_shape.count(), F::ZERO)?;
            for_each_broadcast(&broadcast_shape, [&value_shape, &combined.shape], |_, [value, weight]| {
                buffer[value] += combined.values[weight]
            });
            buffer
        };
        Ok(BroadcastWeights { broadcast_shape, value_shape, combined: Some(combined), upstream: Some(upstream) })
    }

    /// Returns the factor of the weighted sum.
    fn factor(&self, reduction: Reduction) -> f64 {
        let count = if self.broadcast_shape.rank() == 0 { 1.0 } else { self.broadcast_shape.count() as f64 };
        let mask = self.combined.and_then(|combined| combined.mask);
        match (reduction, self.combined) {
            (Reduction::Sum | Reduction::None, _) => 1.0,
            (Reduction::MeanWithSampleWeight, Some(_)) if self.broadcast_shape.rank() == 0 => 1.0,
            (Reduction::MeanWithSampleWeight, Some(combined)) => divide_no_nan(1.0, combined.sum()),
            _ => {
                let visible = mask.filter(|_| reduction.is_plain_mean());
                visible.map_or(1.0, |mask| divide_no_nan(mask.total, mask.valid)) * divide_no_nan(1.0, count)
            }
        }
    }

    /// Returns the factor of the weighted sum, if `counted` of `count` values are included by both the loss's own mask
    /// and the given mask.
    fn own_mask_factor(&self, reduction: Reduction, count: usize, counted: f64, totals: &LossTotals) -> f64 {
        let broadcast_count = self.broadcast_shape.count() as f64;
        match reduction {
            Reduction::Sum | Reduction::None => 1.0,
            Reduction::MeanWithSampleWeight if self.broadcast_shape.rank() == 0 => 1.0,
            Reduction::MeanWithSampleWeight => {
                divide_no_nan(1.0, if self.upstream.is_some() { totals.weight } else { counted })
            }
            Reduction::SumOverBatchSize | Reduction::Mean => {
                divide_no_nan(count as f64, counted) * divide_no_nan(1.0, broadcast_count)
            }
        }
    }
}

/// Returns the number of values that both the loss and the mask include.
fn both_valid<F: Float>(shape: &Shape, valid: &[F], mask: &Tensor<'_>) -> Result<f64> {
    let mut mask_shape = broadcast::shape(mask.shape(), "the mask")?;
    let mut value_shape = *shape;
    squeeze_or_expand_to_same_rank(&mut value_shape, &mut mask_shape);
    if common(&value_shape, &mask_shape) != Some(value_shape) {
        return Err(misfit("the mask", mask.shape(), "the loss", shape.lengths()));
    }
    let mut count = 0.0;
    for_each_broadcast(&value_shape, [&mask_shape], |value, [at]| {
        if valid[value] != F::ZERO && mask.get_f64(at) != 0.0 {
            count += 1.0;
        }
    });
    Ok(count)
}
