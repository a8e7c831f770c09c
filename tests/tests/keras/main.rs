//! The standard set gives Keras's numbers.

mod better;
mod compile;
mod identifiers;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
