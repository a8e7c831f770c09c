//! Borrowed arrays for losses and metrics: ndarray views, slices, rows of a dataset. Nothing is copied.

use ndarray::{ArrayBase, ArrayView, Dimension, OwnedRepr, ViewRepr};
use plugfit_api::Tensor;
use plugfit_api::shape::MAX_RANK;

use crate::{Error, Result};

/// A borrowed array in C order, of float32, float64, int32, int64, uint64 or uint8.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub(super) numbers: Numbers<'a>,
    shape: [i64; MAX_RANK],
    rank: usize,
}

/// The numbers of an array, by dtype.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
    U8(&'a [u8]),
    Bool(&'a [bool]),
    /// An array that can't be passed to a plug-in, and the reason.
    Unfit(&'static str),
}

/// A type of the elements of [`Values`].
pub trait Number: sealed::Sealed + Copy + 'static {}

mod sealed {
    pub trait Sealed: Sized {
        fn borrow(numbers: &[Self]) -> super::Numbers<'_>;
    }
}

macro_rules! numbers {
    ($($type:ty: $variant:ident,)*) => {$(
        impl sealed::Sealed for $type {
            fn borrow(numbers: &[Self]) -> Numbers<'_> {
                Numbers::$variant(numbers)
            }
        }
        impl Number for $type {}
    )*};
}
numbers! { f32: F32, f64: F64, i32: I32, i64: I64, u64: U64, u8: U8, bool: Bool, }

impl<'a> Values<'a> {
    /// Creates an array of this shape. If the shape doesn't match the slice's length, using the array is an error.
    pub fn new<T: Number>(numbers: &'a [T], shape: &[usize]) -> Self {
        let unfit = |why| Values { numbers: Numbers::Unfit(why), shape: [0; MAX_RANK], rank: 0 };
        if shape.len() > MAX_RANK {
            return unfit("has more than 8 axes");
        }
        let product = shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis));
        if product != Some(numbers.len()) {
            return unfit("hasn't as many numbers as its shape says");
        }
        let mut lengths = [0; MAX_RANK];
        for (length, &axis) in lengths.iter_mut().zip(shape) {
            *length = axis as i64;
        }
        Values { numbers: T::borrow(numbers), shape: lengths, rank: shape.len() }
    }

    /// Returns the length of each axis.
    pub fn shape(&self) -> &[i64] {
        &self.shape[..self.rank]
    }

    /// Returns the number of samples: the length of the first axis; 1 for a scalar.
    pub fn samples(&self) -> usize {
        self.shape().first().map_or(1, |&samples| samples as usize)
    }

    /// Returns the row and the value of the first finite float64 number that overflows float32. `converted` contains
    /// the numbers as float32.
    pub fn too_large_for_f32(&self, converted: &[f32]) -> Option<(usize, f64)> {
        let Numbers::F64(numbers) = self.numbers else { return None };
        // Without an early exit the loop is vectorized.
        if !converted.iter().fold(false, |any, number| any | !number.is_finite()) {
            return None;
        }
        let at = numbers.iter().position(|number| number.is_finite() && (*number as f32).is_infinite())?;
        let row_len = (numbers.len() / self.samples().max(1)).max(1);
        Some((at / row_len, numbers[at]))
    }

    /// Returns the array as a tensor of its own dtype; `None` for bool.
    pub(super) fn tensor(&self) -> Option<Tensor<'_>> {
        Some(match self.numbers {
            Numbers::F32(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::F64(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::I32(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::I64(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::U64(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::U8(numbers) => Tensor::new(numbers, self.shape()),
            Numbers::Bool(_) | Numbers::Unfit(_) => return None,
        })
    }

    /// Checks that the array can be passed to a plug-in; `name` is the argument's name.
    ///
    /// # Errors
    /// Returns an error if the array isn't in C order, if it has more than 8 axes, or if its shape doesn't match its
    /// length.
    pub fn check(&self, name: &str) -> Result<()> {
        match self.numbers {
            Numbers::Unfit(why) => Err(Error::usage(format!("{name} {why}"))),
            _ => Ok(()),
        }
    }
}

fn borrow<'a, T: Number>(numbers: Option<&'a [T]>, shape: &[usize]) -> Values<'a> {
    match numbers {
        Some(numbers) => Values::new(numbers, shape),
        None => Values {
            numbers: Numbers::Unfit("isn't in C order; make it so with `as_standard_layout`"),
            shape: [0; MAX_RANK],
            rank: 0,
        },
    }
}

impl<'a, T: Number, D: Dimension> From<ArrayView<'a, T, D>> for Values<'a> {
    fn from(array: ArrayView<'a, T, D>) -> Self {
        let numbers = array.to_slice();
        borrow(numbers, array.shape())
    }
}

impl<'a, T: Number, D: Dimension> From<&'a ArrayBase<OwnedRepr<T>, D>> for Values<'a> {
    fn from(array: &'a ArrayBase<OwnedRepr<T>, D>) -> Self {
        borrow(array.as_slice(), array.shape())
    }
}

impl<'a, T: Number, D: Dimension> From<&ArrayBase<ViewRepr<&'a T>, D>> for Values<'a> {
    fn from(array: &ArrayBase<ViewRepr<&'a T>, D>) -> Self {
        borrow(array.to_slice(), array.shape())
    }
}

impl<'a, T: Number> From<(&'a [T], &[usize])> for Values<'a> {
    fn from((numbers, shape): (&'a [T], &[usize])) -> Self {
        Values::new(numbers, shape)
    }
}

impl<'a, T: Number> From<&'a [T]> for Values<'a> {
    fn from(numbers: &'a [T]) -> Self {
        Values::new(numbers, &[numbers.len()])
    }
}

impl<'a, T: Number> From<&'a Vec<T>> for Values<'a> {
    fn from(numbers: &'a Vec<T>) -> Self {
        numbers.as_slice().into()
    }
}

/// One output of a batch: targets, predictions, weights and mask.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// The targets; `None` for an output without loss and metrics.
    pub y_true: Option<Values<'a>>,
    /// The predictions, float32.
    pub y_pred: Values<'a>,
    /// A weight for each sample, or for each value of a sample.
    pub sample_weight: Option<Values<'a>>,
    /// The values to include: those that are true, or not 0.
    pub mask: Option<Values<'a>>,
    /// Further inputs of losses and metrics, by name.
    pub inputs: &'a [(&'a str, Values<'a>)],
}

impl<'a> Output<'a> {
    /// Creates an output with targets and predictions.
    pub fn new(y_true: impl Into<Values<'a>>, y_pred: impl Into<Values<'a>>) -> Self {
        Output { y_true: Some(y_true.into()), y_pred: y_pred.into(), sample_weight: None, mask: None, inputs: &[] }
    }

    /// Creates an output with predictions only.
    pub fn without_targets(y_pred: impl Into<Values<'a>>) -> Self {
        Output { y_true: None, y_pred: y_pred.into(), sample_weight: None, mask: None, inputs: &[] }
    }

    /// Sets a weight for each sample `[N]`, or for each value of each sample `[N, ...]`.
    #[must_use]
    pub fn weighted(mut self, sample_weight: impl Into<Values<'a>>) -> Self {
        self.sample_weight = Some(sample_weight.into());
        self
    }

    /// Sets a mask.
    #[must_use]
    pub fn masked(mut self, mask: impl Into<Values<'a>>) -> Self {
        self.mask = Some(mask.into());
        self
    }

    /// Sets further inputs, for losses and metrics that declare inputs of these names.
    ///
    /// ```
    /// use plugfit::compile::{Output, Values};
    ///
    /// let (labels, scores, queries) = ([0.0_f32, 1.0], [0.2_f32, 0.7], [7_i64, 7]);
    /// let inputs = [("group", Values::from(&queries[..]))];
    /// let output = Output::new(&labels[..], &scores[..]).with_inputs(&inputs);
    /// assert_eq!(output.inputs.len(), 1);
    /// ```
    #[must_use]
    pub fn with_inputs(mut self, inputs: &'a [(&'a str, Values<'a>)]) -> Self {
        self.inputs = inputs;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.y_pred.check("y_pred")?;
        for (values, name) in [(self.y_true, "y_true"), (self.sample_weight, "sample_weight"), (self.mask, "the mask")]
        {
            if let Some(values) = values {
                values.check(name)?;
            }
        }
        self.inputs.iter().try_for_each(|(name, values)| values.check(name))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    #[test]
    fn arrays_are_borrowed_with_their_shape() {
        let owned = arr2(&[[1.0f32, 2.0], [3.0, 4.0]]);
        for values in [Values::from(&owned), owned.view().into(), (&owned.view()).into()] {
            assert_eq!(values.shape(), [2, 2]);
            let tensor = values.tensor().expect("float32");
            assert_eq!(tensor.as_slice::<f32>().map(<[f32]>::as_ptr), Some(owned.as_ptr()));
        }
        assert_eq!(Values::from(&vec![1i64, 2, 3]).shape(), [3]);
        assert_eq!(Values::from((&[1u8, 2][..], &[2, 1][..])).shape(), [2, 1]);
    }

    #[test]
    fn invalid_arrays_are_rejected_by_name() {
        let transposed: Array2<f32> = arr2(&[[1.0, 2.0], [3.0, 4.0]]).reversed_axes();
        let error = Values::from(&transposed).check("y_pred").expect_err("not in C order").to_string();
        assert!(error.starts_with("y_pred isn't in C order"), "{error}");
        assert!(Values::from((&[1.0f32][..], &[2][..])).check("y_true").is_err());
        assert!(Values::from((&[1.0f32][..], &[1; 9][..])).check("y_true").is_err());
    }
}
