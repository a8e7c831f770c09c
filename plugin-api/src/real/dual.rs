//! Dual numbers, which compute derivatives.

use super::Real;
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
        Dual { value, derivative: F::from(0.0) }
    }
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
