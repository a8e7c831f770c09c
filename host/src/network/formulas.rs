//! The element-wise activations and their derivatives, as defined in Keras 3.

use super::exp::{exp, exp_m1, normal_cdf, normal_density, sigmoid, softplus, tanh};

/// An element-wise activation. Every function must be `#[inline(always)]`, so that loops over it vectorise.
pub trait Formula {
    /// Whether the derivative can't be computed from the output, so that training stores it in addition.
    const STORES_DERIVATIVE: bool = false;

    /// y = f(z)
    fn value(z: f32) -> f32;

    /// Returns f'(z) as a function of y. Used if `STORES_DERIVATIVE` is false.
    #[inline(always)]
    fn derivative_from_value(_y: f32) -> f32 {
        1.0
    }

    /// Returns f(z) and f'(z), sharing common terms. Used if `STORES_DERIVATIVE` is true.
    #[inline(always)]
    fn value_and_derivative(z: f32) -> (f32, f32) {
        let y = Self::value(z);
        (y, Self::derivative_from_value(y))
    }
}

/// Declares activations with their formulas.
macro_rules! formulas {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $(const $constant:ident = $value:expr;)?
            $(fn $function:ident($x:ident) -> $result:ty = $body:expr;)*
        }
    )*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Formula for $name {
            $(const $constant: bool = $value;)?
            $(#[inline(always)]
            fn $function($x: f32) -> $result {
                $body
            })*
        }
    )*};
}

const LEAKY_RELU_SLOPE: f32 = 0.2;
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

formulas! {
    /// z
    Linear {
        fn value(z) -> f32 = z;
    }

    /// max(z, 0). NaN stays NaN.
    Relu {
        fn value(z) -> f32 = if z < 0.0 { 0.0 } else { z };
        fn derivative_from_value(y) -> f32 = if y > 0.0 { 1.0 } else { 0.0 };
    }

    /// z above 0, else 0.2 z (the default slope of Keras).
    LeakyRelu {
        fn value(z) -> f32 = if z < 0.0 { LEAKY_RELU_SLOPE * z } else { z };
        fn derivative_from_value(y) -> f32 = if y > 0.0 { 1.0 } else { LEAKY_RELU_SLOPE };
    }

    /// z above 0, else e^z - 1. Clevert et al. 2015.
    Elu {
        fn value(z) -> f32 = {
            let below = exp_m1(z);
            if z > 0.0 { z } else { below }
        };
        fn derivative_from_value(y) -> f32 = if y > 0.0 { 1.0 } else { y + 1.0 };
    }

    /// A scaled ELU that preserves mean 0 and variance 1. Klambauer et al. 2017.
    Selu {
        fn value(z) -> f32 = {
            let below = SELU_ALPHA * exp_m1(z);
            SELU_SCALE * if z > 0.0 { z } else { below }
        };
        fn derivative_from_value(y) -> f32 = if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA };
    }

    /// z Φ(z), where Φ is the standard normal distribution function (the default of Keras, not the tanh approximation).
    /// Hendrycks & Gimpel 2016.
    Gelu {
        const STORES_DERIVATIVE = true;
        fn value(z) -> f32 = z * normal_cdf(z);
        fn value_and_derivative(z) -> (f32, f32) = {
            let below = normal_cdf(z);
            (z * below, below + z * normal_density(z))
        };
    }

    /// 1 / (1 + e^-z)
    Sigmoid {
        fn value(z) -> f32 = sigmoid(z);
        fn derivative_from_value(y) -> f32 = y * (1.0 - y);
    }

    /// The hyperbolic tangent.
    Tanh {
        fn value(z) -> f32 = tanh(z);
        fn derivative_from_value(y) -> f32 = 1.0 - y * y;
    }

    /// ln(1 + e^z)
    Softplus {
        const STORES_DERIVATIVE = true;
        fn value(z) -> f32 = softplus(z);
        fn value_and_derivative(z) -> (f32, f32) = (softplus(z), sigmoid(z));
    }

    /// z / (1 + e^-z), also called swish. Elfwing et al. 2017.
    Silu {
        const STORES_DERIVATIVE = true;
        fn value(z) -> f32 = z * sigmoid(z);
        fn value_and_derivative(z) -> (f32, f32) = {
            let s = sigmoid(z);
            (z * s, s + z * s * (1.0 - s))
        };
    }

    /// e^z
    Exponential {
        fn value(z) -> f32 = exp(z);
        fn derivative_from_value(y) -> f32 = y;
    }
}
