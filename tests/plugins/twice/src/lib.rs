//! A plug-in that declares the same name twice.
use plugfit_api::prelude::*;

/// The first metric of this name.
#[derive(Config)]
#[config(name = "Same")]
pub struct First;

/// The second metric of this name.
#[derive(Config)]
#[config(name = "Same")]
pub struct Second;

impl MeanMetric for First {
    const DIRECTION: Direction = Direction::Minimize;
    fn value<R: Real>(&self, _: Row<'_, R>, _: Row<'_, R>) -> R {
        R::from(1.0)
    }
}

impl MeanMetric for Second {
    const DIRECTION: Direction = Direction::Minimize;
    fn value<R: Real>(&self, _: Row<'_, R>, _: Row<'_, R>) -> R {
        R::from(2.0)
    }
}

export_plugin! { metrics: [First, Second] }
