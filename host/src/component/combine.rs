//! Combines sample weights and a mask.

use plugfit_api::{Float, Tensor};

use super::broadcast::{self, Shape, common, for_each_broadcast, squeeze_or_expand_to_same_rank};
use crate::{Error, Result};

/// Reusable memory for combined weights.
#[derive(Debug, Default)]
pub(super) struct Combiner<F = f32> {
    buffer: Vec<F>,
}

/// The product of weight and mask, or the one that is present, in their common shape.
#[derive(Clone, Copy)]
pub(super) struct Combined<'c, F = f32> {
    pub shape: Shape,
    pub values: &'c [F],
    /// The element counts of the mask, if there is one.
    pub mask: Option<MaskCounts>,
}

/// The number of elements that a mask includes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MaskCounts {
    /// The number of elements of the mask.
    pub total: f64,
    /// The number of elements that are included.
    pub valid: f64,
}

impl<F: Float> Combined<'_, F> {
    /// Returns the sum of the weights.
    pub fn sum(&self) -> f64 {
        self.values.iter().map(|&weight| weight.to_f64()).sum()
    }
}

impl<F: Float> Combiner<F> {
    /// Combines weight and mask; `None` if there is neither.
    pub fn combine<'c>(
        &'c mut self,
        weight: Option<Tensor<'c>>,
        mask: Option<Tensor<'c>>,
    ) -> Result<Option<Combined<'c, F>>> {
        let buffer = &mut self.buffer;
        buffer.clear();
        let numeric = |tensor: &Tensor<'_>, name: &str| match tensor.is_numeric() {
            true => Ok(()),
            false => Err(Error::usage(format!("{name} contains no numbers: {tensor:?}"))),
        };
        weight.iter().try_for_each(|weight| numeric(weight, "sample_weight"))?;
        mask.iter().try_for_each(|mask| numeric(mask, "the mask"))?;
        let counts = mask.map(|mask| {
            let mut valid = 0.0;
            mask.for_each_f64(|value| valid += f64::from(u8::from(value != 0.0)));
            MaskCounts { total: mask.len() as f64, valid }
        });
        let shape = match (weight, mask) {
            (None, None) => return Ok(None),
            (Some(weight), None) => {
                let shape = broadcast::shape(weight.shape(), "sample_weight")?;
                if let Some(values) = weight.as_slice::<F>() {
                    return Ok(Some(Combined { shape, values, mask: None }));
                }
                weight.for_each_f64(|value| buffer.push(F::from_f64(value)));
                shape
            }
            (None, Some(mask)) => {
                mask.for_each_f64(|value| buffer.push(F::from_f64(f64::from(u8::from(value != 0.0)))));
                broadcast::shape(mask.shape(), "the mask")?
            }
            (Some(weight), Some(mask)) => {
                let mut weight_shape = broadcast::shape(weight.shape(), "sample_weight")?;
                let mut mask_shape = broadcast::shape(mask.shape(), "the mask")?;
                squeeze_or_expand_to_same_rank(&mut mask_shape, &mut weight_shape);
                let shape = common(&mask_shape, &weight_shape)
                    .ok_or_else(|| misfit("sample_weight", weight.shape(), "the mask", mask.shape()))?;
                for_each_broadcast(&shape, [&weight_shape, &mask_shape], |_, [weight_at, mask_at]| {
                    // Masked elements may have any weight, even NaN.
                    let valid = mask.get_f64(mask_at) != 0.0;
                    buffer.push(if valid { F::from_f64(weight.get_f64(weight_at)) } else { F::ZERO });
                });
                shape
            }
        };
        Ok(Some(Combined { shape, values: buffer, mask: counts }))
    }
}

/// Checks that no weight is NaN; negative weights are allowed.
pub(super) fn check_weight(weight: &Tensor<'_>) -> Result<()> {
    // Without an early exit the loop is vectorized.
    let any = match (weight.as_slice::<f32>(), weight.as_slice::<f64>()) {
        (Some(weights), _) => weights.iter().fold(false, |any, weight| any | weight.is_nan()),
        (_, Some(weights)) => weights.iter().fold(false, |any, weight| any | weight.is_nan()),
        _ => true,
    };
    let Some(place) = (0..weight.len()).find(|&place| any && weight.get_f64(place).is_nan()) else { return Ok(()) };
    let row = place / weight.shape().iter().skip(1).product::<i64>().max(1) as usize;
    Err(Error::usage(format!("sample_weight is NaN in row {row}"))
        .hint("give values to ignore the weight 0")
        .at_row(Some(row)))
}

/// Returns the error for two arrays that don't broadcast.
pub(super) fn misfit(name: &str, shape: &[i64], other: &str, other_shape: &[i64]) -> Error {
    let error = Error::usage(format!("{name} of shape {shape:?} doesn't fit {other} of shape {other_shape:?}"));
    match (shape, other_shape) {
        ([rows], [first, ..]) if rows == first => {
            let ones = ", 1".repeat(other_shape.len() - 1);
            error.hint(format!("a weight for each sample has the shape [{rows}{ones}] here"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_multiplies_the_weights_at_equal_ranks() {
        let (weight, mask) = ([2.0f32, 3.0], [1u8, 0]);
        let mut combiner = Combiner::<f32>::default();
        let combined = combiner
            .combine(Some(Tensor::new(&weight, &[2, 1])), Some(Tensor::new(&mask, &[2])))
            .expect("they fit")
            .expect("both are given");
        assert_eq!((combined.shape.lengths(), combined.values), (&[2, 1][..], &[2.0, 0.0][..]));
        assert_eq!(combined.mask, Some(MaskCounts { total: 2.0, valid: 1.0 }));
        assert_eq!(combined.sum(), 2.0);
        let weight = [2.0f32, f32::NAN];
        let combined = combiner.combine(Some(Tensor::new(&weight, &[2])), Some(Tensor::new(&mask, &[2])));
        assert_eq!(combined.expect("they fit").expect("both are given").values, [2.0, 0.0]);
    }

    #[test]
    fn a_nan_weight_is_rejected_with_its_row() {
        let weights = [1.0f32, -1.0, 0.0, f32::NAN];
        let error = check_weight(&Tensor::new(&weights, &[2, 2])).expect_err("NaN").to_string();
        assert!(error.contains("NaN in row 1"), "{error}");
        check_weight(&Tensor::new(&weights[..3], &[3])).expect("negative weights count");
        check_weight(&Tensor::new(&[1.0f64, f64::NAN], &[2])).expect_err("NaN");
    }

    #[test]
    fn weights_alone_are_not_copied() {
        let weight = [2.0f32, 3.0];
        let mut combiner = Combiner::<f32>::default();
        let combined = combiner.combine(Some(Tensor::new(&weight, &[2])), None).expect("weights").expect("given");
        assert_eq!(combined.values.as_ptr(), weight.as_ptr());
        assert!(combiner.combine(None, None).expect("nothing").is_none());
    }
}
