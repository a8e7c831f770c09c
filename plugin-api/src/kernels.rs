//! Performance-critical code: tensors over foreign memory, loops compiled for each level of SIMD, and work shared
//! between threads.

pub(crate) mod arranged;
pub(crate) mod disjoint_slices;
pub(crate) mod float;
pub(crate) mod formulas;
pub(crate) mod means;
pub(crate) mod scratch;
pub(crate) mod simd;
pub(crate) mod tensor;
pub(crate) mod update;
