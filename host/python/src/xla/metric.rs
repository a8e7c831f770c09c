//! Metrics that XLA calls. The count of updates, an argument and a result of each call, orders the calls.

use std::sync::PoisonError;

use plugfit::{Error, Result};
use plugfit_api::metric::Outcome;

use super::frame::{Frame, Output, exactly};
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
pub fn update(frame: &Frame<'_>, results: Vec<Output<'_>>) -> Result<()> {
    let metric = METRICS.get(frame.json("number")?)?;
    let ([next], updates) = (exactly(results)?, frame.number(0)?);
    let batch = batch(frame, 1)?;
    metric.lock().unwrap_or_else(PoisonError::into_inner).update(&batch)?;
    next.write_all(&[], &[updates + 1.0])
}

/// Returns the result of the metric of the attribute `number`: one number or array, or one number for each of the
/// attribute `names`. The argument is the count of updates. An undefined result is the attribute `undefined`.
///
/// # Errors
/// Returns an error if the plug-in fails, or if the result has another shape or other names.
pub fn result(frame: &Frame<'_>, results: Vec<Output<'_>>) -> Result<()> {
    let metric = METRICS.get(frame.json("number")?)?;
    let names: Vec<String> = frame.json("names")?;
    if results.len() != names.len().max(1) {
        return Err(Error::failure(format!("XLA wants {} results of {} names", results.len(), names.len())));
    }
    let outcome = metric.lock().unwrap_or_else(PoisonError::into_inner).metric.result()?;
    let written = match outcome {
        Outcome::Undefined => {
            let undefined: Option<f64> = frame.json("undefined")?;
            return results.into_iter().try_for_each(|result| result.fill(undefined.unwrap_or(f64::NAN)));
        }
        Outcome::Named(values) => write_named(results, &names, &values),
        Outcome::Scalar(_) | Outcome::Array { .. } if !names.is_empty() => {
            let names = names.join(", ");
            Err(Error::usage(format!("the metric has one result, and the compiled function has those for {names}")))
        }
        Outcome::Scalar(value) => exactly(results).and_then(|[result]| result.write_all(&[], &[value])),
        Outcome::Array { shape, values } => {
            let shape: Vec<i64> = shape.into_iter().map(|length| length as i64).collect();
            exactly(results).and_then(|[result]| result.write_all(&shape, &values))
        }
    };
    written.map_err(|error| error.hint("give compile() run_eagerly=True"))
}

/// Writes the result of each name.
///
/// # Errors
/// Returns an error if there are other names.
fn write_named(results: Vec<Output<'_>>, names: &[String], values: &[(String, f64)]) -> Result<()> {
    let find = |name: &String| values.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
    let found: Option<Vec<f64>> = names.iter().map(find).collect();
    match found {
        Some(found) if !names.is_empty() && values.len() == names.len() => {
            results.into_iter().zip(found).try_for_each(|(result, value)| result.write_all(&[], &[value]))
        }
        _ => {
            let found: Vec<&str> = values.iter().map(|(name, _)| &**name).collect();
            let shown = |names: String| if names.is_empty() { "no name".to_owned() } else { names };
            let (found, compiled) = (shown(found.join(", ")), shown(names.join(", ")));
            Err(Error::usage(format!("the metric has results for {found}, and the compiled function for {compiled}")))
        }
    }
}
