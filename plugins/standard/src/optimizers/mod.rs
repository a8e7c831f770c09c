//! Optimizers: a file a family, formula first. Clipping, weight decay, averages and accumulation are the host's.

mod adam;
mod rmsprop;
mod sgd;

pub use adam::{Adam, AdamW};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;
