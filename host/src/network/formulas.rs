//! The element-wise activations and their derivatives, as defined in Keras 3.

use super::exp::{exp, exp_m1, normal_cdf, normal_density, sigmoid, softplus, tanh};

/// An element-wise activation. Every function must be `#[inline(always)]`, so that loops over it vectorise.
pub trait Formula {
    /// Whether the derivative can't be computed from the output, so that training stores it in addition.
    const KEEPS_DERIVATIVE: bool = false;

    /// y = f(z)
    fn value(z: f32) -> f32;

    /// Returns f'(z) as a function of y. Used if `KEEPS_DERIVATIVE` is false.
    #[inline(always)]
    fn derivative_from_value(_y: f32) -> f32 {
        1.0
    }

    /// Returns f(z) and f'(z), sharing common terms. Used if `KEEPS_DERIVATIVE` is true.
    #[inline(always)]
    fn value_and_derivative(z: f32) -> (f32, f32) {
        let y = Self::value(z);
        (y, Self::derivative_from_value(y))
    }
}

/// z
pub struct Linear;

impl Formula for Linear {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z
    }
}

/// max(z, 0). NaN stays NaN.
pub struct Relu;

impl Formula for Relu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        if z < 0.0 { 0.0 } else { z }
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { 0.0 }
    }
}

/// z above 0, else 0.2 z (the default slope of Keras).
pub struct LeakyRelu;

impl LeakyRelu {
    const NEGATIVE_SLOPE: f32 = 0.2;
}

impl Formula for LeakyRelu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        if z < 0.0 { Self::NEGATIVE_SLOPE * z } else { z }
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { Self::NEGATIVE_SLOPE }
    }
}

/// z above 0, else e^z - 1. Clevert et al. 2015.
pub struct Elu;

impl Formula for Elu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        let below = exp_m1(z);
        if z > 0.0 { z } else { below }
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { y + 1.0 }
    }
}

/// A scaled ELU that preserves mean 0 and variance 1. Klambauer et al. 2017.
pub struct Selu;

impl Selu {
    const ALPHA: f32 = 1.673_263_2;
    const SCALE: f32 = 1.050_701;
}

impl Formula for Selu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        let below = Self::ALPHA * exp_m1(z);
        Self::SCALE * if z > 0.0 { z } else { below }
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        if y > 0.0 { Self::SCALE } else { y + Self::SCALE * Self::ALPHA }
    }
}

/// z Φ(z), where Φ is the standard normal distribution function (the default of Keras, not the tanh approximation).
/// Hendrycks & Gimpel 2016.
pub struct Gelu;

impl Formula for Gelu {
    const KEEPS_DERIVATIVE: bool = true;

    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * normal_cdf(z)
    }

    #[inline(always)]
    fn value_and_derivative(z: f32) -> (f32, f32) {
        let below = normal_cdf(z);
        (z * below, below + z * normal_density(z))
    }
}

/// 1 / (1 + e^-z)
pub struct Sigmoid;

impl Formula for Sigmoid {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        sigmoid(z)
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        y * (1.0 - y)
    }
}

/// The hyperbolic tangent.
pub struct Tanh;

impl Formula for Tanh {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        tanh(z)
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        1.0 - y * y
    }
}

/// ln(1 + e^z)
pub struct Softplus;

impl Formula for Softplus {
    const KEEPS_DERIVATIVE: bool = true;

    #[inline(always)]
    fn value(z: f32) -> f32 {
        softplus(z)
    }

    #[inline(always)]
    fn value_and_derivative(z: f32) -> (f32, f32) {
        (softplus(z), sigmoid(z))
    }
}

/// z / (1 + e^-z), also called swish. Elfwing et al. 2017.
pub struct Silu;

impl Formula for Silu {
    const KEEPS_DERIVATIVE: bool = true;

    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * sigmoid(z)
    }

    #[inline(always)]
    fn value_and_derivative(z: f32) -> (f32, f32) {
        let s = sigmoid(z);
        (z * s, s + z * s * (1.0 - s))
    }
}

/// e^z
pub struct Exponential;

impl Formula for Exponential {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        exp(z)
    }

    #[inline(always)]
    fn derivative_from_value(y: f32) -> f32 {
        y
    }
}
