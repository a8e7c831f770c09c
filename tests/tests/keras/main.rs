//! Compares the standard set with golden vectors of Keras.

mod better;
mod compile;
mod identifiers;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
