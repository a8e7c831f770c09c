//! Where speed is made: slices out of foreign memory, loops instantiated for each level of SIMD, work shared between threads.

pub(crate) mod arranged;
pub(crate) mod float;
pub(crate) mod formulas;
pub(crate) mod means;
pub(crate) mod pieces;
pub(crate) mod scratch;
pub(crate) mod simd;
pub(crate) mod tensor;
pub(crate) mod update;
