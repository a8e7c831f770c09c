//! `exp` and related functions without libm, so that loops over them vectorise.
//!
//! The functions are branch-free and use only plain multiplications and additions, which aren't contracted to fused
//! multiply-adds. The results are therefore the same bits on every machine. NaN stays NaN. The error of each function
//! is stated in units in the last place, and tested.
//!
//! plugfit-api has such functions too. Their `exp_m1` takes twice the time, because it isn't limited to a range.

/// Below this, `exp` is 0 (half the smallest subnormal) and `exp_m1` is -1.
const UNDERFLOW: f32 = -104.0;
/// Above this, `exp` is infinite.
const OVERFLOW: f32 = 89.0;

/// `ln 2` in two parts. The first has so few bits that its product with any exponent used here is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding this to a number below 2^22 rounds the number to an integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;

/// Reduces `x = n ln 2 + r`, with `|r| <= ln 2 / 2`. Returns `exp(r) - 1` and `n`.
#[inline(always)]
fn reduce(x: f32) -> (f32, i32) {
    // Comparisons instead of `clamp` and `max`: they preserve NaN, and each is one instruction.
    let x = if x > OVERFLOW { OVERFLOW } else { x };
    let x = if x < UNDERFLOW { UNDERFLOW } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = (rounded.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let n_float = rounded - ROUND;
    let r = (x - n_float * LN_2_HIGH) - n_float * LN_2_LOW;
    // Minimax polynomial for (exp(r) - 1 - r) / r^2, from Cephes's expf.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    (p * r * r + r, n)
}

/// Returns `2^n`, for n in -126..=127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// Returns `e^x`, within 2 ulp. Overflows to infinity, underflows gradually to 0.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (exp_r_m1, n) = reduce(x);
    // Two factors, because 2^n alone may be out of range when the product isn't.
    let half = n >> 1;
    (exp_r_m1 + 1.0) * power_of_two(half) * power_of_two(n - half)
}

/// Returns `e^x - 1` for `x <= 0`, within 3 ulp, also near 0. For `x > 0` it is valid up to 88.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let x = if x < -64.0 { -64.0 } else { x };
    let (exp_r_m1, n) = reduce(x);
    let scale = power_of_two(n);
    exp_r_m1 * scale + (scale - 1.0)
}

/// Returns `ln(1 + u)` for u in 0..=1, within 3 ulp, also near 0.
#[inline(always)]
pub fn ln_1p_unit(u: f32) -> f32 {
    // ln(1 + u) = 2 artanh(s), where s is at most 1/3, so that the series converges fast.
    let s = u / (u + 2.0);
    let s2 = s * s;
    let p = 1.0 / 15.0;
    let p = p * s2 + 1.0 / 13.0;
    let p = p * s2 + 1.0 / 11.0;
    let p = p * s2 + 1.0 / 9.0;
    let p = p * s2 + 1.0 / 7.0;
    let p = p * s2 + 1.0 / 5.0;
    let p = p * s2 + 1.0 / 3.0;
    2.0 * (s + s * s2 * p)
}

/// Returns `1 / (1 + e^-x)`, within 4 ulp.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Returns the hyperbolic tangent, within 5 ulp, also near 0.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let m = exp_m1(-2.0 * x.abs());
    (-m / (m + 2.0)).copysign(x)
}

/// Returns `ln(1 + e^x)`, within 4 ulp.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    let tail = ln_1p_unit(exp(-x.abs()));
    // `max` would lose a NaN.
    (if x < 0.0 { 0.0 } else { x }) + tail
}

/// Returns the standard normal distribution function, within a relative error of 4e-6 for x above -8 (erfc of Numerical
/// Recipes).
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = 0.170_872_77;
    let p = p * t - 0.822_152_23;
    let p = p * t + 1.488_515_9;
    let p = p * t - 1.135_204;
    let p = p * t + 0.278_868_07;
    let p = p * t - 0.186_288_06;
    let p = p * t + 0.096_784_18;
    let p = p * t + 0.374_091_96;
    let p = p * t + 1.000_023_7;
    let p = p * t - 1.265_512_2;
    let tail = 0.5 * t * exp(p - z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Returns the standard normal density.
#[inline(always)]
pub fn normal_density(x: f32) -> f32 {
    const AT_ZERO: f32 = 0.398_942_3;
    AT_ZERO * exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the maximum error over a range, against float64, in units in the last place of the float32 result.
    fn worst_ulp(from: f32, to: f32, ours: fn(f32) -> f32, truth: fn(f64) -> f64) -> f64 {
        const POINTS: u32 = 400_000;
        (0..=POINTS)
            .map(|i| {
                let x = from + (to - from) * (i as f32 / POINTS as f32);
                let want = truth(f64::from(x));
                let rounded = want as f32;
                let ulp = f64::from(rounded.abs().max(f32::MIN_POSITIVE).next_up())
                    - f64::from(rounded.abs().max(f32::MIN_POSITIVE));
                (f64::from(ours(x)) - want).abs() / ulp
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_within_the_stated_bounds() {
        for (name, worst, stated) in [
            ("exp", worst_ulp(-103.0, 88.7, exp, f64::exp), 2.0),
            ("exp near 0", worst_ulp(-1.0, 1.0, exp, f64::exp), 2.0),
            ("exp_m1", worst_ulp(-90.0, 0.0, exp_m1, f64::exp_m1), 3.0),
            ("exp_m1 near 0", worst_ulp(-0.5, 0.5, exp_m1, f64::exp_m1), 3.0),
            ("ln_1p_unit", worst_ulp(0.0, 1.0, ln_1p_unit, f64::ln_1p), 3.0),
            ("sigmoid", worst_ulp(-80.0, 30.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp())), 4.0),
            ("tanh", worst_ulp(-12.0, 12.0, tanh, f64::tanh), 5.0),
            ("tanh near 0", worst_ulp(-0.01, 0.01, tanh, f64::tanh), 5.0),
            ("softplus", worst_ulp(-80.0, 80.0, softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()), 4.0),
        ] {
            assert!(worst <= stated, "{name}: {worst} ulp");
        }
    }

    #[test]
    fn limits_of_the_range() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(88.72).is_finite() && exp(88.73).is_infinite());
        assert!(exp(-100.0) > 0.0, "subnormal, not 0");
        assert_eq!(exp_m1(f32::NEG_INFINITY), -1.0);
        assert_eq!((tanh(50.0), tanh(-50.0), tanh(0.0)), (1.0, -1.0, 0.0));
        assert_eq!((sigmoid(200.0), sigmoid(-200.0)), (1.0, 0.0));
        assert_eq!((softplus(200.0), softplus(-200.0)), (200.0, 0.0));
        assert_eq!((normal_cdf(0.0), normal_cdf(20.0), normal_cdf(-20.0)), (0.5, 1.0, 0.0));
    }

    #[test]
    fn nan_stays_nan() {
        for f in [exp, exp_m1, sigmoid, tanh, softplus, normal_cdf] {
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn normal_cdf_agrees_with_published_values() {
        for (x, want) in [
            (1.0_f32, 0.841_344_746_07_f64),
            (-1.0, 0.158_655_253_93),
            (-3.0, 1.349_898_031_6e-3),
            (-6.0, 9.865_876_450e-10),
        ] {
            let got = f64::from(normal_cdf(x));
            assert!(((got - want) / want).abs() < 4e-6, "{x}: {got} {want}");
        }
    }
}
