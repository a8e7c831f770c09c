//! Runs loops compiled for the instruction set of the CPU, in safe Rust.
//!
//! The `run` method of a [`Kernel`] is instantiated for each instruction set that pulp supports, and the best one is
//! chosen at run time. Everything that `run` calls must be `#[inline(always)]`: code that isn't inlined is compiled for
//! the baseline.
//!
//! The kernels of plugfit-api also use AVX-512, which makes sums over eight lanes up to twice as slow.

/// A loop and its operands.
pub trait Kernel {
    /// Runs the loop. Implementations must be `#[inline(always)]`.
    fn run(self);
}

struct Dispatched<K>(K);

impl<K: Kernel> pulp::WithSimd for Dispatched<K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        self.0.run();
    }
}

/// Runs the kernel with the widest instructions that the CPU supports.
#[inline]
pub fn run<K: Kernel>(kernel: K) {
    pulp::Arch::new().dispatch(Dispatched(kernel));
}
