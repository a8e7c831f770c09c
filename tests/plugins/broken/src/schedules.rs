//! Schedules, most of which violate a law.

use plugfit_api::prelude::*;

/// Satisfies every law.
#[derive(Config)]
pub struct GoodSchedule;

impl Schedule for GoodSchedule {
    fn learning_rate(&self, when: &When) -> f64 {
        1.0 / (when.step as f64 + 1.0)
    }
}

/// Returns NaN after 10^12 steps.
#[derive(Config)]
pub struct NanLate;

impl Schedule for NanLate {
    fn learning_rate(&self, when: &When) -> f64 {
        (1e12 - when.step as f64).sqrt()
    }
}

/// Decreases linearly, so that it becomes negative.
#[derive(Config)]
pub struct NegativeLate;

impl Schedule for NegativeLate {
    fn learning_rate(&self, when: &When) -> f64 {
        1.0 - 1e-6 * when.step as f64
    }
}
