//! The two dtypes in which losses compute.

use super::simd::{dispatch, Kernel};
use crate::{Element, Plain, Real};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign};

/// `f32` or `f64`, the dtype in which a loss computes.
pub trait Float:
    Element + Default + PartialOrd + Add<Output = Self> + AddAssign + Mul<Output = Self> + MulAssign + Div<Output = Self>
{
    /// The [`Plain`] type of this dtype.
    type Number: Real<Mask = bool>;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Rounds a float64 to this dtype.
    fn from_f64(value: f64) -> Self;
    /// Converts to float64, exactly.
    fn to_f64(self) -> f64;
    /// The former name of [`from_f64`](Self::from_f64).
    #[doc(hidden)]
    #[inline(always)]
    fn rounded(value: f64) -> Self {
        Self::from_f64(value)
    }
    /// The former name of [`to_f64`](Self::to_f64).
    #[doc(hidden)]
    #[inline(always)]
    fn exact(self) -> f64 {
        self.to_f64()
    }
    #[doc(hidden)]
    fn numbers(slice: &[Self]) -> &[Self::Number];
    /// Converts to the number of a formula.
    fn number(self) -> Self::Number;
    /// Converts the result of a formula.
    fn of(number: Self::Number) -> Self;
    /// Runs a loop. float32 loops use the best SIMD level. float64 loops use the baseline: they call the standard
    /// library's functions, which don't vectorise, and each level adds to the compile time of every formula.
    #[doc(hidden)]
    fn run<K: Kernel>(kernel: K) -> K::Output;
    #[doc(hidden)]
    fn row_gradient(rows: &impl RowGradient, y_true: &[Self], y_pred: &[Self], gradient: &mut [Self]) -> Self;
}

/// A function of a row and its gradient, with an implementation for each dtype.
#[doc(hidden)]
pub trait RowGradient {
    fn single(&self, y_true: &[f32], y_pred: &[f32], gradient: &mut [f32]) -> f32;
    fn double(&self, y_true: &[f64], y_pred: &[f64], gradient: &mut [f64]) -> f64;
}

macro_rules! float {
    ($type:ident, $run:expr, $gradient:ident) => {
        impl Float for $type {
            type Number = Plain<$type>;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn numbers(slice: &[Self]) -> &[Plain<$type>] {
                Plain::slice(slice)
            }
            #[inline(always)]
            fn number(self) -> Plain<$type> {
                Plain(self)
            }
            #[inline(always)]
            fn of(number: Plain<$type>) -> Self {
                number.0
            }
            #[inline]
            fn run<K: Kernel>(kernel: K) -> K::Output {
                $run(kernel)
            }
            #[inline(always)]
            fn row_gradient(rows: &impl RowGradient, y_true: &[Self], y_pred: &[Self], gradient: &mut [Self]) -> Self {
                rows.$gradient(y_true, y_pred, gradient)
            }
        }
    };
}
float!(f32, dispatch, single);
float!(f64, Kernel::run, double);

/// Returns the sum in float64. The eight lanes are fixed, so the result is the same on every machine.
#[inline(always)]
pub(crate) fn sum<F: Float>(values: &[F]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value.to_f64();
        }
    }
    let tail: f64 = chunks.remainder().iter().map(|&value| value.to_f64()).sum();
    lanes.iter().sum::<f64>() + tail
}
