//! Tests that the formula of a loss agrees with its compiled functions.

use super::{
    super::{
        data::Batch,
        formula::{compute, formula_of, level, rows},
        instance,
        report::Report,
        tested::{or_report, Tested},
    },
    call, call_in, each_usual,
    float64::in_double,
    near, Ask, Call, Output, Ready,
};
use crate::{Float, Result};
use plugfit_abi as abi;
use plugfit_formula::{Formula, Level, Role};

pub(super) fn same_as_native(tested: &Tested<'_>, report: &mut Report) {
    // SAFETY: `LOSS_V2` is the id of the table `LossV2`.
    let table = unsafe { instance::table::<abi::LossV2>(tested.subject.plugin, abi::LOSS_V2) };
    each_usual(tested, report, |ready, report| {
        let found = formula_of(tested, &ready.instance, |table| table.loss, Role::Loss);
        let formula = match or_report(report, "fails", found) {
            Some(Ok(formula)) => formula,
            Some(Err(reason)) => return report.note(format!("not tried: there is no formula: {reason}")),
            None => return,
        };
        let formula = match formula.with_derivatives() {
            Ok(formula) => formula,
            Err(error) => return report.fail(format!("gives a formula without derivatives: {error}")),
        };
        // In float64, constants such as the bounds of a probability are rounded as in the formula.
        let double: Option<Call> = table.as_ref().ok().filter(|_| ready.info.float64).map(|table| table.call as Call);
        let usual = std::iter::once((String::new(), ready.batch.changed(|number| number)));
        for (about, batch) in usual.chain(ready.edges()) {
            // Round the inputs to float32, so that only the computation differs.
            let batch = batch.changed(|number| f64::from(number as f32));
            let compared = match double {
                Some(function) => {
                    let ask = Ask::all(&ready.info);
                    let native = call_in::<f64>(&ready.instance, function, &in_double(&ready.info), &batch, &ask);
                    let Ok(native) = native else { continue };
                    compare(&formula, ready, &batch, &native, 1e-6)
                }
                None => {
                    let Ok(native) = call(&ready.instance, &ready.info, &batch, &Ask::all(&ready.info)) else {
                        continue;
                    };
                    compare(&formula, ready, &batch, &native, 1e-4)
                }
            };
            match or_report(report, "has a formula that can't be computed", compared) {
                Some(Some(difference)) if about.is_empty() => report.fail(difference),
                Some(Some(difference)) => report.fail(format!("{difference}, where {about}")),
                _ => {}
            }
        }
    });
}

/// Returns the first difference of values or derivatives.
fn compare<F: Float>(
    formula: &Formula,
    ready: &Ready,
    batch: &Batch,
    native: &Output<F>,
    tolerance: f64,
) -> Result<Option<String>> {
    let rows = rows(formula, batch.y_true.numbers(), batch.y_pred.numbers(), batch.y_pred.shape())?;
    let compute = |output| compute(formula, output, &[("y_true", &rows.y_true), ("y_pred", &rows.y_pred)], rows.shape);
    let (mut values, mut share) = (compute("value")?, 1.0);
    if level(formula, "value") == Some(Level::Element) {
        // The loss of a row is the mean of its elements.
        share = 1.0 / rows.shape.columns as f64;
        let mean = |row: &[f64]| row.iter().sum::<f64>() * share;
        values = values.chunks(rows.shape.columns.max(1)).map(mean).collect();
    }
    if values.len() == 1 {
        values = vec![values[0]; native.values.len()];
    }
    // Another test reports non-finite results.
    let differ = |found: f64, native: F| native.to_f64().is_finite() && !near(native.to_f64(), found, tolerance);
    if let Some(i) = (0..native.values.len()).find(|&i| differ(values[i], native.values[i])) {
        let native = native.values[i].to_f64();
        return Ok(Some(format!("gives the value {native} at {i}, and its formula {}", values[i])));
    }
    if !ready.info.differentiable {
        return Ok(None);
    }
    let mut derivatives = compute("derivative")?;
    derivatives.resize(rows.places.len(), derivatives.first().copied().unwrap_or(0.0));
    for (derivative, &place) in derivatives.iter().zip(&rows.places) {
        let (derivative, native) = (derivative * share, native.gradient[place]);
        if differ(derivative, native) {
            let native = native.to_f64();
            return Ok(Some(format!("gives the derivative {native} at {place}, and its formula {derivative}")));
        }
    }
    Ok(None)
}
