//! Loops that are compiled for each level of SIMD, for components that run their own.
//!
//! The loops around a formula use them already.

pub use crate::kernels::simd::{dispatch, Kernel};
