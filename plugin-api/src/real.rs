//! Numbers for generic formulas: one formula computes values in float32 and float64, and their derivatives.

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

/// Implements the operators of a number type with a constant.
macro_rules! with_constants {
    ([$($generics:tt)*] $type:ty) => {
        with_constants! { @ [$($generics)*] $type: Add add, Sub sub, Mul mul, Div div }
    };
    (@@ [$($generics:tt)*] $type:ty, $op:ident, $method:ident) => {
        impl<$($generics)*> $op<f64> for $type {
            type Output = Self;
            #[inline(always)]
            fn $method(self, constant: f64) -> Self {
                $op::$method(self, <Self as Real>::from(constant))
            }
        }
    };
    (@ $generics:tt $type:ty: $($op:ident $method:ident),*) => {$( with_constants! { @@ $generics $type, $op, $method } )*};
}

pub(crate) use with_constants;

mod argmax;
mod class_id;
mod dual;
mod single;

pub use class_id::ClassId;
pub use dual::Dual;

/// The result of a comparison of two numbers of a formula. Masks are combined with `&`, `|` and `!`, and
/// [`Real::select`] selects by them.
pub trait Mask:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self> + Send + Sync + 'static
{
}

impl Mask for bool {}

/// A number in a formula: a [`Plain`] float32 or float64, a [`Dual`] number, which adds a derivative, or a
/// [`Traced`](crate::formula::Traced) number, which records the formula.
///
/// A formula can't branch on a number, because a recorded number has no value: comparisons return a
/// [`Mask`](Self::Mask), and [`select`](Self::select) computes both alternatives. It may branch on a setting of the
/// component.
///
/// For float32 this crate implements the elementary functions without branches, because calls of the standard library
/// prevent vectorisation. They are within 2 units in the last place of the exact value, `powf` and `tanh` within 4. For
/// float64 they are the standard library's functions.
///
/// At a kink the derivative is the mean of both sides: that of `max`, `min` and `clamp` is one half if the arguments
/// are equal, and that of `abs` is 0 at 0.
pub trait Real:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
    + Send
    + Sync
    + 'static
{
    /// The result of a comparison.
    type Mask: Mask;

    /// Converts a constant.
    fn from(constant: f64) -> Self;
    /// Returns the derivative of a constant. Its products are 0 in a recorded formula, whatever the other factor is.
    #[doc(hidden)]
    #[inline(always)]
    fn zero() -> Self {
        <Self as Real>::from(0.0)
    }
    /// Whether `self < other`; false if one is NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// Whether `self <= other`; false if one is NaN.
    fn le(self, other: Self) -> Self::Mask;
    /// Whether `self > other`; false if one is NaN.
    #[inline(always)]
    fn gt(self, other: Self) -> Self::Mask {
        other.lt(self)
    }
    /// Whether `self >= other`; false if one is NaN.
    #[inline(always)]
    fn ge(self, other: Self) -> Self::Mask {
        other.le(self)
    }
    /// Whether `self == other`; false if one is NaN.
    fn eq(self, other: Self) -> Self::Mask;
    /// Returns `then` where the mask holds, else `otherwise`. Both arguments are computed.
    fn select(mask: Self::Mask, then: Self, otherwise: Self) -> Self;
    /// Returns `e` to the power of `self`.
    fn exp(self) -> Self;
    /// Returns `exp(x) - 1`, exact near 0.
    fn exp_m1(self) -> Self;
    /// Returns the natural logarithm, or NaN below 0.
    fn ln(self) -> Self;
    /// Returns `ln(1 + x)`, exact near 0.
    fn ln_1p(self) -> Self;
    /// Returns the square root.
    fn sqrt(self) -> Self;
    /// Returns the absolute value.
    fn abs(self) -> Self;
    /// Returns the hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Raises `x >= 0` to a constant power. `x.powf(0.0)` is 1.
    fn powf(self, exponent: f64) -> Self;
    /// Returns the greatest whole number that isn't above `self`. Its derivative is 0.
    fn floor(self) -> Self;
    /// Returns the cosine of `self` in radians.
    fn cos(self) -> Self;
    /// Raises a constant `base >= 0` to the power `self`.
    fn power_of(self, base: f64) -> Self;
    /// Returns the greater number, or NaN if one is NaN.
    fn max(self, other: Self) -> Self;
    /// Returns the smaller number, or NaN if one is NaN.
    fn min(self, other: Self) -> Self;

    /// Raises to an integer power by repeated multiplication.
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        let mut product = <Self as Real>::from(1.0);
        for _ in 0..exponent.unsigned_abs() {
            product = product * self;
        }
        if exponent < 0 {
            <Self as Real>::from(1.0) / product
        } else {
            product
        }
    }

    /// Returns the least whole number that isn't below `self`. Its derivative is 0.
    #[inline(always)]
    fn ceil(self) -> Self {
        -(-self).floor()
    }

    /// Restricts to the bounds, as `max(lower).min(upper)`.
    #[inline(always)]
    fn clamp(self, lower: f64, upper: f64) -> Self {
        self.max(<Self as Real>::from(lower)).min(<Self as Real>::from(upper))
    }

    /// Returns -1, 0 or 1 by the sign, or NaN for NaN.
    #[inline(always)]
    fn sign(self) -> Self {
        let zero = <Self as Real>::from(0.0);
        // Detached, since the derivative is 0.
        let negative = Self::select(self.lt(zero), <Self as Real>::from(-1.0), self.detach());
        Self::select(self.gt(zero), <Self as Real>::from(1.0), negative)
    }

    /// Returns `1 / (1 + exp(-x))`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        <Self as Real>::from(1.0) / ((-self).exp() + 1.0)
    }

    /// Returns `ln(1 + exp(x))`, without overflow.
    #[inline(always)]
    fn softplus(self) -> Self {
        let zero = <Self as Real>::from(0.0);
        // `select` instead of `max` and `abs`: the derivative is then the sigmoid at 0 too.
        let positive = self.gt(zero);
        let tail = Self::select(positive, -self, self).exp().ln_1p();
        Self::select(positive, self, zero) + tail
    }

    /// Returns the same number as a constant: its derivative is 0. For a number that doesn't change the result, such as a
    /// maximum that is subtracted before [`exp`](Self::exp).
    #[inline(always)]
    fn detach(self) -> Self {
        self
    }
    /// Returns the sum over a row, of which `self` is the sum on a CPU and the term in a recorded formula.
    #[doc(hidden)]
    #[inline(always)]
    fn row_sum(self) -> Self {
        self
    }
    /// Returns the maximum over a row, as [`row_sum`](Self::row_sum).
    #[doc(hidden)]
    #[inline(always)]
    fn row_max(self) -> Self {
        self
    }
    /// Returns the number of elements of a row, which is `length` on a CPU.
    #[doc(hidden)]
    #[inline(always)]
    fn row_len(length: usize) -> Self {
        <Self as Real>::from(length as f64)
    }
    /// Returns the sum of the elements before each element of a row, or after it.
    #[doc(hidden)]
    fn row_partial_sums(elements: &[Self], after: bool) -> Vec<Self> {
        let mut total = <Self as Real>::from(0.0);
        let mut sums = vec![total; elements.len()];
        let mut put = |i: usize| {
            sums[i] = total;
            total = total + elements[i];
        };
        if after {
            (0..elements.len()).rev().for_each(&mut put);
        } else {
            (0..elements.len()).for_each(&mut put);
        }
        sums
    }
    /// Returns the number of an element in its row, which is `position` on a CPU.
    #[doc(hidden)]
    #[inline(always)]
    fn row_index(position: usize) -> Self {
        <Self as Real>::from(position as f64)
    }
    /// Returns the element of a class.
    #[doc(hidden)]
    #[inline(always)]
    fn row_at(elements: &[Self], class: ClassId<Self>) -> Self {
        elements.get(class.index()).copied().unwrap_or_else(|| <Self as Real>::from(f64::NAN))
    }
    /// Returns the position of the first greatest element, or NaN if an element is NaN.
    #[doc(hidden)]
    fn row_argmax(elements: &[Self]) -> Self {
        let Some((&first, others)) = elements.split_first() else { return <Self as Real>::from(f64::NAN) };
        let (mut most, mut at) = (first, <Self as Real>::from(0.0));
        for (i, &x) in others.iter().enumerate() {
            at = Self::select(x.gt(most), <Self as Real>::from(i as f64 + 1.0), at);
            most = most.max(x);
        }
        // `max` keeps NaN.
        Self::select(most.eq(most), at, most)
    }
    /// Converts to a class id.
    #[doc(hidden)]
    fn to_class_id(self) -> ClassId<Self>;
    /// Whether a mask holds, for a second way of computing the same number that is needed only at extreme magnitudes. A
    /// recorded formula takes the common way, as if it held.
    #[doc(hidden)]
    fn is_common(mask: Self::Mask) -> bool;

    /// Returns 0 instead of a number that is subnormal in float32. Arithmetic on subnormal numbers is many times slower.
    #[inline(always)]
    fn flush_subnormal(self) -> Self {
        Self::select(self.abs().lt(<Self as Real>::from(f32::MIN_POSITIVE.into())), <Self as Real>::from(0.0), self)
    }
}

/// A float in a formula. (`f32` itself has no operators with an `f64` constant.)
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(transparent)]
pub struct Plain<F>(pub F);

macro_rules! float {
    ($type:ty, $functions:ident) => {
        float! { @ $type: Add add, Sub sub, Mul mul, Div div }
        with_constants! { [] Plain<$type> }

        impl Neg for Plain<$type> {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                Plain(-self.0)
            }
        }

        impl Real for Plain<$type> {
            type Mask = bool;

            #[inline(always)]
            fn from(constant: f64) -> Self {
                Plain(constant as $type)
            }
            #[inline(always)]
            fn lt(self, other: Self) -> bool {
                self.0 < other.0
            }
            #[inline(always)]
            fn le(self, other: Self) -> bool {
                self.0 <= other.0
            }
            #[inline(always)]
            fn row_argmax(elements: &[Self]) -> Self {
                if elements.len() >= 2 * argmax::LANES {
                    return argmax::first_greatest(elements);
                }
                // Branches, which are predicted: a chain of selections takes twice the time.
                let better = |x: $type, best: $type| x > best || x.is_nan();
                let best = (1..elements.len()).fold(0, |best, i| {
                    if better(elements[i].0, elements[best].0) {
                        i
                    } else {
                        best
                    }
                });
                match elements.get(best) {
                    Some(most) if !most.0.is_nan() => Plain(best as $type),
                    _ => Plain(<$type>::NAN),
                }
            }
            #[inline(always)]
            fn to_class_id(self) -> ClassId<Self> {
                // Negative numbers and NaN become class 0: the host side has refused them before.
                ClassId::new(self.0 as usize)
            }
            #[inline(always)]
            fn is_common(mask: bool) -> bool {
                mask
            }
            #[inline(always)]
            fn eq(self, other: Self) -> bool {
                self.0 == other.0
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Plain(self.0.sqrt())
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Plain(self.0.abs())
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // If neither comparison holds, one number is NaN, and so is the sum.
                Self::select(self.0 > other.0, self, Self::select(other.0 >= self.0, other, self + other))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self::select(self.0 < other.0, self, Self::select(other.0 <= self.0, other, self + other))
            }
            #[inline(always)]
            fn select(mask: bool, then: Self, otherwise: Self) -> Self {
                if mask {
                    then
                } else {
                    otherwise
                }
            }
            #[inline(always)]
            fn exp(self) -> Self {
                Plain($functions::exp(self.0))
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                Plain($functions::exp_m1(self.0))
            }
            #[inline(always)]
            fn ln(self) -> Self {
                Plain($functions::ln(self.0))
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                Plain($functions::ln_1p(self.0))
            }
            #[inline(always)]
            fn floor(self) -> Self {
                Plain(self.0.floor())
            }
            #[inline(always)]
            fn cos(self) -> Self {
                Plain(self.0.cos())
            }
            #[inline(always)]
            fn power_of(self, base: f64) -> Self {
                Plain((base as $type).powf(self.0))
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                Plain($functions::tanh(self.0))
            }
            #[inline(always)]
            fn powf(self, exponent: f64) -> Self {
                Plain($functions::powf(self.0, exponent as $type))
            }
        }
    };
    (@ $type:ty: $($op:ident $method:ident),*) => {$(
        impl $op for Plain<$type> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Plain($op::$method(self.0, other.0))
            }
        }
    )*};
}
float!(f32, single);
float!(f64, double);

/// The standard library's functions on float64.
mod double {
    macro_rules! standard {
        ($($name:ident($($argument:ident),*)),*) => {$(
            #[inline(always)]
            pub fn $name(x: f64, $($argument: f64),*) -> f64 {
                x.$name($($argument),*)
            }
        )*};
    }
    standard! { exp(), exp_m1(), ln(), ln_1p(), tanh(), powf(exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivative(f: impl Fn(Dual<Plain<f64>>) -> Dual<Plain<f64>>, x: f64) -> f64 {
        f(Dual::variable(Plain(x))).derivative.0
    }

    #[test]
    fn dual_numbers_differentiate_every_function() {
        type D = Dual<Plain<f64>>;
        type Named = (&'static str, fn(D) -> D);
        let functions: [Named; 12] = [
            ("exp", |x| x.exp()),
            ("exp_m1", |x| x.exp_m1()),
            ("ln", |x| x.ln()),
            ("ln_1p", |x| x.ln_1p()),
            ("sqrt", |x| x.sqrt()),
            ("tanh", |x| x.tanh()),
            ("powf", |x| x.powf(2.5)),
            ("powi", |x| x.powi(-3)),
            ("sigmoid", |x| x.sigmoid()),
            ("softplus", |x| x.softplus()),
            ("quotient", |x| (x * x + 1.0) / (x - 7.0)),
            ("clamp", |x| x.clamp(0.5, 2.0) * x),
        ];
        for (name, f) in functions {
            for x in [0.3, 0.7, 1.9, 3.0] {
                let h = 1e-6;
                let at = |x: f64| f(D::constant(Plain(x))).value.0;
                let difference = (at(x + h) - at(x - h)) / (2.0 * h);
                let derivative = derivative(f, x);
                assert!(
                    (derivative - difference).abs() <= 1e-6 * (1.0 + derivative.abs()),
                    "{name} at {x}: {derivative} {difference}"
                );
            }
        }
    }

    #[test]
    fn at_a_kink_the_derivative_is_the_mean_of_both_sides() {
        assert_eq!(derivative(|x| x.abs(), 0.0), 0.0);
        assert_eq!(derivative(|x| x.clamp(0.0, 1.0), 0.0), 0.5);
        assert_eq!(derivative(|x| x.clamp(0.0, 1.0), 1.0), 0.5);
        assert_eq!(derivative(|x| x.softplus(), 0.0), 0.5);
    }

    #[test]
    fn a_nan_stays_a_nan() {
        let nan = Plain(f32::NAN);
        assert!(nan.max(Plain(1.0)).0.is_nan() && Plain(1.0).max(nan).0.is_nan());
        assert!(nan.min(Plain(1.0)).0.is_nan() && Plain(1.0).min(nan).0.is_nan());
        assert!(nan.clamp(0.0, 1.0).0.is_nan() && nan.exp().0.is_nan() && nan.ln().0.is_nan() && nan.tanh().0.is_nan());
    }
}
