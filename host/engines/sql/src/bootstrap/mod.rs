//! A metric with the replicates of its Poisson bootstrap, as an aggregate function.

mod accumulator;
mod function;
mod groups;

pub use function::BootstrapFunction;

/// How a bootstrap is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub replicates: u32,
    pub seed: u64,
}
