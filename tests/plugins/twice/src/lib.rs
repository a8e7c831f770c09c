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
    fn value(&self, _: &[f64], _: &[f64]) -> f64 {
        1.0
    }
}

impl MeanMetric for Second {
    const DIRECTION: Direction = Direction::Minimize;
    fn value(&self, _: &[f64], _: &[f64]) -> f64 {
        2.0
    }
}

export_plugin! { metrics: [First, Second] }
