//! Learning-rate schedules, one file for each family. A step is the number of optimizer steps taken before it.

mod cosine;
mod decay;
mod examples;

pub use cosine::{CosineDecay, CosineDecayRestarts};
pub use decay::{ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay};
