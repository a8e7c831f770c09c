//! Tests that the formula of a metric agrees with its compiled functions.

use super::{
    super::{
        formula::{compute, formula_of, level, rows},
        report::Report,
        tested::Tested,
    },
    each, Ready,
};
use crate::Result;
use plugfit_abi as abi;
use plugfit_formula::{Level, Role, Shape};

pub(super) fn same_as_native(tested: &Tested<'_>, report: &mut Report) {
    each(tested, report, |ready, report| compare(tested, ready, report));
}

fn compare(tested: &Tested<'_>, ready: &Ready, report: &mut Report) -> Result<()> {
    let formula = match formula_of(tested, &ready.instance, |table| table.metric, Role::Metric)? {
        Ok(formula) => formula,
        Err(reason) => {
            report.note(format!("not tried: there is no formula: {reason}"));
            return Ok(());
        }
    };
    // Round the inputs to float32, so that only the computation differs.
    let batch = ready.batch.changed(|number| f64::from(number as f32));
    let (kind, native) = ready.of(&[(&batch, None)])?.result()?;
    if kind != abi::RESULT_SCALAR {
        report.fail("has a formula, and a result that isn't one number");
        return Ok(());
    }
    let rows = rows(&formula, batch.y_true.numbers(), batch.y_pred.numbers(), batch.y_pred.shape())?;
    let mut inputs: Vec<(&str, &[f64])> = vec![("y_true", &rows.y_true), ("y_pred", &rows.y_pred), ("mean", &[0.0])];
    let values = compute(&formula, "value", &inputs, rows.shape)?;
    let mean = [values.iter().sum::<f64>() / values.len() as f64];
    let mut result = mean[0];
    if level(&formula, "result") == Some(Level::Scalar) {
        inputs[2].1 = &mean;
        result = compute(&formula, "result", &inputs, Shape { ..rows.shape })?[0];
    }
    report.check((result - native[0]).abs() <= 1e-5 * (1.0 + native[0].abs()), || {
        format!("gives the result {}, and its formula {result}", native[0])
    });
    Ok(())
}
