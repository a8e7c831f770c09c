//! Tests that the formula of a metric agrees with its compiled functions.

use super::{
    super::{
        data::{weights, Array, Random, ROWS},
        formula::{compute, formula_of, inputs_of, level, rows, Rows},
        report::Report,
        tested::Tested,
    },
    each, Found, Ready,
};
use crate::{Error, Result};
use plugfit_abi as abi;
use plugfit_formula::{Formula, Level, Role, Shape};

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
    let native = ready.of(&[(&batch, None)])?.result()?;
    let rows = rows(&formula, batch.y_true.numbers(), batch.y_pred.numbers(), batch.y_pred.shape())?;
    if formula.sums().is_none() {
        let found = (abi::RESULT_SCALAR, vec![mean(&formula, &rows)?]);
        expect_same(report, "", &native, &found);
        return Ok(());
    }
    expect_same(report, "", &native, &result(&formula, &rows, None)?);
    let mut random = Random(ready.seed);
    let weights = weights((0..ROWS).map(|row| if row % 4 == 1 { 0.0 } else { 0.25 + random.next() }));
    if rows.shape.rows % ROWS == 0 {
        let native = ready.of(&[(&batch, Some(&weights))])?.result()?;
        expect_same(report, " with weights", &native, &result(&formula, &rows, Some(&weights))?);
    }
    if !formula.sums().is_some_and(|sums| sums.by_column) {
        let empty = Rows { shape: Shape { rows: 0, ..rows.shape }, y_true: vec![], y_pred: vec![], places: vec![] };
        expect_same(report, " without a batch", &ready.new_state()?.result()?, &result(&formula, &empty, None)?);
    }
    Ok(())
}

/// Computes the result of a metric that is a mean.
fn mean(formula: &Formula, rows: &Rows) -> Result<f64> {
    let mut inputs = rows.inputs();
    inputs.push(("mean", &[0.0]));
    let values = compute(formula, "value", &inputs, rows.shape)?;
    let mean = [values.iter().sum::<f64>() / values.len() as f64];
    if level(formula, "result") != Some(Level::Scalar) {
        return Ok(mean[0]);
    }
    inputs.pop();
    inputs.push(("mean", &mean));
    compute(formula, "result", &inputs, rows.shape).map(|result| result[0])
}

/// Computes the result of a metric of sums. Each row of the batch has a weight.
fn result(formula: &Formula, rows: &Rows, weights: Option<&Array>) -> Result<Found> {
    let inputs = inputs_of(formula, &rows.inputs())?;
    let per_weight = (rows.shape.rows / ROWS).max(1);
    let weight: Vec<f64> =
        (0..rows.shape.rows).map(|row| weights.map_or(1.0, |weights| weights.numbers()[row / per_weight])).collect();
    let to_error = |error: plugfit_formula::Error| Error::other(error.to_string());
    let sums = formula.interpret_sums(&inputs, &weight, rows.shape).map_err(to_error)?;
    let result = formula.interpret_result(&sums, rows.shape.columns).map_err(to_error)?;
    let is_number = formula.sums().is_some_and(|sums| level(&sums.result, "result") != Some(Level::Element));
    Ok(match (result, is_number) {
        (None, _) => (abi::RESULT_UNDEFINED, Vec::new()),
        (Some(numbers), true) => (abi::RESULT_SCALAR, numbers),
        (Some(numbers), false) => (abi::RESULT_ARRAY, numbers),
    })
}

fn expect_same(report: &mut Report, when: &str, native: &Found, found: &Found) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * (1.0 + a.abs()) || a.is_nan() && b.is_nan();
    let is_same = native.0 == found.0 && native.1.len() == found.1.len() && native.1.iter().zip(&found.1).all(near);
    report.check(is_same, || format!("gives{when} {}, and its formula {}", super::shown(native), super::shown(found)));
}
