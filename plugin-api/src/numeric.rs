//! Tensors of any numeric dtype, read as float64.

use crate::{Error, Result, Tensor};

/// The number of elements that are converted at once.
pub(crate) const BLOCK: usize = 1024;

macro_rules! with_elements {
    ($tensor:expr, $slice:ident => $body:expr, $otherwise:expr) => {
        if let Some($slice) = $tensor.as_slice::<f32>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<f64>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<i32>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<i64>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<u8>() {
            $body
        } else if let Some($slice) = $tensor.as_slice::<u64>() {
            $body
        } else {
            $otherwise
        }
    };
}

// One of the types is float64 itself.
#[allow(clippy::unnecessary_cast)]
impl<'a> Tensor<'a> {
    /// Returns `true` if [`get_f64`](Self::get_f64) and similar methods can read the dtype: float32, float64, int32,
    /// int64, uint8, uint64.
    pub fn is_numeric(&self) -> bool {
        with_elements!(self, _slice => true, false)
    }

    /// Returns element `i` in C order as float64, or NaN if the tensor isn't numeric.
    ///
    /// # Panics
    /// Panics if there is no element `i`.
    pub fn get_f64(&self, i: usize) -> f64 {
        with_elements!(self, slice => slice[i] as f64, f64::NAN)
    }

    /// Calls `f` with each element in C order as float64.
    pub fn for_each_f64(&self, mut f: impl FnMut(f64)) {
        with_elements!(self, slice => slice.iter().for_each(|&value| f(value as f64)), ());
    }

    /// Returns the index of the first element that is `wrong` and whose index isn't `absent`.
    pub(crate) fn find(&self, wrong: impl Fn(f64) -> bool, absent: impl Fn(usize) -> bool) -> Option<usize> {
        with_elements!(self, slice => {
            slice.chunks(BLOCK).zip((0..).step_by(BLOCK)).find_map(|(chunk, start)| {
                // Test the whole chunk first: a loop without an early exit vectorises.
                if !chunk.iter().fold(false, |any, &value| any | wrong(value as f64)) {
                    return None;
                }
                let place = |(place, &value): (usize, _)| (wrong(value as f64) && !absent(place)).then_some(place);
                (start..).zip(chunk).find_map(place)
            })
        }, None)
    }

    /// Returns element `i` as an integer without rounding, or `None` if it isn't an integer.
    pub fn get_whole(&self, i: usize) -> Option<i128> {
        if let Some(ids) = self.as_slice::<i64>() {
            Some(ids[i].into())
        } else if let Some(ids) = self.as_slice::<u64>() {
            Some(ids[i].into())
        } else {
            let value = self.get_f64(i);
            (value.is_finite() && value.fract() == 0.0).then_some(value as i128)
        }
    }

    /// Fills `target` with the elements from `start` on, as float64.
    pub(crate) fn read_f64(&self, start: usize, target: &mut [f64]) {
        with_elements!(self, slice => {
            for (target, &value) in target.iter_mut().zip(&slice[start..]) {
                *target = value as f64;
            }
        }, ());
    }
}

/// Returns the tensor.
///
/// # Errors
/// Returns an error if it isn't numeric. The message contains `name`.
pub(crate) fn numeric<'a>(tensor: Tensor<'a>, name: &str) -> Result<Tensor<'a>> {
    if tensor.is_numeric() {
        Ok(tensor)
    } else {
        Err(Error::input(format!("{name} contains no numbers that this component reads: {tensor:?}")))
    }
}
