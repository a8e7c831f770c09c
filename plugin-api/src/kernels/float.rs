//! The two dtypes in which losses compute.

use super::simd::{dispatch, plain, Kernel};
use crate::{loss::RowLoss, Element, Plain, Real};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign};

/// `f32` or `f64`, the dtype in which a loss computes.
pub trait Float:
    Element + Default + PartialOrd + Add<Output = Self> + AddAssign + Mul<Output = Self> + MulAssign + Div<Output = Self>
{
    /// The [`Plain`] type of this dtype.
    type Number: Real;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Rounds a float64 to this dtype.
    fn rounded(value: f64) -> Self;
    /// Converts to float64, exactly.
    fn exact(self) -> f64;
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
    fn row_gradient(formula: &impl RowLoss, y_true: &[Self], y_pred: &[Self], gradient: &mut [Self]) -> Self;
}

macro_rules! float {
    ($type:ident, $run:expr, $gradient:ident) => {
        impl Float for $type {
            type Number = Plain<$type>;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn rounded(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn exact(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn numbers(slice: &[Self]) -> &[Plain<$type>] {
                plain(slice)
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
            fn row_gradient(formula: &impl RowLoss, y_true: &[Self], y_pred: &[Self], gradient: &mut [Self]) -> Self {
                formula.$gradient(y_true, y_pred, gradient)
            }
        }
    };
}
float!(f32, dispatch, gradient);
float!(f64, Kernel::run, gradient_f64);
