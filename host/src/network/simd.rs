//! Running a loop compiled for the CPU at hand, in safe Rust.
//!
//! A [`Kernel`]'s `run` is instantiated once for each instruction set that pulp knows, and the best one is chosen at run
//! time. Everything that `run` calls must be `#[inline(always)]`: code that isn't inlined is compiled for the baseline.

/// A loop with its operands.
pub trait Kernel {
    /// Does the work. Mark it `#[inline(always)]`.
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

/// Runs the kernel with the widest instructions that this CPU has.
#[inline]
pub fn run<K: Kernel>(kernel: K) {
    pulp::Arch::new().dispatch(Dispatched(kernel));
}
