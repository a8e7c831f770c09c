//! Compiles a loop for each level of SIMD and selects the level at run time.

use crate::real::Plain;

/// A loop. Its `run` and every function that it calls must be `#[inline(always)]`: a function that isn't inlined is
/// compiled with the baseline's instructions.
pub trait Kernel {
    /// The result of the loop.
    type Output;
    /// Runs the loop.
    fn run(self) -> Self::Output;
}

/// Runs a loop with the best SIMD level of this machine. Every level returns the same bits.
///
/// ```
/// use plugfit_api::simd::{dispatch, Kernel};
///
/// struct CountAbove<'a>(&'a [f32], f32);
///
/// impl Kernel for CountAbove<'_> {
///     type Output = u32;
///     #[inline(always)]
///     fn run(self) -> u32 {
///         self.0.iter().map(|x| u32::from(*x > self.1)).sum()
///     }
/// }
/// assert_eq!(dispatch(CountAbove(&[0.2, 0.5, 0.9], 0.4)), 2);
/// ```
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[cfg(avx512)]
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the features were just detected.
            return unsafe { avx512(kernel) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was just detected.
            return unsafe { avx2(kernel) };
        }
    }
    kernel.run()
}

#[cfg(all(target_arch = "x86_64", avx512))]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

impl<F> Plain<F> {
    /// Views floats as numbers of a formula.
    #[inline(always)]
    pub fn slice(floats: &[F]) -> &[Plain<F>] {
        // SAFETY: `Plain<F>` is `repr(transparent)`, so it has the layout of `F`.
        unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
    }
}
