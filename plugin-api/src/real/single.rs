//! Elementary functions on float32 without branches, so that the compiler vectorises loops over them. They use no fused
//! multiply-add, so that every machine returns the same bits.

/// 1.5 · 2^23. Adding and then subtracting it rounds to an integer.
const ROUND: f32 = 12_582_912.0;
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Returns `exp(r) - 1 = r + r² p(r)` for `|r| <= ln(2) / 2`. Coefficients: Cephes, `expf`.
#[inline(always)]
fn exp_tail(r: f32) -> f32 {
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p * r * r + r
}

/// Returns `2^k` for `-126 <= k <= 127`.
#[inline(always)]
fn power_of_two(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Outside of these bounds the result is 0 or infinity. The comparisons leave NaN unchanged.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    // Two factors, because 2^128 and 2^-150 aren't float32 numbers.
    let half = k >> 1;
    (1.0 + exp_tail(r)) * power_of_two(half) * power_of_two(k.wrapping_sub(half))
}

#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let k = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let tail = exp_tail(x - n * LN_2_HIGH - n * LN_2_LOW);
    // 2^k (1 + tail) - 1, without cancellation.
    let power = power_of_two(k);
    let value = tail * power + (power - 1.0);
    let value = if x > 87.0 { exp(x) } else { value };
    if x < -25.0 {
        -1.0
    } else {
        value
    }
}

/// The natural logarithm. Coefficients: Cephes, `logf`.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let bits = scaled.to_bits();
    let exponent = ((bits >> 23) as i32 - 126) as f32 - if subnormal { 23.0 } else { 0.0 };
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let low = mantissa < std::f32::consts::FRAC_1_SQRT_2;
    let exponent = if low { exponent - 1.0 } else { exponent };
    let r = if low { mantissa + mantissa - 1.0 } else { mantissa - 1.0 };
    let z = r * r;
    let mut p = 7.037_683_6e-2;
    p = p * r - 1.151_461e-1;
    p = p * r + 1.167_699_9e-1;
    p = p * r - 1.242_014_1e-1;
    p = p * r + 1.424_932_3e-1;
    p = p * r - 1.666_805_7e-1;
    p = p * r + 2.000_071_4e-1;
    p = p * r - 2.499_999_4e-1;
    p = p * r + 3.333_333e-1;
    let tail = p * r * z + exponent * LN_2_LOW - 0.5 * z;
    let value = r + tail + exponent * LN_2_HIGH;
    let value = if x == f32::INFINITY { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    // Also handles NaN, whose bits were treated as a number above.
    if x >= 0.0 {
        value
    } else {
        f32::NAN
    }
}

#[inline(always)]
pub fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // Correct the rounding error of `u` to first order.
    let value = ln(u) + (x - (u - 1.0)) / u;
    if u == 0.0 || u == f32::INFINITY {
        ln(u)
    } else {
        value
    }
}

#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let size = if size > 10.0 { 10.0 } else { size };
    let e = exp_m1(size + size);
    (e / (e + 2.0)).copysign(x)
}

#[inline(always)]
pub fn powf(x: f32, exponent: f32) -> f32 {
    // The common powers are exact. The exponent is a loop invariant, so the compiler hoists the test.
    if exponent == 2.0 {
        x * x
    } else if exponent == 1.0 {
        x
    } else if exponent == 0.0 {
        1.0
    } else {
        exp(exponent * ln(x))
    }
}

#[cfg(test)]
mod tests {
    fn ulps(ours: f32, exact: f64) -> f64 {
        let nearest = exact as f32;
        if ours == nearest || (ours.is_nan() && nearest.is_nan()) {
            return 0.0;
        }
        let ulp = f64::from(f32::from_bits(nearest.abs().to_bits().max(0x0080_0000) + 1))
            - f64::from(f32::from_bits(nearest.abs().to_bits().max(0x0080_0000)));
        (f64::from(ours) - exact).abs() / ulp
    }

    fn worst(ours: fn(f32) -> f32, exact: fn(f64) -> f64, low: f32, high: f32) -> f64 {
        (0..200_000)
            .map(|i| low + (high - low) * (i as f32 / 200_000.0))
            .map(|x| ulps(ours(x), exact(f64::from(x))))
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_are_within_their_stated_error() {
        assert!(worst(super::exp, f64::exp, -87.0, 88.7) <= 2.0);
        assert!(worst(super::exp_m1, f64::exp_m1, -20.0, 20.0) <= 2.0);
        assert!(worst(super::exp_m1, f64::exp_m1, -0.5, 0.5) <= 2.0);
        assert!(worst(super::ln, f64::ln, 1e-7, 2.0) <= 2.0);
        assert!(worst(super::ln, f64::ln, 1.0, 1e30) <= 2.0);
        assert!(worst(super::ln_1p, f64::ln_1p, -0.999, 3.0) <= 2.0);
        assert!(worst(super::ln_1p, f64::ln_1p, -1e-6, 1e-6) <= 2.0);
        assert!(worst(super::tanh, f64::tanh, -12.0, 12.0) <= 4.0);
    }

    #[test]
    fn the_ends_of_the_range_are_exact() {
        assert_eq!(super::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(super::exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(super::exp(0.0), 1.0);
        assert_eq!(super::ln(0.0), f32::NEG_INFINITY);
        assert_eq!(super::ln(1.0), 0.0);
        assert_eq!(super::ln(f32::INFINITY), f32::INFINITY);
        assert!(super::ln(-1.0).is_nan());
        assert!(ulps(super::ln(1e-40), 1e-40f32 as f64).is_finite());
        assert_eq!(super::ln_1p(-1.0), f32::NEG_INFINITY);
        assert_eq!(super::ln_1p(f32::INFINITY), f32::INFINITY);
        assert_eq!(super::ln_1p(1e-10), 1e-10);
        assert_eq!(super::tanh(f32::INFINITY), 1.0);
        assert_eq!(super::tanh(-40.0), -1.0);
    }
}
