//! Excludes values with weight 0 from a loss and its gradient, whatever the plug-in computes for them. The inputs of
//! rows with weight 0 are replaced by zeros earlier, by `Dataset::weighted_inputs`.

use plugfit_api::loss::{LossOutput, LossTotals};
use plugfit_api::{Float, Inputs};

use super::inputs::predictions;
use crate::component::broadcast::Shape;
use crate::{Error, Result, plugin};

/// Reusable memory for recomputing the values, which is rarely necessary.
#[derive(Debug, Default)]
pub(super) struct Spare<F = f32> {
    values: Vec<F>,
    valid: Vec<F>,
}

/// Calls a loss and excludes values with weight 0 from the sum and the gradient, even if they are NaN. The plug-in may
/// have multiplied them by their weight, and 0 times NaN is NaN.
///
/// If no weight is 0, this costs one pass over the weights. Otherwise the gradient of the affected rows is written once
/// more. If the sum isn't finite, it is recomputed from the values.
pub(super) fn call<F: Float>(
    loss: &plugin::Loss,
    inputs: &Inputs<'_>,
    shape: &Shape,
    output: &mut LossOutput<'_, F>,
    spare: &mut Spare<F>,
) -> Result<LossTotals> {
    let mut totals = loss.call(inputs, shape.lengths(), output)?;
    let scale = output.scale;
    if scale == F::ZERO
        && let Some(gradient) = derivatives(inputs, output)
    {
        gradient.fill(F::ZERO);
    }
    let Some(upstream) = output.upstream.filter(|upstream| upstream.contains(&F::ZERO)) else { return Ok(totals) };
    if !totals.value.is_finite() {
        totals.value = sum(loss, inputs, shape, upstream, spare)?;
    }
    // If rows depend on each other, a value's weight of 0 doesn't imply that the derivatives of its row are 0.
    if scale != F::ZERO
        && loss.info().rows_independent
        && let (Some(gradient), Ok(y_pred)) = (derivatives(inputs, output), inputs.y_pred())
    {
        clear(gradient, y_pred.shape(), shape.lengths(), upstream);
    }
    Ok(totals)
}

/// Returns the gradient with respect to y_pred, if it is requested.
fn derivatives<'o, F: Float>(inputs: &Inputs<'_>, output: &'o mut LossOutput<'_, F>) -> Option<&'o mut [F]> {
    output.gradients.get_mut(predictions(inputs))?.as_mut()?.as_mut_slice()
}

/// Returns the weighted sum of the values, except for those with weight 0.
fn sum<F: Float>(
    loss: &plugin::Loss,
    inputs: &Inputs<'_>,
    shape: &Shape,
    upstream: &[F],
    Spare { values, valid }: &mut Spare<F>,
) -> Result<f64> {
    let own_mask = loss.info().own_mask;
    resize(values, shape.count(), F::ZERO)?;
    valid.clear();
    resize(valid, shape.count(), F::ONE)?;
    let mut recomputed = LossOutput {
        values: Some(values),
        valid: own_mask.then_some(&mut valid[..]),
        gradients: &mut [],
        upstream: Some(upstream),
        scale: F::ONE,
    };
    loss.call(inputs, shape.lengths(), &mut recomputed)?;
    let weighted = values.iter().zip(upstream).zip(&*valid);
    let counts = weighted.filter(|((_, weight), valid)| **weight != F::ZERO && **valid != F::ZERO);
    Ok(counts.map(|((value, weight), _)| value.to_f64() * weight.to_f64()).sum())
}

/// Sets the derivatives of values with weight 0 to 0.
fn clear<F: Float>(gradient: &mut [F], y_pred: &[i64], values: &[i64], upstream: &[F]) {
    let product = |lengths: &[i64]| lengths.iter().product::<i64>() as usize;
    match row_axis(y_pred, values) {
        Some(axis) => {
            let (length, inner) = (y_pred[axis] as usize, product(&y_pred[axis + 1..]));
            for (row, _) in upstream.iter().enumerate().filter(|(_, weight)| **weight == F::ZERO) {
                let start = row / inner * length * inner + row % inner;
                (0..length).for_each(|i| gradient[start + i * inner] = F::ZERO);
            }
        }
        // Clear whole samples, if the first axis is that of the samples.
        None if y_pred.first() == values.first() && y_pred.first().is_some_and(|&samples| samples > 0) => {
            let samples = y_pred[0] as usize;
            let derivatives = gradient.chunks_exact_mut((gradient.len() / samples).max(1));
            for (derivatives, weights) in derivatives.zip(upstream.chunks_exact((upstream.len() / samples).max(1))) {
                if weights.iter().all(|weight| *weight == F::ZERO) {
                    derivatives.fill(F::ZERO);
                }
            }
        }
        None => {}
    }
}

/// Returns the only axis of `y_pred` that the values lack; `None` if they lack several axes, or if the axis is
/// ambiguous.
fn row_axis(y_pred: &[i64], values: &[i64]) -> Option<usize> {
    if y_pred.len() != values.len() + 1 {
        return None;
    }
    let mut found =
        (0..y_pred.len()).filter(|&axis| y_pred[..axis] == values[..axis] && y_pred[axis + 1..] == values[axis..]);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Resizes a buffer for a loss's values, and returns an error if there isn't enough memory.
pub(super) fn resize<F: Float>(buffer: &mut Vec<F>, count: usize, value: F) -> Result<()> {
    let room = buffer.try_reserve(count.saturating_sub(buffer.len()));
    room.map_err(|_| Error::failure(format!("there is no memory for the {count} values of a loss")))?;
    buffer.resize(count, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use plugfit_api::loss::LossInfo;
    use plugfit_api::{Config, Host, Tensor, TensorMut};
    use serde_json::json;

    use super::*;
    use crate::Identifier;
    use crate::component::Loss;
    use crate::component::Reduction;
    use crate::identifier::Component;

    /// The squared error for rows of one number, as computed by a plug-in of an older API, which multiplies by any
    /// weight.
    #[derive(Config)]
    struct Naive;

    impl plugfit_api::loss::Loss for Naive {
        fn info(&self) -> LossInfo {
            LossInfo::default()
        }
        fn call(
            &self,
            inputs: &Inputs<'_>,
            output: &mut LossOutput<'_>,
            _: &Host<'_>,
        ) -> plugfit_api::Result<LossTotals> {
            let (y_true, y_pred) = (inputs.y_true()?.f32s("y_true")?, inputs.y_pred()?.f32s("y_pred")?);
            let mut totals = LossTotals { count: y_pred.len() as f64, ..LossTotals::default() };
            for (i, (t, p)) in y_true.iter().zip(y_pred).enumerate() {
                let (upstream, scale) = (output.upstream(i), output.scale);
                totals.value += f64::from(upstream * (p - t) * (p - t));
                totals.weight += f64::from(upstream);
                if let Some(values) = output.values.as_deref_mut() {
                    values[i] = (p - t) * (p - t);
                }
                if let Some(gradient) = output.gradient(1)? {
                    gradient[i] = 2.0 * (p - t) * upstream * scale;
                }
            }
            Ok(totals)
        }
    }

    fn naive(reduction: Reduction) -> Loss {
        let instance = plugfit_api::instance::loss(Naive);
        let identifier =
            Identifier::instance(Component::Loss(instance.into())).with("reduction", json!(reduction.name()));
        crate::Host::empty().loss(identifier).expect("it is made")
    }

    #[test]
    fn values_with_weight_0_do_not_count() {
        let (y_true, y_pred) = ([1.0f32, f32::NAN, 3.0], [2.0f32, 5.0, f32::INFINITY]);
        let shape = [3, 1];
        for (weight, mask, value, derivatives) in [
            (Some([1.5f32, 0.0, 0.0]), None, 0.5, [1.0, 0.0, 0.0]),
            (None, Some([1u8, 0, 0]), 1.0, [2.0, 0.0, 0.0]),
            (Some([f32::NAN, 0.0, 0.0]), Some([0u8, 1, 1]), 0.0, [0.0; 3]),
        ] {
            let weight = weight.as_ref().map(|weight| Tensor::new(weight, &[3]));
            let mask = mask.as_ref().map(|mask| Tensor::new(mask, &[3]));
            let tensors = || (Tensor::new(&y_true, &shape), Tensor::new(&y_pred, &shape));
            let mut gradient = [f32::NAN; 3];
            let mut loss = naive(Reduction::SumOverBatchSize);
            let (t, p) = tensors();
            let found = loss
                .value_and_gradient(t, p, weight, mask, 1.0, &mut TensorMut::new(&mut gradient, &shape))
                .expect("it fits")
                .scalar()
                .expect("a number");
            assert_eq!((found, gradient), (value, derivatives));
            let (t, p) = tensors();
            let mut unreduced = naive(Reduction::None);
            match unreduced.value(t, p, weight, mask).expect("it fits") {
                crate::component::LossValue::Array { values, .. } => assert_eq!(values[1..], [0.0; 2]),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_float32_only_loss_rejects_float64() {
        let instance = plugfit_api::instance::loss(Naive);
        let identifier = Identifier::instance(Component::Loss(instance.into())).with("dtype", "float64");
        let error = crate::Host::empty().loss(identifier).expect_err("it has no float64").to_string();
        assert!(error.contains("Naive computes only in float32") && error.contains("leave dtype out"), "{error}");
    }

    #[test]
    fn a_scale_of_0_zeroes_the_derivatives() {
        let mut gradient = [1.0f32; 1];
        let mut target = TensorMut::new(&mut gradient, &[1, 1]);
        let (t, p) = (Tensor::new(&[f32::NAN], &[1, 1]), Tensor::new(&[1.0f32], &[1, 1]));
        naive(Reduction::Sum).value_and_gradient(t, p, None, None, 0.0, &mut target).expect("it fits");
        assert_eq!(gradient, [0.0]);
    }

    fn cleared(y_pred: &[i64], values: &[i64], upstream: &[f32]) -> Vec<usize> {
        let mut gradient = vec![f32::NAN; y_pred.iter().product::<i64>() as usize];
        clear(&mut gradient, y_pred, values, upstream);
        (0..gradient.len()).filter(|&i| gradient[i] == 0.0).collect()
    }

    #[test]
    fn derivatives_with_weight_0_are_cleared_along_any_axis() {
        assert_eq!(cleared(&[2, 3], &[2], &[0.0, 1.0]), [0, 1, 2]);
        assert_eq!(cleared(&[2, 3, 2], &[2, 2], &[1.0, 1.0, 0.0, 1.0]), [6, 8, 10]);
        assert_eq!(cleared(&[2, 2, 3], &[2, 2], &[1.0, 1.0, 0.0, 1.0]), [6, 7, 8]);
        // The axis of the rows is ambiguous, so whole samples are cleared.
        assert_eq!(cleared(&[2, 2, 2], &[2, 2], &[0.0, 0.0, 0.0, 1.0]), [0, 1, 2, 3]);
        assert_eq!(cleared(&[3, 2], &[3, 1], &[1.0, 0.0, 1.0]), [2, 3]);
        assert_eq!(cleared(&[2, 2, 2], &[2], &[1.0, 0.0]), [4, 5, 6, 7]);
        assert_eq!(cleared(&[4], &[2, 2], &[0.0; 4]), [0; 0]);
        assert_eq!(cleared(&[0, 2], &[0], &[]), [0; 0]);
    }
}
