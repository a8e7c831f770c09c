//! The standard set gives Keras's numbers.

mod compile;
mod identifiers;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
