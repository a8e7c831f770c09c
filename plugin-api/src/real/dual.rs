//! Dual numbers, which compute derivatives.

use super::{ClassId, Real};
use std::ops::{Add, Div, Mul, Neg, Sub};

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
        Dual { value, derivative: F::zero() }
    }
}

with_constants! { [F: Real] Dual<F> }

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
    type Mask = F::Mask;

    #[inline(always)]
    fn from(constant: f64) -> Self {
        Dual::constant(F::from(constant))
    }
    #[inline(always)]
    fn lt(self, other: Self) -> F::Mask {
        self.value.lt(other.value)
    }
    #[inline(always)]
    fn le(self, other: Self) -> F::Mask {
        self.value.le(other.value)
    }
    #[inline(always)]
    fn to_class_id(self) -> ClassId<Self> {
        ClassId::of(self.value.to_class_id().index(), self)
    }
    #[inline(always)]
    fn is_common(mask: F::Mask) -> bool {
        F::is_common(mask)
    }
    #[inline(always)]
    fn eq(self, other: Self) -> F::Mask {
        self.value.eq(other.value)
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
        let sign = F::select(self.value.gt(zero), F::from(1.0), F::select(self.value.lt(zero), F::from(-1.0), zero));
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
            self.value.gt(other.value),
            self.derivative,
            F::select(self.value.lt(other.value), other.derivative, (self.derivative + other.derivative) * 0.5),
        );
        Dual { value: self.value.max(other.value), derivative }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let derivative = F::select(
            self.value.lt(other.value),
            self.derivative,
            F::select(self.value.gt(other.value), other.derivative, (self.derivative + other.derivative) * 0.5),
        );
        Dual { value: self.value.min(other.value), derivative }
    }
    #[inline(always)]
    fn select(mask: F::Mask, then: Self, otherwise: Self) -> Self {
        Dual {
            value: F::select(mask, then.value, otherwise.value),
            derivative: F::select(mask, then.derivative, otherwise.derivative),
        }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Dual::constant(self.value.floor())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        // The derivative, -sin(x), is cos(x + pi / 2).
        let slope = (self.value + std::f64::consts::FRAC_PI_2).cos();
        Dual { value: self.value.cos(), derivative: self.derivative * slope }
    }
    #[inline(always)]
    fn power_of(self, base: f64) -> Self {
        let value = self.value.power_of(base);
        // 0^x is 0 for every x above 0.
        let logarithm = if base == 0.0 { 0.0 } else { base.ln() };
        Dual { value, derivative: self.derivative * value * logarithm }
    }
    #[inline(always)]
    fn flush_subnormal(self) -> Self {
        Dual { value: self.value.flush_subnormal(), derivative: self.derivative }
    }
    #[inline(always)]
    fn detach(self) -> Self {
        Dual::constant(self.value.detach())
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        if exponent == 0 {
            return Dual::constant(F::from(1.0));
        }
        let factor = self.value.powi(exponent.saturating_sub(1)) * f64::from(exponent);
        Dual { value: self.value.powi(exponent), derivative: self.derivative * factor }
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let value = self.value.sigmoid();
        Dual { value, derivative: self.derivative * value * (-self.value).sigmoid() }
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        Dual { value: self.value.softplus(), derivative: self.derivative * self.value.sigmoid() }
    }
}
