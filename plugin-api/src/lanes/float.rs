//! The two dtypes that losses compute in.

use super::simd::{dispatch, plain, Kernel};
use crate::{loss::RowLoss, Element, Plain, Real};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign};

/// `f32` or `f64`: what a loss computes in.
pub trait Float:
    Element + Default + PartialOrd + Add<Output = Self> + AddAssign + Mul<Output = Self> + MulAssign + Div<Output = Self>
{
    /// The [`Plain`] of it.
    type Number: Real;
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// A number rounded to it.
    fn rounded(value: f64) -> Self;
    /// It in float64.
    fn exact(self) -> f64;
    #[doc(hidden)]
    fn numbers(slice: &[Self]) -> &[Self::Number];
    /// It in a formula.
    fn number(self) -> Self::Number;
    /// What a formula came to.
    fn of(number: Self::Number) -> Self;
    /// Runs a loop: of float32 with the best instructions that there are. Of float64 with the baseline's, as its functions are the
    /// standard library's, which no instruction set makes faster, and each set costs every formula time to compile.
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
