//! Has a name that another plug-in has too.
use plugfit_api::prelude::*;

/// Not that of calibration.
#[derive(Config)]
pub struct BrierScore;

impl MeanMetric for BrierScore {
    const DIRECTION: Direction = Direction::Minimize;
    fn value(&self, _: &[f64], _: &[f64]) -> f64 {
        7.0
    }
}

export_plugin! { metrics: [BrierScore] }
