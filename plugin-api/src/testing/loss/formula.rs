//! Tests that the formula of a loss agrees with its compiled functions.

use super::{
    super::{
        data::Batch,
        formula::{compute, formula_of, level, rows},
        report::Report,
        tested::{or_report, Tested},
    },
    call, each_usual, near, Ask, Output, Ready,
};
use crate::Result;
use plugfit_formula::{Formula, Level, Role};

pub(super) fn same_as_native(tested: &Tested<'_>, report: &mut Report) {
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
        let usual = std::iter::once((String::new(), ready.batch.changed(|number| number)));
        for (about, batch) in usual.chain(ready.edges()) {
            // Round the inputs to float32, so that only the computation differs.
            let batch = batch.changed(|number| f64::from(number as f32));
            let Ok(native) = call(&ready.instance, &ready.info, &batch, &Ask::all(&ready.info)) else { continue };
            let compared = compare(&formula, ready, &batch, &native);
            match or_report(report, "has a formula that can't be computed", compared) {
                Some(Some(difference)) if about.is_empty() => report.fail(difference),
                Some(Some(difference)) => report.fail(format!("{difference}, where {about}")),
                _ => {}
            }
        }
    });
}

/// Returns the first difference of values or derivatives.
fn compare(formula: &Formula, ready: &Ready, batch: &Batch, native: &Output) -> Result<Option<String>> {
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
    let differ = |found: f64, native: f32| native.is_finite() && !near(f64::from(native), found, 1e-4);
    if let Some(i) = (0..native.values.len()).find(|&i| differ(values[i], native.values[i])) {
        return Ok(Some(format!("gives the value {} at {i}, and its formula {}", native.values[i], values[i])));
    }
    if !ready.info.differentiable {
        return Ok(None);
    }
    let mut derivatives = compute("derivative")?;
    derivatives.resize(rows.places.len(), derivatives.first().copied().unwrap_or(0.0));
    for (derivative, &place) in derivatives.iter().zip(&rows.places) {
        let (derivative, native) = (derivative * share, native.gradient[place]);
        if differ(derivative, native) {
            return Ok(Some(format!("gives the derivative {native} at {place}, and its formula {derivative}")));
        }
    }
    Ok(None)
}
