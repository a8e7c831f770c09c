//! Performance-critical code that knows no component: loops compiled for each level of SIMD, temporary arrays, and rows
//! along any axis.

pub(crate) mod arranged;
pub(crate) mod disjoint_slices;
pub(crate) mod float;
pub(crate) mod scratch;
pub(crate) mod simd;
