//! A plug-in whose component has the same name as one of another plug-in.
use plugfit_api::prelude::*;

/// Not the `BrierScore` of the plug-in `calibration`.
#[derive(Config)]
pub struct BrierScore;

impl MeanMetric for BrierScore {
    const DIRECTION: Direction = Direction::Minimize;
    fn value<R: Real>(&self, _: Row<'_, R>, _: Row<'_, R>) -> R {
        R::from(7.0)
    }
}

export_plugin! { metrics: [BrierScore] }
