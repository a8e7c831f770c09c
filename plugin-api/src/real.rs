//! Numbers for generic formulas: one formula computes values in float32 and float64, and their derivatives.

mod single;

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number in a formula: a [`Plain`] float32 or float64, or a [`Dual`] number, which adds a derivative.
///
/// For float32 this crate implements the elementary functions without branches, because calls of the standard library
/// prevent vectorisation. They are within 2 units in the last place of the exact value, `powf` and `tanh` within 4. For
/// float64 they are the standard library's functions.
///
/// At a kink the derivative is the mean of both sides: that of `max`, `min` and `clamp` is one half if the arguments
/// are equal, and that of `abs` is 0 at 0.
pub trait Real:
    Copy
    + PartialOrd
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
    /// Converts a constant.
    fn from(constant: f64) -> Self;
    /// Returns the value without its derivative.
    fn value(self) -> f64;
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
    /// Returns the greater number, or NaN if one is NaN.
    fn max(self, other: Self) -> Self;
    /// Returns the smaller number, or NaN if one is NaN.
    fn min(self, other: Self) -> Self;
    /// Returns `then` if the condition holds, else `otherwise`. Both arguments are computed.
    fn select(condition: bool, then: Self, otherwise: Self) -> Self;

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

    /// Restricts to the bounds, as `max(lower).min(upper)`.
    #[inline(always)]
    fn clamp(self, lower: f64, upper: f64) -> Self {
        self.max(<Self as Real>::from(lower)).min(<Self as Real>::from(upper))
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
        let positive = self > zero;
        let tail = Self::select(positive, -self, self).exp().ln_1p();
        Self::select(positive, self, zero) + tail
    }
}

/// A dual number (Clifford): a value and its derivative. Every operation applies the chain rule.
#[derive(Clone, Copy, Debug)]
pub struct Dual<F> {
    /// The value.
    pub value: F,
    /// The derivative of the value.
    pub derivative: F,
}

impl<F: Real> Dual<F> {
    /// Creates the variable of differentiation, whose derivative is 1.
    #[inline(always)]
    pub fn variable(value: F) -> Self {
        Dual { value, derivative: F::from(1.0) }
    }

    /// Creates a constant, whose derivative is 0.
    #[inline(always)]
    pub fn constant(value: F) -> Self {
        Dual { value, derivative: F::from(0.0) }
    }
}

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
with_constants! { [F: Real] Dual<F> }

impl<F: Real> PartialEq for Dual<F> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<F: Real> PartialOrd for Dual<F> {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
    #[inline(always)]
    fn lt(&self, other: &Self) -> bool {
        self.value < other.value
    }
    #[inline(always)]
    fn le(&self, other: &Self) -> bool {
        self.value <= other.value
    }
    #[inline(always)]
    fn gt(&self, other: &Self) -> bool {
        self.value > other.value
    }
    #[inline(always)]
    fn ge(&self, other: &Self) -> bool {
        self.value >= other.value
    }
}

impl<F: Real> Neg for Dual<F> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Dual { value: -self.value, derivative: -self.derivative }
    }
}
impl<F: Real> Add for Dual<F> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Dual { value: self.value + other.value, derivative: self.derivative + other.derivative }
    }
}
impl<F: Real> Sub for Dual<F> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Dual { value: self.value - other.value, derivative: self.derivative - other.derivative }
    }
}
impl<F: Real> Mul for Dual<F> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Dual {
            value: self.value * other.value,
            derivative: self.derivative * other.value + self.value * other.derivative,
        }
    }
}
impl<F: Real> Div for Dual<F> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Dual { value, derivative: (self.derivative - value * other.derivative) / other.value }
    }
}

impl<F: Real> Real for Dual<F> {
    #[inline(always)]
    fn from(constant: f64) -> Self {
        Dual::constant(F::from(constant))
    }
    #[inline(always)]
    fn value(self) -> f64 {
        self.value.value()
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let value = self.value.exp();
        Dual { value, derivative: self.derivative * value }
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        let value = self.value.exp_m1();
        Dual { value, derivative: self.derivative * (value + 1.0) }
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Dual { value: self.value.ln(), derivative: self.derivative / self.value }
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        Dual { value: self.value.ln_1p(), derivative: self.derivative / (self.value + 1.0) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Dual { value, derivative: self.derivative * 0.5 / value }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        let zero = F::from(0.0);
        let sign = F::select(self.value > zero, F::from(1.0), F::select(self.value < zero, F::from(-1.0), zero));
        Dual { value: self.value.abs(), derivative: self.derivative * sign }
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        Dual { value, derivative: self.derivative * (F::from(1.0) - value * value) }
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        Dual {
            value: self.value.powf(exponent),
            derivative: self.derivative * self.value.powf(exponent - 1.0) * exponent,
        }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let derivative = F::select(
            self.value > other.value,
            self.derivative,
            F::select(self.value < other.value, other.derivative, (self.derivative + other.derivative) * 0.5),
        );
        Dual { value: self.value.max(other.value), derivative }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let derivative = F::select(
            self.value < other.value,
            self.derivative,
            F::select(self.value > other.value, other.derivative, (self.derivative + other.derivative) * 0.5),
        );
        Dual { value: self.value.min(other.value), derivative }
    }
    #[inline(always)]
    fn select(condition: bool, then: Self, otherwise: Self) -> Self {
        Dual {
            value: F::select(condition, then.value, otherwise.value),
            derivative: F::select(condition, then.derivative, otherwise.derivative),
        }
    }
}

/// A float in a formula. (`f32` itself has no operators with an `f64` constant.)
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
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
            #[inline(always)]
            fn from(constant: f64) -> Self {
                Plain(constant as $type)
            }
            #[inline(always)]
            fn value(self) -> f64 {
                self.0 as f64
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
                Self::select(self > other, self, Self::select(other >= self, other, self + other))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Self::select(self < other, self, Self::select(other <= self, other, self + other))
            }
            #[inline(always)]
            fn select(condition: bool, then: Self, otherwise: Self) -> Self {
                if condition {
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
