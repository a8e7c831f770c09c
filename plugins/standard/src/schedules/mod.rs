//! Learning-rate schedules: a file a family, formula first. The step is the number of steps made before.

mod cosine;
mod decay;

pub use cosine::{CosineDecay, CosineDecayRestarts};
pub use decay::{ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay};
