//! The operations on float64 numbers.

use super::operation::{Binary, Comparison, Power, Unary};

impl Unary {
    /// Computes the function in float64.
    pub fn compute(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sqrt => x.sqrt(),
            Unary::Exp => x.exp(),
            Unary::ExpM1 => x.exp_m1(),
            Unary::Ln => x.ln(),
            Unary::Ln1p => x.ln_1p(),
            Unary::Tanh => x.tanh(),
            Unary::Floor => x.floor(),
            Unary::Cos => x.cos(),
            Unary::Sigmoid => sigmoid(x),
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Flush if x.abs() < f64::from(f32::MIN_POSITIVE) => 0.0,
            Unary::Flush | Unary::Detach => x,
        }
    }
}

/// Computes `1 / (1 + exp(-x))` without overflow, and with all digits where the result is small.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        return 1.0 / (1.0 + (-x).exp());
    }
    let power = x.exp();
    power / (1.0 + power)
}

impl Binary {
    /// Computes the function in float64.
    pub fn compute(self, x: f64, y: f64) -> f64 {
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Max | Binary::Min if x.is_nan() || y.is_nan() => f64::NAN,
            Binary::Max => x.max(y),
            Binary::Min => x.min(y),
        }
    }
}

impl Comparison {
    /// Compares two numbers.
    pub fn holds(self, x: f64, y: f64) -> bool {
        match self {
            Comparison::Less => x < y,
            Comparison::LessOrEqual => x <= y,
            Comparison::Greater => x > y,
            Comparison::GreaterOrEqual => x >= y,
            Comparison::Equal => x == y,
        }
    }
}

impl Power {
    /// Computes the power in float64.
    pub fn compute(self, x: f64, constant: f64) -> f64 {
        match self {
            Power::Of => constant.powf(x),
            Power::Real | Power::Whole => x.powf(constant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_softplus_neither_overflow_nor_lose_digits() {
        assert_eq!([-1000.0, 0.0, 1000.0].map(|x| Unary::Sigmoid.compute(x)), [0.0, 0.5, 1.0]);
        assert_eq!(Unary::Sigmoid.compute(-700.0), (-700.0_f64).exp());
        assert_eq!([-1000.0, 1000.0].map(|x| Unary::Softplus.compute(x)), [0.0, 1000.0]);
        assert_eq!(Unary::Softplus.compute(-700.0), (-700.0_f64).exp());
        assert_eq!(Unary::Softplus.compute(0.0), std::f64::consts::LN_2);
        assert!(Unary::Softplus.compute(f64::NAN).is_nan() && Unary::Sigmoid.compute(f64::NAN).is_nan());
    }

    #[test]
    fn functions_near_zero_keep_their_digits() {
        assert_eq!(Unary::ExpM1.compute(1e-20), 1e-20);
        assert_eq!(Unary::Ln1p.compute(1e-20), 1e-20);
    }

    #[test]
    fn whole_powers_keep_the_sign_and_any_number_to_the_power_of_zero_is_one() {
        assert_eq!(Power::Whole.compute(-2.0, 3.0), -8.0);
        assert_eq!(Power::Whole.compute(-2.0, -2.0), 0.25);
        assert_eq!([0.0, -3.0, f64::NAN].map(|x| Power::Real.compute(x, 0.0)), [1.0; 3]);
    }

    #[test]
    fn the_maximum_with_a_nan_is_nan() {
        assert!(Binary::Max.compute(f64::NAN, 1.0).is_nan() && Binary::Min.compute(1.0, f64::NAN).is_nan());
        assert_eq!(Binary::Max.compute(1.0, f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn numbers_that_float32_holds_as_subnormal_numbers_are_flushed() {
        assert_eq!(Unary::Flush.compute(-1e-38), 0.0);
        assert_eq!(Unary::Flush.compute(f64::from(f32::MIN_POSITIVE)), f64::from(f32::MIN_POSITIVE));
        assert!(Unary::Flush.compute(f64::NAN).is_nan());
    }
}
