//! Schedules.

use plugfit_api::prelude::*;

/// Holds all that it must.
#[derive(Config)]
pub struct GoodSchedule;

impl Schedule for GoodSchedule {
    fn learning_rate(&self, when: &When) -> f64 {
        1.0 / (when.step as f64 + 1.0)
    }
}

/// Not a number once a run is long.
#[derive(Config)]
pub struct NanLate;

impl Schedule for NanLate {
    fn learning_rate(&self, when: &When) -> f64 {
        (1e12 - when.step as f64).sqrt()
    }
}

/// Falls for ever.
#[derive(Config)]
pub struct NegativeLate;

impl Schedule for NegativeLate {
    fn learning_rate(&self, when: &When) -> f64 {
        1.0 - 1e-6 * when.step as f64
    }
}
