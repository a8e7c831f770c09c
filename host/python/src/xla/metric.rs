//! Metrics that XLA calls. The count of updates, an argument and a result of each call, orders the calls.

use std::sync::PoisonError;

use plugfit::{Error, Result};
use plugfit_api::metric::Outcome;

use super::frame::Frame;
use super::live::Live;
use super::loss::batch;
use crate::metric::SharedState;

/// The metrics in use.
pub static METRICS: Live<SharedState> = Live::new();

/// Updates the metric of the attribute `number`. The first argument is the count of updates, the others are those of
/// the attribute `inputs`. The result is the next count.
///
/// # Errors
/// Returns the errors of the metric.
pub fn update(frame: &Frame<'_>) -> Result<()> {
    let metric = METRICS.get(frame.json("number")?)?;
    let batch = batch(frame, 1)?;
    metric.lock().unwrap_or_else(PoisonError::into_inner).update(&batch)?;
    frame.write(0, &[frame.number(0)? + 1.0])
}

/// Returns the result of the metric of the attribute `number`: one number or array, or one number for each of the
/// attribute `names`. The argument is the count of updates. An undefined result is the attribute `undefined`.
///
/// # Errors
/// Returns an error if the plug-in fails, or if the result has another shape or other names.
pub fn result(frame: &Frame<'_>) -> Result<()> {
    let metric = METRICS.get(frame.json("number")?)?;
    let names: Vec<String> = frame.json("names")?;
    let outcome = metric.lock().unwrap_or_else(PoisonError::into_inner).metric.result()?;
    match outcome {
        Outcome::Undefined => {
            let undefined: Option<f64> = frame.json("undefined")?;
            (0..frame.results()).try_for_each(|index| frame.write(index, &[undefined.unwrap_or(f64::NAN)]))
        }
        Outcome::Scalar(value) => frame.write(0, &[value]),
        Outcome::Array { values, .. } => frame.write(0, &values),
        Outcome::Named(values) => {
            if values.len() != names.len() || !values.iter().all(|(name, _)| names.contains(name)) {
                let found: Vec<&str> = values.iter().map(|(name, _)| &**name).collect();
                let (found, compiled) = (found.join(", "), names.join(", "));
                let message = format!("the metric has results for {found}, and the compiled function for {compiled}");
                return Err(Error::usage(message).hint("give compile() run_eagerly=True"));
            }
            values.iter().try_for_each(|(name, value)| match names.iter().position(|other| other == name) {
                Some(index) => frame.write(index, &[*value]),
                None => Ok(()),
            })
        }
    }
}
