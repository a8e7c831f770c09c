//! Compares the standard set with golden vectors of Keras.

mod compile;
mod differences;
mod formulas;
mod identifiers;
mod layers;
mod losses;
mod metrics;
mod optimizers;
mod schedules;
